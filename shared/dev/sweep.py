"""`python -m shared.dev.sweep`: run the sweep once and print what it found."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import sys
from collections.abc import Sequence
from datetime import timedelta

from shared.dev import settingsfile
from shared.settings import Settings
from shared.storage.stores import open_stores
from shared.storage.sweep import ORPHAN_AGE, SILENT, Found


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when the sweep came to its end, 2 when the store cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m shared.dev.sweep", description=__doc__)
    settingsfile.add_option(parser)
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
    silent, orphan_age = timedelta(seconds=options.silent), timedelta(seconds=options.orphan_age)
    try:
        found = asyncio.run(_swept(settingsfile.settings_of(options), silent, orphan_age))
    except settingsfile.UNREACHABLE as error:
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
