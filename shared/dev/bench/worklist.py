"""What the worklist costs in calls, rows and time, and how that grows with it."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from shared.dev.azurite import RunningAzurite
from shared.dev.bench.report import Progress, machine, middle, number
from shared.dev.bench.search import CountedTables
from shared.dev.host.settings import environment
from shared.dicom.workitemstates import State
from shared.settings import Settings
from shared.storage.account import account_of
from shared.storage.client import StorageClient
from shared.storage.conditions import Condition, in_range, name_phrase, one_of
from shared.storage.partitions import DEFAULT_NAME, DataPartition
from shared.storage.tables import TRANSACTION_LIMIT, Tables, Write
from shared.storage.workitemrows import BLOCK, Workitem, block_of, entity_of, home, workitem_row
from shared.storage.workitems import Workitems
from shared.storage.workitemsearch import any_of

SUMMARY = "calls, rows and time of the worklist at different sizes"
HELP = """\
Makes workitems in an in-memory Azurite, of which nine in ten are completed, and asks the same questions at each size,
by a worker that has asked before. A page has 100 hits.

  hits       how many the page has
  calls      calls to the table service
  rows       rows it gave back
  ms         time until the page is there: median of five

Writes are not among the calls: a workitem is made with three, and claimed with one.

Azurite looks at every row of a table for every query; calls and rows are what Azure would be paid for.
"""

_PARTITION = DataPartition(0, DEFAULT_NAME)
_ROUNDS = 5
_START = "ScheduledProcedureStepStartDateTime"

_QUESTIONS: tuple[tuple[str, tuple[Condition, ...], int], ...] = (
    ("no key", (), 0),
    ("no key, offset 500", (), 500),
    ("state SCHEDULED", (one_of("ProcedureStepState", ["scheduled"]),), 0),
    ("PatientID, there", (any_of("PatientID", frozenset({"p-7"})),), 0),
    ("PatientID, not there", (any_of("PatientID", frozenset({"nobody"})),), 0),
    ("AccessionNumber", (any_of("ReferencedRequestSequenceAccessionNumber", frozenset({"acc-11"})),), 0),
    ("start, one day", (in_range(_START, "20261103000000.000000", "20261103235959.999999"),), 0),
    ("name, fuzzy", (name_phrase("PatientName", ["exam", "nr7"]),), 0),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000], help="numbers of workitems")


def run(options: argparse.Namespace, progress: Progress) -> int:
    """Print the table."""
    with RunningAzurite(None, environment()) as azurite:
        lines = asyncio.run(_measured(azurite.connection_string, sorted(options.sizes), progress))
    progress.done()
    print(machine())
    print("\n".join(lines))
    return 0


async def _measured(connection: str, sizes: list[int], progress: Progress) -> list[str]:
    client = StorageClient(account_of(Settings(storage_connection=connection)))
    tables = CountedTables(client)
    lines = ["| workitems | what | hits | calls | rows | ms |", "|---|---|---|---|---|---|"]
    made = 0
    try:
        for size in sizes:
            await _make(tables, made, size, progress)
            made = size + 1  # the one that is made below takes a number
            lines += await _at_size(size, tables)
    finally:
        await client.close()
    return lines


async def _at_size(size: int, tables: CountedTables) -> list[str]:
    workitems, uid, head = Workitems(tables), f"1.{size}", f"| {size:,} |"
    lines = [await _timed(f"{head} make", tables, lambda: _create(workitems, uid), rounds=1)]
    for name, conditions, offset in _QUESTIONS:
        lines.append(await _asked(f"{head} {name}", tables, workitems, conditions, offset))
    lines.append(await _timed(f"{head} retrieve", tables, lambda: workitems.find(_PARTITION, uid)))
    lines.append(await _timed(f"{head} claim", tables, lambda: _claim(workitems, uid)))
    return lines


async def _make(tables: Tables, first: int, size: int, progress: Progress) -> None:
    """Write the rows as the service writes them, a hundred at once."""
    start = first
    while start < size:
        upto = min(start + TRANSACTION_LIMIT, size, (start // BLOCK + 1) * BLOCK)
        table, partition = home(_PARTITION.number, block_of(start + 1))
        rows = [Write("insert", workitem_row(place + 1), _entity(place)) for place in range(start, upto)]
        await tables.transact(table, partition, rows)
        start = upto
    progress.step(f"{size} workitems")


def _entity(place: int) -> dict[str, Any]:
    state = State.COMPLETED if place % 10 else State.SCHEDULED
    dataset = _dataset(place) | {"00741000": {"vr": "CS", "Value": [state.value]}}
    return entity_of(Workitem(_PARTITION.number, f"2.25.{place}", place + 1, state, "", dataset, str(place)), "made")


def _dataset(place: int) -> dict[str, Any]:
    request = {"00080050": {"vr": "SH", "Value": [f"ACC-{place}"]}, "0020000D": {"vr": "UI", "Value": ["2.25.1"]}}
    return {
        "00080018": {"vr": "UI", "Value": [f"2.25.{place}"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": f"Example^Nr{place}"}]},
        "00100020": {"vr": "LO", "Value": [f"P-{place}"]},
        "00404005": {"vr": "DT", "Value": [f"202611{place % 28 + 1:02d}083000"]},
        "0040A370": {"vr": "SQ", "Value": [request]},
        "00741000": {"vr": "CS", "Value": ["SCHEDULED"]},
        "00741204": {"vr": "LO", "Value": ["a step of a procedure " * 10]},
    }


async def _create(workitems: Workitems, uid: str) -> None:
    assert await workitems.create(_PARTITION, uid, _dataset(0) | {"00080018": {"vr": "UI", "Value": [uid]}})


async def _claim(workitems: Workitems, uid: str) -> None:
    workitem = await workitems.find(_PARTITION, uid)
    assert workitem is not None
    await workitems.change(workitem, workitem.dataset, workitem.state, "2.25.1")


async def _asked(
    head: str, tables: CountedTables, workitems: Workitems, conditions: tuple[Condition, ...], offset: int
) -> str:
    hits = len((await workitems.search(_PARTITION, conditions, offset, 100)).rows)
    return await _timed(head, tables, lambda: workitems.search(_PARTITION, conditions, offset, 100), hits)


async def _timed(
    head: str, tables: CountedTables, work: Callable[[], Awaitable[Any]], hits: int | None = None, rounds: int = _ROUNDS
) -> str:
    times = []
    for _ in range(rounds):
        tables.calls = tables.rows = 0
        began = time.perf_counter()
        await work()
        times.append((time.perf_counter() - began) * 1000)
    shown = "" if hits is None else str(hits)
    return f"{head} | {shown} | {tables.calls} | {tables.rows} | {number(middle(times))} |"
