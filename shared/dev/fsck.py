"""`python -m shared.dev.fsck`: check a whole store and say what is broken. Changes nothing."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from shared.dev.host import settings as host_settings
from shared.errors import StoreUnavailable
from shared.settings import Settings, SettingsError
from shared.storage.fsck import Report
from shared.storage.stores import open_stores


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when nothing is broken, 1 when something is, 2 when the store cannot be reached."""
    parser = argparse.ArgumentParser(prog="python -m shared.dev.fsck", description=__doc__)
    parser.add_argument("--settings", default="local.settings.json", help="settings file (default: %(default)s)")
    options = parser.parse_args(arguments)
    host_settings.apply(host_settings.read_values(Path(options.settings)))
    try:
        report = asyncio.run(_report(Settings.from_env()))
    except (SettingsError, StoreUnavailable) as error:
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
