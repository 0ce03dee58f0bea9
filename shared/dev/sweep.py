"""`python -m shared.dev.sweep`: run the sweep once and print what it found."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from shared.dev.host import settings as host_settings
from shared.errors import StoreUnavailable
from shared.settings import Settings, SettingsError
from shared.storage.stores import open_stores
from shared.storage.sweep import ORPHAN_AGE, SILENT, Found


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when the sweep came to its end, 2 when the store cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m shared.dev.sweep", description=__doc__)
    parser.add_argument("--settings", default="local.settings.json", help="settings file (default: %(default)s)")
    parser.add_argument(
        "--silent", type=float, default=SILENT.total_seconds(), metavar="SECONDS",
        help="how long nothing was heard of a worker that counts as dead (default: %(default).0f); "
        "shorter than a request can last is for stores that nobody writes to",
    )  # fmt: skip
    parser.add_argument(
        "--orphan-age", type=float, default=ORPHAN_AGE.total_seconds(), metavar="SECONDS",
        help="how old a blob without a row has to be to be deleted (default: %(default).0f)",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    host_settings.apply(host_settings.read_values(Path(options.settings)))
    try:
        settings = Settings.from_env()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        found = asyncio.run(_swept(settings, timedelta(seconds=options.silent), timedelta(seconds=options.orphan_age)))
    except StoreUnavailable as error:
        print(error, file=sys.stderr)
        return 2
    for name, number in dataclasses.asdict(found).items():
        print(f"{name.replace('_', ' ')}: {number}")
    return 0


async def _swept(settings: Settings, silent: timedelta, orphan_age: timedelta) -> Found:
    stores = open_stores(settings)
    try:
        return await stores.sweep.run(silent, orphan_age)
    finally:
        await stores.close()


if __name__ == "__main__":
    sys.exit(main())
