"""The storage emulator of a test run: started once a process, in memory, on free ports."""

from __future__ import annotations

import atexit
import functools
import re

from shared.dev.azurite import Azurite, RunningAzurite, connection_string
from shared.dev.host_settings import environment

FRESH_ACCOUNTS = 500
KEY = re.compile(r"AccountKey=([^;]+)")


def fresh_account_name(number: int) -> str:
    """Name of one of the accounts that only one test uses."""
    return f"testaccount{number:04d}"


@functools.cache
def running_azurite() -> Azurite:
    """The emulator, started at the first call and stopped when the process ends."""
    key = KEY.search(connection_string((1, 1, 1)))
    assert key is not None
    # A storage account each for tests that count or look at everything: see tests/support/storage.py.
    accounts = ["devstoreaccount1", *(fresh_account_name(number) for number in range(FRESH_ACCOUNTS))]
    declared = ";".join(f"{name}:{key.group(1)}" for name in accounts)
    runner = RunningAzurite(None, {**environment(), "AZURITE_ACCOUNTS": declared})
    azurite = runner.__enter__()
    atexit.register(runner.__exit__, None, None, None)
    return azurite
