"""How fast the service stores and retrieves, as a share of what storage itself allows."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from random import Random

import aiohttp

from shared.dev.bench.bare import BareStorage, bare_storage
from shared.dev.bench.files import RELATED, MadeInstance, beside, body, body_bytes, instance, series_of, whole_body
from shared.dev.bench.report import KIB, MIB, BenchError, Figures, Progress, machine, middle, number
from shared.dev.bench.service import Service, running_service
from shared.dev.bench.storage import sample_row
from shared.settings import Settings
from shared.storage.account import account_of

SUMMARY = "instances a second stored and retrieved, as a share of what storage allows"
HELP = """\
Stores and retrieves through the real local host over HTTP, and in turn does with bare storage calls what no service
can do without: the floor. Both with the same number of clients, over the same in-memory Azurite, in interleaved rounds
of one run. Client, service and Azurite share this machine's cores.

  inst/s        instances a second through the service: median of the rounds
  ms            time of one request, all its instances: median
  host ms       processor time of the service's process an instance: median
  floor inst/s  storage alone: for a store, one PUT of a blob an instance (32 at once), then rows of all of them and of
                the study in transactions; for a retrieve, the point read of a row and then the GET of its blob
  floor ms      time of one such piece of work: median
  share         inst/s as a part of floor inst/s. A store of the service also reads the rows of study and series and
                appends to the change feed, and a new study and series are covered in the search logs: up to five
                calls that the floor does not make

Each store is a new study, but for `one series`, where all of them go into the same. Tiny is a file of 1 KB.
"""

_TINY, _SLICE = 1 * KIB, 512 * KIB
_FLOOR_PUTS = 32
_FLOOR_ROWS = 98
_STORED = 48
_WHOLE_BYTES = MIB
# For each kind of request and number of clients; a slow machine ends rounds early.
_SECONDS = 3.0

Work = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request.

    Attributes:
        name: for people.
        instances: in a request.
        size_bytes: of an instance.
        requests: in a round, by number of clients.
        retrieves: whether it retrieves.
        new_study: whether each request begins a new study; otherwise all go into one series.
    """

    name: str
    instances: int
    size_bytes: int
    requests: dict[int, int]
    retrieves: bool = False
    new_study: bool = True


# The emulator gets slower with every blob it holds: each group begins with an empty one.
GROUPS = (
    (
        Kind("STOW 1 x 512 KB", 1, _SLICE, {1: 40, 8: 96}),
        Kind("STOW 20 x 512 KB", 20, _SLICE, {1: 4, 8: 8}),
        Kind("WADO 1 x 512 KB", 1, _SLICE, {1: 80, 8: 240}, retrieves=True),
    ),
    (
        Kind("STOW 1 x tiny", 1, _TINY, {1: 60, 8: 160}),
        Kind("STOW 1 x tiny, one series", 1, _TINY, {1: 60, 8: 160}, new_study=False),
    ),
    (Kind("STOW 100 x tiny", 100, _TINY, {1: 3, 8: 8}),),
)


@dataclass(frozen=True, slots=True)
class Speed:
    """What one round showed.

    Attributes:
        rate: instances a second.
        request_ms: median time of a request.
        host_ms: processor time of the service an instance.
    """

    rate: float
    request_ms: float
    host_ms: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this benchmark."""
    parser.add_argument("--rounds", type=int, default=3, help="rounds, each with service and floor (default: 3)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only requests with that in their name")
    parser.add_argument("--scale", type=float, default=1.0, help="how many times the usual requests (default: 1)")


def run(options: argparse.Namespace, progress: Progress) -> int:
    """Measure and print."""
    rows: list[tuple[str, ...]] = []
    for group in GROUPS:
        kinds = [kind for kind in group if options.only in kind.name]
        if not kinds:
            continue
        progress.step(f"{kinds[0].name}: starting storage and service")
        with running_service() as service:
            for kind in kinds:
                rows += asyncio.run(_measure(service, kind, options.rounds, options.scale, progress))
    if not rows:
        raise BenchError(f"no kind of request has {options.only!r} in its name")
    progress.done()
    columns = ("request", "clients", "inst/s", "ms", "host ms", "floor inst/s", "floor ms", "share")
    print(Figures(f"Store and retrieve ({machine()}; up to {options.rounds} rounds)", columns, tuple(rows)).text())
    return 0


async def _measure(
    service: Service, kind: Kind, rounds: int, scale: float, progress: Progress
) -> list[tuple[str, ...]]:
    account = account_of(Settings(storage_connection=service.connection_string))
    rows = []
    # A container and a table for each kind, so that the floor always writes what is not there yet.
    place = f"floor{sha256(kind.name.encode()).hexdigest()[:8]}"
    async with bare_storage(account, place) as bare, _session() as session:
        await bare.make(place)
        client = _Client(session, f"{service.url}/v2", kind)
        floor = _Floor(bare, place, kind)
        if kind.retrieves:
            await client.fill()
            await floor.fill()
        for clients, requests in kind.requests.items():
            count = max(clients, round(requests * scale))
            ours: list[Speed] = []
            bottom: list[Speed] = []
            deadline = time.monotonic() + _SECONDS
            await _race(service, client.work(2), 1, kind.instances)
            await _race(service, floor.work(2), 1, kind.instances)
            for turn in range(rounds):
                progress.step(f"{kind.name}, {clients} clients, round {turn + 1} of {rounds}")
                pair = [(bottom, floor.work(count)), (ours, client.work(count))]
                for speeds, work in pair if turn % 2 else reversed(pair):
                    speeds.append(await _race(service, work, clients, kind.instances))
                if time.monotonic() > deadline:
                    break
            rows.append(_row(kind, clients, ours, bottom))
    return rows


def _row(kind: Kind, clients: int, ours: Sequence[Speed], floor: Sequence[Speed]) -> tuple[str, ...]:
    rate, floor_rate = middle([each.rate for each in ours]), middle([each.rate for each in floor])
    return (
        kind.name,
        str(clients),
        number(rate),
        number(middle([each.request_ms for each in ours])),
        number(middle([each.host_ms for each in ours])),
        number(floor_rate),
        number(middle([each.request_ms for each in floor])),
        f"{rate / floor_rate:.0%}",
    )


async def _race(service: Service, work: Sequence[Work], clients: int, instances: int) -> Speed:
    """Do all work with so many clients at once, each taking the next piece when it has done one."""
    pieces = iter(work)
    times: list[float] = []

    async def client() -> None:
        for piece in pieces:
            start = time.perf_counter()
            await piece()
            times.append(time.perf_counter() - start)

    cpu, start = service.cpu_seconds(), time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    seconds, cpu = time.perf_counter() - start, service.cpu_seconds() - cpu
    done = len(times) * instances
    return Speed(done / seconds, middle(times) * 1000, cpu * 1000 / done)


@asynccontextmanager
async def _session() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=100)
    async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


class _Client:
    """Requests to the service."""

    def __init__(self, session: aiohttp.ClientSession, url: str, kind: Kind) -> None:
        self._session = session
        self._url = url
        self._kind = kind
        self._stored: list[MadeInstance] = []
        self._series: MadeInstance | None = None if kind.new_study else instance(kind.size_bytes)

    async def fill(self) -> None:
        """Store what is retrieved later."""
        self._stored = series_of(_STORED, self._kind.size_bytes)
        await self._store(self._stored)()

    def work(self, count: int) -> list[Work]:
        """So many requests, ready to be sent."""
        if self._kind.retrieves:
            chosen = Random(count).choices(self._stored, k=count)  # noqa: S311 - which to read, not a secret
            return [self._retrieve(each) for each in chosen]
        return [self._store(self._new()) for _ in range(count)]

    def _new(self) -> list[MadeInstance]:
        if self._series is None:
            return series_of(self._kind.instances, self._kind.size_bytes)
        return [beside(self._series) for _ in range(self._kind.instances)]

    def _store(self, instances: list[MadeInstance]) -> Work:
        length = body_bytes(instances)
        headers = {"Content-Type": RELATED, "Content-Length": str(length), "Accept": "application/dicom+json"}
        whole = whole_body(instances) if length < _WHOLE_BYTES else None

        async def work() -> None:
            sent = body(instances) if whole is None else whole
            async with self._session.post(f"{self._url}/studies", data=sent, headers=headers) as response:
                answer = await response.read()
                if response.status != 200:
                    raise BenchError(f"a store was answered {response.status}: {answer[:300]!r}")

        return work

    def _retrieve(self, stored: MadeInstance) -> Work:
        headers = {"Accept": "application/dicom; transfer-syntax=*"}

        async def work() -> None:
            async with self._session.get(f"{self._url}/{stored.path}", headers=headers) as response:
                answer = await response.read()
                if response.status != 200 or len(answer) != stored.size_bytes:
                    raise BenchError(f"a retrieve was answered {response.status} with {len(answer)} bytes")

        return work


class _Floor:
    """The storage calls that no service can do without."""

    def __init__(self, bare: BareStorage, table: str, kind: Kind) -> None:
        self._bare = bare
        self._table = table
        self._kind = kind
        self._content = bytes(kind.size_bytes)
        self._numbers: Iterator[int] = itertools.count()

    async def fill(self) -> None:
        """Write what is read later."""
        for place in range(_STORED):
            await self._bare.put_blob(f"read{place}", self._content)
            await self._bare.put_rows(self._table, "read", [(f"r{place}", sample_row(place))])

    def work(self, count: int) -> list[Work]:
        """So many pieces of work."""
        return [(self._read if self._kind.retrieves else self._store) for _ in range(count)]

    async def _read(self) -> None:
        place = next(self._numbers) % _STORED
        await self._bare.get_row(self._table, "read", f"r{place}")
        await self._bare.get_blob(f"read{place}")

    async def _store(self) -> None:
        study = next(self._numbers)
        gate = asyncio.Semaphore(_FLOOR_PUTS)

        async def put(place: int) -> None:
            async with gate:
                await self._bare.put_blob(f"{study}/{place}", self._content)

        await asyncio.gather(*(put(place) for place in range(self._kind.instances)))
        rows = [(f"i{place:03d}", sample_row(place)) for place in range(self._kind.instances)]
        for start in range(0, len(rows), _FLOOR_ROWS):
            # The row of the study goes with every transaction of its instances.
            await self._bare.put_rows(
                self._table, f"s{study}", [("a", sample_row(0)), *rows[start : start + _FLOOR_ROWS]]
            )
