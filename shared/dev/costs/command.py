"""`python -m shared.dev.costs`: what the service costs on Azure, in figures.

`record` counts anew what requests make storage do (infra/requests.yaml). Prices are those of infra/prices.yaml.
`--write` puts the tables of a plan with nothing else said into infra/README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import MISSING, fields
from pathlib import Path

from shared.dev.azurite import AzuriteError, RunningAzurite
from shared.dev.costs import counts as costs_counts
from shared.dev.costs import prices as costs_prices
from shared.dev.costs.counts import CountsError
from shared.dev.costs.measure import measured
from shared.dev.costs.prices import PRICES, PricesError
from shared.dev.costs.report import DOCUMENT, ReportError, in_document, report
from shared.dev.costs.sums import Plan
from shared.dev.costs.watched import CostError
from shared.dev.host.settings import environment
from shared.settings import Settings

_HELP = {
    "studies_per_day": "studies that are stored in a day",
    "instances_per_study": "instances of a study",
    "instance_kilobytes": "length of an instance in 1,024 bytes",
    "months_kept": "months after which a study is deleted",
    "retrievals_per_study": "how often a study is retrieved in all",
    "searches_per_study": "searches for a study, each with its metadata",
    "request_seconds": "time of a request",
    "at_once": "requests on an instance at the same time, on average",
    "memory_gb": "memory of an instance",
    "front_door": "clients come by Front Door",
    "private_endpoints": "number of private endpoints",
    "always_ready": "instances that wait for requests",
}
_MAY_BE_NONE = frozenset(
    [
        "studies_per_day",
        "months_kept",
        "retrievals_per_study",
        "searches_per_study",
        "private_endpoints",
        "always_ready",
    ]
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its result is the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        if options.action == "record":
            return _record()
        plan = _plan(parser, options)
        if options.write and plan != Plan():
            parser.error("--write is for a plan with nothing else said, so that a test can see whether it is fresh")
        text = report(costs_counts.read(), plan, costs_prices.read(options.prices))
        print(text)
        if options.write:
            DOCUMENT.write_text(in_document(DOCUMENT.read_text(encoding="utf-8"), text), encoding="utf-8")
    except (AzuriteError, CostError, CountsError, PricesError, ReportError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m shared.dev.costs", description=__doc__)
    parser.add_argument("action", nargs="?", choices=("show", "record"), default="show", help="default: %(default)s")
    parser.add_argument("--prices", type=Path, default=PRICES, help="file of prices (default: infra/prices.yaml)")
    parser.add_argument("--write", action="store_true", help="put the tables into infra/README.md")
    for each in fields(Plan):
        option = f"--{each.name.replace('_', '-')}"
        assert each.default is not MISSING, "a plan has something for everything"
        if isinstance(each.default, bool):
            parser.add_argument(option, action="store_true", help=_HELP[each.name])
        else:
            kind = int if each.type == "int" else float
            told = f"{_HELP[each.name]} (default: %(default)s)"
            parser.add_argument(option, type=kind, default=each.default, metavar="N", help=told)
    return parser


def _plan(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Plan:
    given = {each.name: getattr(options, each.name) for each in fields(Plan)}
    for name, value in given.items():
        least = 0 if name in _MAY_BE_NONE else sys.float_info.min
        if not isinstance(value, bool) and not least <= value < float("inf"):
            parser.error(f"--{name.replace('_', '-')} must be {'0 or more' if not least else 'more than 0'}")
    return Plan(**given)


def _record() -> int:
    with RunningAzurite(None, environment()) as azurite:
        counts = asyncio.run(measured(Settings(storage_connection=azurite.connection_string)))
    costs_counts.write(counts)
    print(f"infra/{costs_counts.REQUESTS.name} is written: {len(counts.requests)} requests")
    return 0
