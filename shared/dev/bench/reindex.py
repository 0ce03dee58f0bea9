"""What it costs to index what is stored by new extended query tags, and how that grows with the store."""

from __future__ import annotations

import argparse
import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson

from shared.api import jobs
from shared.dev.azurite import RunningAzurite
from shared.dev.bench.report import Figures, Progress, machine, number
from shared.dev.counting import CountingTransport
from shared.dev.host.settings import environment
from shared.dev.load import DEFAULT, RULES, file_of, made_study
from shared.dicom.attributes import Level
from shared.dicom.part10 import Part10Scanner
from shared.querytags import reindex
from shared.settings import Settings
from shared.storage.index import Snapshot
from shared.storage.operations import OperationKind
from shared.storage.operationstore import message
from shared.storage.rows import NewInstance
from shared.storage.stores import Stores, open_stores
from shared.storage.tagchanges import NewTag
from shared.stow.digest import digest, new_instance

SUMMARY = "calls and time of indexing what is stored by new tags, by instances stored"
HELP = """\
Loads instances, 200 a study, without their bytes, into an in-memory Azurite, and adds a tag of studies, one of series
and one of instances to it, at each size in an account of its own.

  calls      calls to storage that the operation made
  a 1,000    of them, for 1,000 instances: the same at every size when the work is linear
  s          how long the operation took, by one worker
  a second   instances
"""

_STUDY = 200
_A_TRANSACTION = 90
_AT_ONCE = 8
_TAGS = (
    NewTag(0x00080016, "UI", Level.STUDY),
    NewTag(0x00080005, "CS", Level.SERIES),
    NewTag(0x00200013, "IS", Level.INSTANCE),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one operation cost."""

    calls: int
    slices: int
    seconds: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this benchmark."""
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000], help="instances (default: 1000 10000)")


def run(options: argparse.Namespace, progress: Progress) -> int:
    """Measure and print."""
    costs: dict[int, Cost] = {}
    for size in sorted(set(options.sizes)):
        with RunningAzurite(None, environment()) as azurite:
            costs[size] = asyncio.run(_measure(azurite.connection_string, size, progress))
    progress.done()
    print(_figures(costs).text())
    return 0


async def _measure(connection: str, size: int, progress: Progress) -> Cost:
    transport = CountingTransport()
    stores = open_stores(Settings(storage_connection=connection), transport)
    try:
        await _load(stores, size, progress)
        progress.step(f"{size:,} instances: indexing")
        transport.forget()
        began = time.perf_counter()
        operation = await stores.operations.begin(OperationKind.REINDEX, reindex.beginning(_TAGS), alone=reindex.LOCK)
        await jobs.run(message(operation.id), stores, budget_seconds=math.inf)
        seconds = time.perf_counter() - began
        ended = await stores.operations.find(operation.id)
        assert ended is not None, "it was begun"
        return Cost(transport.calls, ended.slices, seconds)
    finally:
        await stores.close()
        await transport.close()


async def _load(stores: Stores, size: int, progress: Progress) -> None:
    gate = asyncio.Semaphore(_AT_ONCE)
    done = 0

    async def one(first: int) -> None:
        nonlocal done
        async with gate:
            await _store(stores, range(first, min(first + _STUDY, size)))
            done += _STUDY
            progress.step(f"{min(done, size):,} of {size:,} instances loaded")

    await asyncio.gather(*(one(first) for first in range(0, size, _STUDY)))


async def _store(stores: Stores, numbers: range) -> None:
    """The instances of one study, of one series."""
    async with stores.writer.request() as epoch:
        await stores.index.ready(DEFAULT)
        instances = [_instance(stores, epoch, numbers[0], one) for one in numbers]
        for start in range(0, len(instances), _A_TRANSACTION):
            seen = Snapshot(None, {}) if not start else None
            await stores.index.commit(DEFAULT, instances[start : start + _A_TRANSACTION], seen)


def _instance(stores: Stores, epoch: int, first: int, place: int) -> NewInstance:
    study = made_study(first)
    made = replace(study, sop_instance_uid=made_study(place).sop_instance_uid)
    scanner = Part10Scanner()
    scanner.feed(file_of(made))
    scanned = scanner.finish()
    blob = stores.writer.blob_name(DEFAULT.number, epoch)
    instance = new_instance(scanned, digest(scanned, RULES, None), blob)
    # All made studies say 1; those of one series differ in nothing else that a tag here is about.
    said = orjson.loads(instance.metadata) | {"00200013": {"vr": "IS", "Value": [place - first + 1]}}
    return replace(instance, metadata=orjson.dumps(said))


def _figures(costs: dict[int, Cost]) -> Figures:
    rows: Sequence[tuple[str, ...]] = [
        (
            f"{size:,}",
            f"{math.ceil(size / _STUDY):,}",
            f"{cost.slices}",
            f"{cost.calls:,}",
            number(cost.calls / size * 1000),
            number(cost.seconds),
            f"{size / cost.seconds:,.0f}",
        )
        for size, cost in costs.items()
    ]
    columns = ("instances", "studies", "slices", "calls", "a 1,000", "s", "a second")
    return Figures(f"Indexing by three new tags ({machine()})", columns, tuple(rows))
