"""The storage emulator of a test run: started once a process, in memory, on free ports."""

from __future__ import annotations

import atexit
import functools
import re

from shared.dev.azurite import Azurite, RunningAzurite, connection_string
from shared.dev.host.settings import environment

FRESH_ACCOUNTS = 3000
FRESH_KEY = "dGVzdA=="
"""Of those accounts: short, because all of them are declared in one environment variable of at most 128 KiB."""
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
    fresh = (f"{fresh_account_name(number)}:{FRESH_KEY}" for number in range(FRESH_ACCOUNTS))
    declared = ";".join([f"devstoreaccount1:{key.group(1)}", *fresh])
    runner = RunningAzurite(None, {**environment(), "AZURITE_ACCOUNTS": declared})
    azurite = runner.__enter__()
    atexit.register(runner.__exit__, None, None, None)
    return azurite
