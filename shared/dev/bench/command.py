"""Benchmarks, `python -m shared.dev.bench WHAT`: what the service costs, beside something to judge it by."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from shared.dev.azurite import AzuriteError
from shared.dev.bench.report import BenchError, Progress

BENCHES = (
    *("storage", "memory", "json", "multipart", "store", "search", "reindex", "codecs", "frames", "update"),
    "worklist",
    "telemetry",
)
# These need programs that `make setup` does not install.
WITH_PEERS = ("peer",)
# No module is called as one of Python's own.
_MODULES = {"json": "dicomjson"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m shared.dev.bench",
        description="Measure the service beside something to judge it by. Trust ratios of one run, not figures of two.",
    )
    benches = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    for name in (*BENCHES, *WITH_PEERS):
        module = import_module(f"shared.dev.bench.{_MODULES.get(name, name)}")
        bench = benches.add_parser(
            name,
            help=module.SUMMARY,
            description=module.HELP,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(bench)
        bench.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one benchmark; 0, or 1 when a figure is over its budget or the benchmark cannot be run."""
    options = _parser().parse_args(arguments)
    progress = Progress(options.what)
    try:
        code: int = options.run(options, progress)
    except (BenchError, AzuriteError) as error:
        progress.done()
        print(f"bench {options.what}: {error}", file=sys.stderr)
        return 1
    return code


if __name__ == "__main__":
    raise SystemExit(main())
