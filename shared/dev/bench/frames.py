"""What a frame costs beside a plain read of the same bytes, and how that grows with the frames of its object."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

import aiohttp

from shared.api import manifest
from shared.behaviours import Behaviours
from shared.dev.bench.framed import NOISE_BYTES, FramedObject, noise
from shared.dev.bench.report import BenchError, Figures, Progress, machine, middle, number, ratio
from shared.dev.bench.service import running_service
from shared.dev.counting import CountingTransport
from shared.dev.repository import VERSIONS
from shared.settings import Settings
from shared.storage.account import account_of
from shared.storage.blobs import Blobs
from shared.storage.client import StorageClient
from shared.storage.partitions import DEFAULT_NAME
from shared.storage.stores import Stores, open_stores
from shared.wado.handlers import retrieve_frames
from shared.wire.call import Call, Headers
from shared.wire.media import AS_STORED, Choice

SUMMARY = "latency of a frame, beside a plain range read of the same bytes"
HELP = """\
Stores objects of 1, 100 and 10,000 frames of 10 KB, encapsulated and native, and asks for their first, middle and last
frame as it is stored. All ways take turns within a run.

  calls       calls to storage for one frame, by a worker that has read this frame before
  blob bytes  what they read of blobs; the row of the instance, about 1 KB, comes without a length
  range ms    a plain range read of the frame's bytes through the service's storage client: median, as all times
  room ms     the same frame from the room's handler, in this process
  HTTP ms     the same frame from the local host, with real HTTP
  ratio       of the figure before it to `range ms` of the same round: median
  cold        the same by a new worker, with nothing kept and no connection; so is the client of its range read

The lines at the end divide the largest object by the smallest one: 1.00 is flat in the number of frames.
"""

_OCTETS = "application/octet-stream"
_STORED = (200, 202)
_SECONDS = 110

Work = Callable[[], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Subject:
    """A frame to be measured."""

    stored: FramedObject
    frame: int
    place: str

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.stored.kind}, {self.stored.count:,}, {self.place}"


@dataclass(slots=True)
class Readings:
    """What was measured of one frame; milliseconds by way, and what it took of storage."""

    subject: Subject
    times: dict[str, list[float]] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    blob_bytes: dict[str, int] = field(default_factory=dict)

    def figures(self) -> list[float]:
        """The figures of a row, in the order of the table."""
        took = {way: middle(times) for way, times in self.times.items()}
        room, http = self._ratio("room", "range"), self._ratio("HTTP", "range")
        warm = [self.calls["room"], self.blob_bytes["room"], took["range"], took["room"], room, took["HTTP"], http]
        cold = [self.calls["cold"], self.blob_bytes["cold"], took["cold range"], took["cold"]]
        return [*warm, *cold, self._ratio("cold", "cold range")]

    def _ratio(self, way: str, base: str) -> float:
        """Of each round by itself, because the machine is not the same in all of them."""
        return middle([taken / plain for taken, plain in zip(self.times[way], self.times[base], strict=True)])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this benchmark."""
    parser.add_argument("--frames", type=int, nargs="+", default=[1, 100, 10_000], help="default: 1 100 10000")
    parser.add_argument("--rounds", type=int, default=60, help="how often each frame is read (default: 60)")
    parser.add_argument("--cold", type=int, default=15, help="how often by a new worker (default: 15)")


def run(options: argparse.Namespace, progress: Progress) -> int:
    """Measure and print."""
    counts = sorted(set(options.frames))
    with running_service() as service:
        settings = Settings(storage_connection=service.connection_string)
        bench = FramesBench(f"{service.url}/v2", settings, progress)
        readings = asyncio.run(bench.measured(counts, options.rounds, options.cold))
    progress.done()
    print(_figures(readings, f"{machine()}; {options.rounds} rounds, {options.cold} cold").text())
    return 0


class FramesBench:
    """Reads frames in all ways.

    Args:
        url: of the service, with its version.
        settings: of its storage.
        progress: told what is measured.
    """

    def __init__(self, url: str, settings: Settings, progress: Progress) -> None:
        self._url = url
        self._settings = settings
        self._progress = progress
        self._behaviours: Behaviours = manifest.load(VERSIONS).versions[-1].behaviours

    async def measured(self, counts: Sequence[int], rounds: int, cold: int) -> list[Readings]:
        """Every frame in every way."""
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_SECONDS)))
            transport = CountingTransport()
            stack.push_async_callback(transport.close)
            stores = open_stores(self._settings, transport)
            stack.push_async_callback(stores.close)
            client = StorageClient(account_of(self._settings))
            stack.push_async_callback(client.close)
            readings = [Readings(subject) for subject in await self._stored(session, counts)]
            ways = [await self._warm(session, stores, client, one.subject) for one in readings]
            for one, works in zip(readings, ways, strict=True):
                await _time(one, works)  # what is kept is kept from here on
                one.times.clear()
                transport.forget()
                await works["room"]()
                one.calls["room"], one.blob_bytes["room"] = transport.calls, transport.blob_bytes
            for turn in range(rounds):
                self._progress.step(f"round {turn + 1} of {rounds}")
                for one, works in zip(readings, ways, strict=True):
                    await _time(one, works, turn)
            for turn in range(cold):
                self._progress.step(f"cold round {turn + 1} of {cold}")
                for one in readings:
                    await self._cold(stores, one)
        return readings

    async def _stored(self, session: aiohttp.ClientSession, counts: Sequence[int]) -> list[Subject]:
        subjects = []
        for encapsulated in (True, False):
            for count in counts:
                made = noise(count, encapsulated=encapsulated)
                self._progress.step(f"storing {count:,} frames, {made.kind}")
                headers = {"Content-Type": "application/dicom", "Content-Length": str(made.size_bytes)}
                headers["Accept"] = "application/dicom+json"
                async with session.post(f"{self._url}/studies", data=made.pieces(), headers=headers) as response:
                    answer = await response.read()
                    if response.status not in _STORED:
                        raise BenchError(f"a store was answered {response.status}: {answer[:300]!r}")
                places = {"first": 1, "middle": (count + 1) // 2, "last": count} if count > 1 else {"only": 1}
                subjects += [Subject(made, frame, place) for place, frame in places.items()]
        return subjects

    async def _warm(
        self, session: aiohttp.ClientSession, stores: Stores, client: StorageClient, subject: Subject
    ) -> dict[str, Work]:
        return {
            "range": partial(self._range, client, *await self._place(stores, subject)),
            "room": partial(self._room, stores, subject),
            "HTTP": partial(self._http, session, subject),
        }

    async def _place(self, stores: Stores, subject: Subject) -> tuple[str, int]:
        partition = await stores.partition(DEFAULT_NAME)
        found = await stores.instances.find(partition, *subject.stored.uids)
        return found.blob, found.offset_bytes + subject.stored.offset(subject.frame)

    async def _range(self, client: StorageClient, blob: str, offset: int) -> bytes:
        async with Blobs(client, self._settings.container).open(blob, offset, NOISE_BYTES) as opened:
            return b"".join([chunk async for chunk in opened.chunks])

    async def _room(self, stores: Stores, subject: Subject) -> bytes:
        study_uid, series_uid, sop_instance_uid = subject.stored.uids
        call = Call(
            operation="retrieveFrames",
            parameters={
                "study_uid": study_uid,
                "series_uid": series_uid,
                "sop_instance_uid": sop_instance_uid,
                "frames": (subject.frame,),
            },
            headers=Headers(),
            body=_nothing(),
            service_root=self._url,
            partition=DEFAULT_NAME,
            behaviours=self._behaviours,
            choice=Choice(_OCTETS, transfer_syntax=AS_STORED),
        )
        body = (await retrieve_frames(call, stores)).body
        return body if isinstance(body, bytes) else b"".join([chunk async for chunk in body])

    async def _http(self, session: aiohttp.ClientSession, subject: Subject) -> bytes:
        study, series, instance = subject.stored.uids
        url = f"{self._url}/studies/{study}/series/{series}/instances/{instance}/frames/{subject.frame}"
        async with session.get(url, headers={"Accept": f"{_OCTETS}; transfer-syntax=*"}) as response:
            return await response.read()

    async def _cold(self, known: Stores, readings: Readings) -> None:
        place = await self._place(known, readings.subject)
        client = StorageClient(account_of(self._settings))
        transport = CountingTransport()
        stores = open_stores(self._settings, transport)
        works: dict[str, Work] = {
            "cold range": partial(self._range, client, *place),
            "cold": partial(self._room, stores, readings.subject),
        }
        try:
            await _time(readings, works)
        finally:
            await client.close()
            await stores.close()
            await transport.close()
        readings.calls["cold"], readings.blob_bytes["cold"] = transport.calls, transport.blob_bytes


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield


async def _time(readings: Readings, works: dict[str, Work], turn: int = 0) -> None:
    """Each way once; another one begins in each turn."""
    subject = readings.subject
    expected = subject.stored.content(subject.frame)
    ways = list(works)
    for way in ways[turn % len(ways) :] + ways[: turn % len(ways)]:
        start = time.perf_counter()
        got = await works[way]()
        readings.times.setdefault(way, []).append((time.perf_counter() - start) * 1000)
        if got != expected:
            raise BenchError(f"{subject.name}: {way} gave {len(got)} other bytes than the frame has")


_COLUMNS = ("object, frames, frame", "calls", "blob bytes", "range ms", "room ms", "ratio", "HTTP ms", "ratio")
_COLD_COLUMNS = ("cold: calls", "blob bytes", "range ms", "room ms", "ratio")
_COUNTS = (0, 1, 7, 8)


def _figures(readings: Sequence[Readings], where: str) -> Figures:
    rows = [(one.subject.name, *_cells(one.figures())) for one in readings]
    for kind in dict.fromkeys(one.subject.stored.kind for one in readings):
        rows.append(_growth(kind, [one for one in readings if one.subject.stored.kind == kind]))
    title = f"Frames of {NOISE_BYTES:,} bytes, as stored ({where})"
    return Figures(title, (*_COLUMNS, *_COLD_COLUMNS), tuple(rows))


def _cells(figures: Sequence[float]) -> list[str]:
    """Calls and bytes are counts, ratios have two digits, and the others are milliseconds."""
    return [f"{figure:,.0f}" if place in _COUNTS else number(figure) for place, figure in enumerate(figures)]


def _growth(kind: str, readings: Sequence[Readings]) -> tuple[str, ...]:
    """The largest object by the smallest one, figure by figure."""
    counts = [one.subject.stored.count for one in readings]
    large, small = (
        [middle(values) for values in zip(*(one.figures() for one in readings if _is(one, count)), strict=True)]
        for count in (max(counts), min(counts))
    )
    name = f"{kind}, {max(counts):,} by {min(counts):,}"
    return (name, *(ratio(most, least) for most, least in zip(large, small, strict=True)))


def _is(readings: Readings, count: int) -> bool:
    return readings.subject.stored.count == count
