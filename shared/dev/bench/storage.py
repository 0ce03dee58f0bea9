"""What a storage call costs the client: the service's own client beside a bare call and beside the vendor's SDKs."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from azure.data.tables.aio import TableClient
from azure.storage.blob.aio import ContainerClient

from shared.dev.azurite import RunningAzurite
from shared.dev.bench.bare import BareStorage, Row, bare_storage
from shared.dev.bench.report import KIB, Figures, Progress, machine, middle, number, ratio
from shared.dev.host.settings import environment
from shared.settings import Settings
from shared.storage.account import account_of
from shared.storage.blobs import Blobs
from shared.storage.client import StorageClient
from shared.storage.tables import Tables, Write, between

SUMMARY = "client CPU and wall time of a storage call"
HELP = """\
Sends the same calls to an in-memory Azurite in three ways, in interleaved rounds of one run, one call at a time:
  ours   this service's StorageClient, Blobs and Tables
  bare   a signed aiohttp request and nothing else (no retry, no checks)
  sdk    the async clients of azure-storage-blob and azure-data-tables

  cpu ms      processor time of this process a call (Azurite is another process): median of the rounds
  wall ms     time until the call is over, Azurite's work included: median of the rounds
  ours/bare   how many times the processor time of the bare call ours takes; sdk/bare likewise. The goal is 2 or less.
"""

_TABLE = "bench"
_PARTITION = "d0~1.2.840.113619.2.55.3"
_SMALL, _LARGE = 10 * KIB, 512 * KIB
_PAGE_ROWS = 100
_BATCH_ROWS = 10
_WAYS = ("ours", "bare", "sdk")

Call = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Operation:
    """The same call in three ways.

    Attributes:
        name: for people.
        calls: by way.
    """

    name: str
    calls: dict[str, Call]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: rounds of calls of each kind, and about how many seconds at most for all."""

    rounds: int
    calls: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds a call."""

    cpu: float
    wall: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this benchmark."""
    parser.add_argument("--rounds", type=int, default=7, help="rounds, each with all three ways (default: 7)")
    parser.add_argument("--seconds", type=float, default=80, help="stop rounds early after about that (default: 80)")
    parser.add_argument("--calls", type=int, default=60, help="calls of each kind in a round (default: 60)")


def run(options: argparse.Namespace, progress: Progress) -> int:
    """Measure and print."""
    with RunningAzurite(None, environment()) as azurite:
        plan = Plan(options.rounds, options.calls, options.seconds)
        costs = asyncio.run(_measure(azurite.connection_string, plan, progress))
    progress.done()
    print(_figures(costs, f"{machine()}; up to {options.rounds} rounds of {options.calls} calls").text())
    return 0


def sample_row(place: int) -> dict[str, Any]:
    """A row of 16 properties and 0.6 KB, about what an instance has."""
    row: dict[str, Any] = {f"text{column:02d}": f"value {column} of a row {place:05d}, text" for column in range(12)}
    return row | {"count": place, "length": 524288, "yes": True, "version": 1}


async def _measure(connection: str, plan: Plan, progress: Progress) -> dict[str, dict[str, Cost]]:
    account = account_of(Settings(storage_connection=connection))
    async with AsyncExitStack() as stack:
        client = StorageClient(account)
        stack.push_async_callback(client.close)
        bare = await stack.enter_async_context(bare_storage(account, "bench"))
        container = await stack.enter_async_context(ContainerClient.from_connection_string(connection, "bench"))
        table = await stack.enter_async_context(TableClient.from_connection_string(connection, _TABLE))
        await _fill(bare)
        operations = [
            *_blob_operations(Blobs(client, "bench"), bare, container),
            *_table_operations(Tables(client), bare, table),
        ]
        share = replace(plan, seconds=plan.seconds / len(operations))
        return {each.name: await _compare(each, share, progress) for each in operations}


async def _fill(bare: BareStorage) -> None:
    await bare.make(_TABLE)
    for size in (_SMALL, _LARGE):
        await bare.put_blob(f"read-{size}", bytes(size))
    rows = [(f"a{place:04d}", sample_row(place)) for place in range(_PAGE_ROWS)]
    await bare.put_rows(_TABLE, _PARTITION, rows)


async def _compare(operation: Operation, plan: Plan, progress: Progress) -> dict[str, Cost]:
    seen: dict[str, list[Cost]] = {way: [] for way in _WAYS}
    for way in _WAYS:  # connections, caches
        await _cost(operation.calls[way], 2)
    deadline = time.monotonic() + plan.seconds
    for place in range(plan.rounds):
        progress.step(f"{operation.name}, round {place + 1} of {plan.rounds}")
        # Another one begins in each round, so that nobody always follows the same neighbour.
        for turn in range(len(_WAYS)):
            way = _WAYS[(turn + place) % len(_WAYS)]
            seen[way].append(await _cost(operation.calls[way], plan.calls))
        if time.monotonic() > deadline:
            break
    return {
        way: Cost(middle([cost.cpu for cost in costs]), middle([cost.wall for cost in costs]))
        for way, costs in seen.items()
    }


async def _cost(call: Call, count: int) -> Cost:
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        await call()
    return Cost((time.process_time() - cpu) * 1000 / count, (time.perf_counter() - wall) * 1000 / count)


def _blob_operations(ours: Blobs, bare: BareStorage, sdk: ContainerClient) -> list[Operation]:
    async def read(name: str) -> bytes:
        async with ours.open(name) as opened:
            return b"".join([chunk async for chunk in opened.chunks])

    async def sdk_read(name: str) -> bytes:
        return await (await sdk.download_blob(name)).readall()

    async def sdk_write(name: str, content: bytes) -> None:
        await sdk.upload_blob(name, content, overwrite=True)

    operations = []
    for size in (_SMALL, _LARGE):
        name, content = f"read-{size}", bytes(size)
        operations += [
            Operation(
                f"Blobs.open, {size // KIB} KB",
                {
                    "ours": partial(read, name),
                    "bare": partial(bare.get_blob, name),
                    "sdk": partial(sdk_read, name),
                },
            ),
            Operation(
                f"Blobs.put, {size // KIB} KB",
                {
                    "ours": partial(ours.put, "ours", content),
                    "bare": partial(bare.put_blob, "bare", content),
                    "sdk": partial(sdk_write, "sdk", content),
                },
            ),
        ]
    return operations


def _table_operations(ours: Tables, bare: BareStorage, sdk: TableClient) -> list[Operation]:
    where = between(_PARTITION, "a", "b")

    async def page() -> Sequence[Row]:
        return [row async for rows in ours.pages(_TABLE, where, top=_PAGE_ROWS) for row in rows]

    async def sdk_page() -> Sequence[Row]:
        return [row async for row in sdk.query_entities(where, results_per_page=_PAGE_ROWS)]

    rows = [(f"t{place}", sample_row(place)) for place in range(_BATCH_ROWS)]
    writes = [Write("put", key, row) for key, row in rows]

    async def sdk_transact() -> None:
        entities = [{"PartitionKey": _PARTITION, "RowKey": key, **row} for key, row in rows]
        await sdk.submit_transaction([("upsert", entity, {"mode": "replace"}) for entity in entities])

    return [
        Operation(
            "Tables.get",
            {
                "ours": lambda: ours.get(_TABLE, _PARTITION, "a0007"),
                "bare": lambda: bare.get_row(_TABLE, _PARTITION, "a0007"),
                "sdk": lambda: sdk.get_entity(_PARTITION, "a0007"),
            },
        ),
        Operation(
            f"Tables.pages, {_PAGE_ROWS} rows",
            {"ours": page, "bare": lambda: bare.rows(_TABLE, where, _PAGE_ROWS), "sdk": sdk_page},
        ),
        Operation(
            f"Tables.transact, {_BATCH_ROWS} rows",
            {
                "ours": lambda: ours.transact(_TABLE, _PARTITION, writes),
                "bare": lambda: bare.put_rows(_TABLE, _PARTITION, rows),
                "sdk": sdk_transact,
            },
        ),
    ]


def _figures(costs: dict[str, dict[str, Cost]], title: str) -> Figures:
    columns = (
        "call",
        *(f"{way} cpu ms" for way in _WAYS),
        "ours/bare",
        "sdk/bare",
        *(f"{way} wall ms" for way in _WAYS),
    )
    rows = tuple(
        (
            name,
            *(number(cost[way].cpu) for way in _WAYS),
            ratio(cost["ours"].cpu, cost["bare"].cpu),
            ratio(cost["sdk"].cpu, cost["bare"].cpu),
            *(number(cost[way].wall) for way in _WAYS),
        )
        for name, cost in costs.items()
    )
    return Figures(f"Storage calls ({title})", columns, rows)
