"""How much memory the service takes on top of what it holds when idle, while large bodies pass through it."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import aiohttp

from shared.dev.bench.files import BIG_ENDIAN, IMPLICIT, RELATED, MadeInstance, body, body_bytes, instance, series_of
from shared.dev.bench.framed import FramedObject, pictures
from shared.dev.bench.report import KIB, MIB, BenchError, Figures, Progress, machine, number
from shared.dev.bench.service import Service, running_service
from shared.dicom.elements import EXPLICIT_LITTLE

SUMMARY = "memory of the service while large bodies pass through it"
HELP = """\
Stores and retrieves large bodies through the real local host, a process of its own, with real HTTP and an in-memory
Azurite. The client makes bodies while it sends them and throws away what it receives.

  above idle  the most memory the host's process held while the request ran (VmHWM, begun anew before each request),
              less what it held when idle: after small requests of each sort, before the first large one.
              Memory that an earlier request left behind counts.
  now         the same difference a moment after the request: what it keeps
  OK, OVER    whether `above idle` is within the budget; one OVER makes the exit code 1

Requests: a store of one instance and of many of 512 KB in one multipart body; then a retrieve of that instance as it
is stored, of that study as multipart, and of two instances of half the size (100 MB is the most that is re-encoded),
big-endian and implicit, re-encoded to explicit little endian; then 50 requests at once for frames of an object of 2,000
(512 x 512 pixels, JPEG 2000): 10 each as they are stored, 4 each as explicit little endian, and pictures of one each.
These have a budget of 256 MB. MB and KB are powers of two.
"""

_INSTANCE_BYTES = 512 * KIB
_SETTLE_SECONDS = 0.3
_READ_BYTES = 256 * KIB
_SINGLE = 'application/dicom; transfer-syntax="{}"'
_FRAMES, _AT_ONCE = 2_000, 50
_FRAMES_BUDGET_MEGABYTES = 256
_FRAME_PARTS = 'multipart/related; type="application/octet-stream"; transfer-syntax={}'
_STUDY = 'multipart/related; type="application/dicom"; transfer-syntax=*'

Work = Callable[[aiohttp.ClientSession, str], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Reading:
    """What one request took.

    Attributes:
        name: of the request.
        seconds: until it was over.
        body_bytes: of its large body.
        peak_bytes: above idle, at most.
        kept_bytes: above idle, a moment later.
        budget_megabytes: above idle; None for that of the others.
    """

    name: str
    seconds: float
    body_bytes: int
    peak_bytes: int
    kept_bytes: int
    budget_megabytes: int | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this benchmark."""
    parser.add_argument("--megabytes", type=int, default=200, help="size of the large bodies (default: 200)")
    parser.add_argument("--budget", type=int, default=64, help="how much above idle is allowed, in MB (default: 64)")


def run(options: argparse.Namespace, progress: Progress) -> int:
    """Measure and print; 1 when a request was over the budget."""
    with running_service() as service:
        idle_bytes, readings = asyncio.run(_measure(service, options.megabytes * MIB, progress))
    progress.done()
    text, code = report(idle_bytes, readings, options.budget)
    print(text)
    return code


def report(idle_bytes: int, readings: Sequence[Reading], budget_megabytes: int) -> tuple[str, int]:
    """What is printed, and the exit code: 1 when a request was over the budget."""
    over = [each.peak_bytes > (each.budget_megabytes or budget_megabytes) * MIB for each in readings]
    rows = tuple(
        (
            each.name,
            number(each.body_bytes / MIB),
            number(each.seconds),
            f"{each.peak_bytes / MIB:.1f}",
            f"{each.kept_bytes / MIB:.1f}",
            "OVER" if too_much else "OK",
        )
        for each, too_much in zip(readings, over, strict=True)
    )
    idle = f"idle {idle_bytes / MIB:.0f} MB; budget {budget_megabytes} MB above idle"
    columns = ("request", "body MB", "seconds", "above idle MB", "now MB", "budget")
    return Figures(f"Memory of the host ({machine()}; {idle})", columns, rows).text(), int(any(over))


async def _measure(service: Service, size_bytes: int, progress: Progress) -> tuple[int, list[Reading]]:
    single = instance(size_bytes)
    study = series_of(max(size_bytes // _INSTANCE_BYTES, 2), _INSTANCE_BYTES)
    foreign = {syntax: instance(size_bytes // 2, syntax) for syntax in (BIG_ENDIAN, IMPLICIT)}
    requests: list[tuple[str, Work]] = [
        ("STOW, one instance", _store([single])),
        (f"STOW, {len(study)} x 512 KB", _store(study)),
        ("WADO, one instance as stored", _retrieve(single.path, _SINGLE.format("*"), single.size_bytes)),
        (f"WADO, study of {len(study)}", _retrieve(f"studies/{study[0].study_uid}", _STUDY, body_bytes(study))),
        *(
            (
                f"WADO, {name} to explicit little endian",
                _retrieve(foreign[syntax].path, _SINGLE.format(EXPLICIT_LITTLE), foreign[syntax].pixel_bytes),
            )
            for name, syntax in (("big endian", BIG_ENDIAN), ("implicit", IMPLICIT))
        ),
    ]
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=110), read_bufsize=_READ_BYTES) as session:
        meter = _Meter(service, session, progress)
        await meter.begin()
        readings = [await meter.read(name, work) for name, work in requests[:4]]
        progress.step("storing what will be re-encoded")
        for each in foreign.values():
            await _store([each])(session, meter.url)
        readings += [await meter.read(name, work) for name, work in requests[4:]]
        readings += await _frames(meter, session, progress)
    return meter.idle_bytes, readings


async def _frames(meter: _Meter, session: aiohttp.ClientSession, progress: Progress) -> list[Reading]:
    """Many requests at once for frames of one object."""
    framed = pictures(_FRAMES)
    progress.step(f"storing {_FRAMES:,} frames")
    await _store_framed(session, meter.url, framed)
    kinds: tuple[tuple[str, Callable[[int], str], str], ...] = (
        ("10 frames as stored", partial(_numbers, 10), _FRAME_PARTS.format("*")),
        ("4 frames as explicit little endian", partial(_numbers, 4), _FRAME_PARTS.format(EXPLICIT_LITTLE)),
        ("1 frame as JPEG", lambda place: f"{_numbers(1, place)}/rendered", "image/jpeg"),
    )
    readings = []
    for name, below, accept in kinds:
        works = [_retrieve(f"{framed.path}/frames/{below(place)}", accept, 1) for place in range(_AT_ONCE)]
        reading = await meter.read(f"WADO, {_AT_ONCE} x {name}", _together(works))
        readings.append(replace(reading, budget_megabytes=_FRAMES_BUDGET_MEGABYTES))
    return readings


def _numbers(count: int, place: int) -> str:
    """Frames spread over the object, others for each place."""
    return ",".join(str((place * 397 + step * 131) % _FRAMES + 1) for step in range(count))


def _together(works: Sequence[Work]) -> Work:
    async def work(session: aiohttp.ClientSession, url: str) -> int:
        return sum(await asyncio.gather(*(one(session, url) for one in works)))

    return work


async def _store_framed(session: aiohttp.ClientSession, url: str, framed: FramedObject) -> None:
    headers = {"Content-Type": "application/dicom", "Accept": "application/dicom+json"}
    headers["Content-Length"] = str(framed.size_bytes)
    async with session.post(f"{url}/studies", data=framed.pieces(), headers=headers) as response:
        if response.status not in (200, 202):
            raise BenchError(f"a store was answered {response.status}: {(await response.read())[:300]!r}")


class _Meter:
    """Reads the memory of the service while work is done.

    Attributes:
        url: of the version that is asked.
        idle_bytes: what the service held before the first large body.
    """

    def __init__(self, service: Service, session: aiohttp.ClientSession, progress: Progress) -> None:
        self.url = f"{service.url}/v2"
        self.idle_bytes = 0
        self._service = service
        self._session = session
        self._progress = progress

    async def begin(self) -> None:
        """Have everything loaded that is loaded once, then see what the service holds."""
        await _warm_up(self._session, self.url)
        await asyncio.sleep(_SETTLE_SECONDS)
        self.idle_bytes = self._service.rss_bytes()

    async def read(self, name: str, work: Work) -> Reading:
        """Do one piece of work."""
        self._progress.step(name)
        self._service.clear_peak()
        start = time.perf_counter()
        count = await work(self._session, self.url)
        seconds = time.perf_counter() - start
        peak_bytes = self._service.peak_bytes() - self.idle_bytes
        await asyncio.sleep(_SETTLE_SECONDS)
        return Reading(name, seconds, count, peak_bytes, self._service.rss_bytes() - self.idle_bytes)


async def _warm_up(session: aiohttp.ClientSession, url: str) -> None:
    """One of each request, small: what the process loads once is not what a large body takes."""
    pair = series_of(2, 16 * KIB)
    foreign = instance(16 * KIB, BIG_ENDIAN)
    await _store(pair)(session, url)
    await _store([foreign])(session, url)
    await _retrieve(f"studies/{pair[0].study_uid}", _STUDY, body_bytes(pair))(session, url)
    await _retrieve(foreign.path, _SINGLE.format(EXPLICIT_LITTLE), foreign.pixel_bytes)(session, url)
    # The codecs.
    framed = pictures(2)
    await _store_framed(session, url, framed)
    await _retrieve(f"{framed.path}/frames/1,2", _FRAME_PARTS.format(EXPLICIT_LITTLE), 1)(session, url)
    await _retrieve(f"{framed.path}/rendered", "image/jpeg", 1)(session, url)


def _store(instances: list[MadeInstance]) -> Work:
    async def work(session: aiohttp.ClientSession, url: str) -> int:
        length = body_bytes(instances)
        headers = {"Content-Type": RELATED, "Content-Length": str(length), "Accept": "application/dicom+json"}
        async with session.post(f"{url}/studies", data=body(instances), headers=headers) as response:
            answer = await response.read()
            # 202: stored with a warning, which an implicit file always gets.
            if response.status not in (200, 202):
                raise BenchError(f"a store was answered {response.status}: {answer[:300]!r}")
        return length

    return work


def _retrieve(path: str, accept: str, least_bytes: int) -> Work:
    async def work(session: aiohttp.ClientSession, url: str) -> int:
        count = 0
        async with session.get(f"{url}/{path}", headers={"Accept": accept}) as response:
            async for chunk in response.content.iter_any():
                count += len(chunk)
            if response.status != 200 or count < least_bytes:
                raise BenchError(f"a retrieve was answered {response.status} with {count} bytes of {least_bytes}")
        return count

    return work
