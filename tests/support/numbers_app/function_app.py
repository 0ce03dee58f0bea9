"""The service with a kind of work of its own: slices that write numbered rows (counted.py)."""

import importlib
from pathlib import Path

import azure.functions as func

import shared
from shared.api import manifest, routes, triggers
from shared.api.pipeline import Door
from shared.settings import Settings
from shared.storage.operations import OperationKind
from shared.storage.stores import open_stores

_settings = Settings.from_env()
# The host finds this folder's modules by their bare names; for the tests they are part of `tests`.
_step = importlib.import_module("counted").step
_manifests = manifest.load(Path(shared.__file__).resolve().parents[1] / "versions")

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
_stores = open_stores(_settings)
triggers.register(app, routes.bind(_manifests, _settings), Door(_stores, _settings))
triggers.register_background(app, _settings, _stores, {OperationKind.EXPORT: _step})
