"""The option of commands that work on a store: the settings file that says where it is."""

from __future__ import annotations

import argparse
from pathlib import Path

from shared.dev.host import settings as host_settings
from shared.errors import StoreUnavailable
from shared.settings import Settings, SettingsError

UNREACHABLE = (host_settings.LocalSettingsError, SettingsError, StoreUnavailable)
"""What keeps a command from its store: a file that cannot be read, settings without sense, storage that is away."""


def add_option(parser: argparse.ArgumentParser) -> None:
    """Declare the option."""
    parser.add_argument(
        "--settings", type=Path, default="local.settings.json", help="settings file (default: %(default)s)"
    )


def settings_of(options: argparse.Namespace) -> Settings:
    """The settings of the file, where the environment says nothing else.

    Raises:
        LocalSettingsError: there is no such file, or it is not of that form.
        SettingsError: a setting has a value that makes no sense.
    """
    host_settings.apply(host_settings.read_values(options.settings))
    return Settings.from_env()
