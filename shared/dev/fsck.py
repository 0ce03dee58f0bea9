"""`python -m shared.dev.fsck`: check a whole store and say what is broken. Changes nothing."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from shared.dev import settingsfile
from shared.settings import Settings
from shared.storage.fsck import Report
from shared.storage.stores import open_stores


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when nothing is broken, 1 when something is, 2 when the store cannot be reached."""
    parser = argparse.ArgumentParser(prog="python -m shared.dev.fsck", description=__doc__)
    settingsfile.add_option(parser)
    options = parser.parse_args(arguments)
    try:
        report = asyncio.run(_report(settingsfile.settings_of(options)))
    except settingsfile.UNREACHABLE as error:
        print(error, file=sys.stderr)
        return 2
    for line in report.broken:
        print(line)
    print(", ".join(f"{number} {kind}" for kind, number in sorted(report.counts.items())))
    print("Nothing is broken." if not report.broken else f"{len(report.broken)} things are broken.")
    return 1 if report.broken else 0


async def _report(settings: Settings) -> Report:
    stores = open_stores(settings)
    try:
        return await stores.fsck()
    finally:
        await stores.close()


if __name__ == "__main__":
    sys.exit(main())
