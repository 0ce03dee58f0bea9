"""What a bulk update moves to and from storage, beside what is stored."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from shared.dev.azurite import RunningAzurite
from shared.dev.bench.files import MadeInstance, series_of
from shared.dev.bench.report import KIB, MIB, BenchError, Figures, Progress, machine, number
from shared.dev.counting import CountingTransport
from shared.dev.host.settings import environment
from shared.dev.load import DEFAULT, RULES
from shared.dicom.updating import Change
from shared.edits import bulk_update
from shared.edits.change_set import UpdateRequest
from shared.settings import Settings
from shared.storage.operations import OperationKind
from shared.storage.stores import Stores, open_stores
from shared.stow.store import StoreRequest

SUMMARY = "bytes and calls of a bulk update"
HELP = """\
Stores studies in an in-memory Azurite, and gives all their instances another patient.

  stored MB      what the studies take
  sent MB        bodies of calls to storage
  received MB    bodies of answers
  KB a file      both together
  calls a file   calls to blobs, tables and queue

Headers of HTTP are left out. The files are as small before their pixel data as they can be; of others, up to 8 KB are
read, or as much as lies before the end of the patient's attributes.
"""

_UPDATES = (("update", "Other^Patient"), ("update again", "Another^Patient"))


@dataclass(frozen=True, slots=True)
class Cost:
    """What a step took: bytes, calls and seconds."""

    sent_bytes: int
    received_bytes: int
    calls: int
    seconds: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this benchmark."""
    parser.add_argument("--studies", type=int, default=20, help="how many, at most 50 (default: 20)")
    parser.add_argument("--instances", type=int, default=200, help="in each study (default: 200)")
    parser.add_argument("--kilobytes", type=int, default=64, help="of each instance (default: 64)")
    parser.add_argument(
        "--again", action="store_true", help="update a second time, which takes away what the first put"
    )


def run(options: argparse.Namespace, progress: Progress) -> int:
    """Measure and print."""
    with RunningAzurite(None, environment()) as azurite:
        studies = [series_of(options.instances, options.kilobytes * KIB) for _ in range(options.studies)]
        costs = asyncio.run(_measure(azurite.connection_string, studies, progress, again=options.again))
    progress.done()
    print(_figures(costs, studies).text())
    return 0


async def _measure(
    connection: str, studies: Sequence[Sequence[MadeInstance]], progress: Progress, *, again: bool
) -> dict[str, Cost]:
    transport = CountingTransport()
    stores = open_stores(Settings(storage_connection=connection), transport)
    costs: dict[str, Cost] = {}
    try:
        began = time.monotonic()
        for place, study in enumerate(studies):
            progress.step(f"{place} of {len(studies)} studies stored")
            await _store(stores, study)
        costs["store"] = _cost(transport, began)
        for name, patient in _UPDATES if again else _UPDATES[:1]:
            transport.forget()
            began = time.monotonic()
            await _update(stores, [study[0].study_uid for study in studies], patient, progress)
            costs[name] = _cost(transport, began)
    finally:
        await stores.close()
        await transport.close()
    return costs


async def _store(stores: Stores, study: Sequence[MadeInstance]) -> None:
    async with stores.uploads.request(DEFAULT.number) as uploads:
        request = StoreRequest(stores, uploads, DEFAULT, RULES, None)
        try:
            for one in study:
                await request.take(_chunks(one))
            outcomes = await request.finish()
        finally:
            await request.close()
    if any(outcome.failure for outcome in outcomes):
        raise BenchError("the studies could not be stored")


async def _chunks(one: MadeInstance) -> AsyncIterator[bytes]:
    for piece in one.pieces():
        yield piece


async def _update(stores: Stores, study_uids: Sequence[str], patient: str, progress: Progress) -> None:
    """The slices of an update, one after the other, as a worker does them."""
    request = UpdateRequest(tuple(study_uids), (Change(0x00100010, "PN", patient),))
    state = bulk_update.beginning(DEFAULT, request, await stores.feed.last_number())
    operation = await stores.operations.begin(OperationKind.UPDATE, state)
    taken = await stores.operations.take(operation.id, "benchmark")
    while taken is not None and not taken.finished:
        left = await bulk_update.step(taken, stores)
        progress.step(f"{left.percent} % updated")
        taken = await stores.operations.save(taken, left)
    if taken is None or taken.reason:
        raise BenchError("the update did not succeed")


def _cost(transport: CountingTransport, began: float) -> Cost:
    return Cost(transport.sent_bytes, transport.received_bytes, transport.calls, time.monotonic() - began)


def _figures(costs: dict[str, Cost], studies: Sequence[Sequence[MadeInstance]]) -> Figures:
    files = [one for study in studies for one in study]
    stored = sum(one.size_bytes for one in files)
    rows = []
    for name, cost in costs.items():
        moved = cost.sent_bytes + cost.received_bytes
        rows.append(
            (
                name,
                number(stored / MIB),
                number(cost.sent_bytes / MIB),
                number(cost.received_bytes / MIB),
                number(moved / KIB / len(files)),
                number(cost.calls / len(files)),
                number(cost.seconds),
            )
        )
    columns = ("step", "stored MB", "sent MB", "received MB", "KB a file", "calls a file", "seconds")
    title = f"{len(studies)} studies of {len(studies[0])} instances ({machine()})"
    return Figures(title, columns, tuple(rows))
