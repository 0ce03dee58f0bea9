"""The Functions app: settings, stores, versions and triggers put together. Importing it reads only these files."""

from pathlib import Path

import azure.functions as func

from shared.api import imports, manifest, routes, triggers
from shared.api.pipeline import Door
from shared.api.telemetry.told import open_telemetry
from shared.settings import Settings
from shared.storage.stores import open_stores

_settings = Settings.from_env()
_manifests = manifest.load(Path(__file__).resolve().parent / "versions")

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
_stores = open_stores(_settings)
_telemetry = open_telemetry(_settings)
triggers.register(app, routes.bind(_manifests, _settings), Door(_stores, _settings, telemetry=_telemetry))
triggers.register_background(app, _settings, _stores, telemetry=_telemetry)
triggers.register_import(app, _settings, _stores, imports.conduct_of(_manifests, _settings), _telemetry)
