"""Settings as Core Tools gives them to an app: `Values` of local.settings.json, where the environment says nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path


class LocalSettingsError(ValueError):
    """A settings file that cannot be read; the text says why."""


def environment() -> dict[str, str]:
    """A copy of this process's environment, for reading and for processes to be started."""
    return dict(os.environ)  # noqa: TID251 - tools pass the environment on; the service reads its own in shared/settings.py


def read_values(path: Path) -> dict[str, str]:
    """The `Values` of a settings file.

    Raises:
        LocalSettingsError: there is no such file, or it is not of that form.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise LocalSettingsError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise LocalSettingsError(f"{path} is not JSON: {error}") from error
    values = content.get("Values") if isinstance(content, dict) else None
    if not isinstance(values, dict):
        raise LocalSettingsError(f"{path} has no object named Values")
    if content.get("IsEncrypted"):
        raise LocalSettingsError(f"{path} is encrypted; only Core Tools can read it")
    wrong = [name for name, value in values.items() if not isinstance(value, str)]
    if wrong:
        raise LocalSettingsError(f"{path}: every value is a string, but not {', '.join(wrong)}")
    return values


def apply(values: Mapping[str, str]) -> None:
    """Put values into the environment of this process; a variable that is set already wins."""
    for name, value in values.items():
        os.environ.setdefault(name, value)  # noqa: TID251 - the host gives the app its settings, as Core Tools does
