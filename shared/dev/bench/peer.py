"""The same requests to Orthanc and to the service: what a client waits for at each."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import aiohttp

from shared.dev.bench.files import RELATED, MadeInstance, instance, series_of, whole_body
from shared.dev.bench.report import KIB, BenchError, Figures, Progress, machine, middle, number, ratio
from shared.dev.bench.service import running_service
from shared.dev.peers.orthanc import OrthancFailed, running_orthanc
from shared.dev.peers.programs import MissingPeer

SUMMARY = "requests of a DICOMweb client, beside Orthanc"
HELP = """\
Asks Orthanc (its DICOMweb plugin, SQLite and files on this disk) and the service (over an in-memory Azurite) for the
same, one request after the other, in turns. Needs what `python -m shared.dev.peers install` installs.

  ours ms, Orthanc ms   median of all rounds, from the request to the last byte
  ours/Orthanc          below 1: ours is faster
"""

_JSON = "application/dicom+json"
_PARTS = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_SECONDS = 120.0


@dataclass(slots=True)
class _Place:
    """A server, and what it has so far.

    Attributes:
        root: what addresses of studies begin with.
        series: a series of which everything is asked.
        times: milliseconds, by what was asked.
    """

    root: str
    series: list[MadeInstance]
    times: dict[str, list[float]] = field(default_factory=dict)


Question = Callable[[aiohttp.ClientSession, _Place, bytes], Awaitable[None]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--rounds", type=int, default=20, help="how often each is asked (default: 20)")
    parser.add_argument("--instances", type=int, default=50, help="instances of the series (default: 50)")
    parser.add_argument("--kilobytes", type=int, default=512, help="length of an instance (default: 512)")


def run(options: argparse.Namespace, progress: Progress) -> int:
    """Print the table."""
    size = options.kilobytes * KIB
    series = series_of(options.instances, size)
    try:
        with running_service() as service, running_orthanc() as orthanc:
            places = (_Place(f"{service.url}/v2", series), _Place(orthanc.dicom_web, series))
            asyncio.run(_measure(places, size, options.rounds, progress))
    except (MissingPeer, OrthancFailed) as error:
        raise BenchError(str(error)) from error
    progress.done()
    title = f"Beside Orthanc ({machine()}; {options.rounds} rounds; {options.instances} × {options.kilobytes} KiB)"
    rows = tuple(_row(name, *(place.times[name] for place in places)) for name in places[0].times)
    print(Figures(title, ("request", "ours ms", "Orthanc ms", "ours/Orthanc"), rows).text())
    return 0


def _row(name: str, ours: Sequence[float], theirs: Sequence[float]) -> tuple[str, ...]:
    mine, other = middle(ours), middle(theirs)
    return name, number(mine), number(other), ratio(mine, other)


async def _measure(places: Sequence[_Place], size: int, rounds: int, progress: Progress) -> None:
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        series = places[0].series
        for place in places:
            await _store(session, place, whole_body(series))
        for name, make, ask in _questions(size, len(series)):
            progress.step(name)
            for number_of_round in range(rounds + 1):
                body = make()
                # In turns, so that what else the machine does falls on both; the first round is for connections.
                for place in places:
                    began = time.perf_counter()
                    await ask(session, place, body)
                    if number_of_round:
                        place.times.setdefault(name, []).append((time.perf_counter() - began) * 1000)


def _questions(size: int, count: int) -> list[tuple[str, Callable[[], bytes], Question]]:
    """Name, what makes the body of a round, and the request."""
    return [
        ("store 1 instance", lambda: whole_body([instance(size)]), _store),
        ("store 10 instances", lambda: whole_body(series_of(10, size)), _store),
        ("search a study by its UID", bytes, _search_study),
        ("search studies by PatientID, 10", bytes, _search_patient),
        (f"search instances of a series, {count}", bytes, _search_instances),
        (f"metadata of a series, {count}", bytes, _metadata),
        ("retrieve 1 instance", bytes, _retrieve_instance),
        (f"retrieve a series, {count}", bytes, _retrieve_series),
    ]


async def _store(session: aiohttp.ClientSession, place: _Place, body: bytes) -> None:
    headers = {"Content-Type": RELATED, "Accept": _JSON}
    async with session.post(f"{place.root}/studies", data=body, headers=headers) as answer:
        await answer.read()
        if answer.status != 200:
            raise BenchError(f"a store was answered with {answer.status}")


async def _get(session: aiohttp.ClientSession, place: _Place, path: str, accept: str = _JSON) -> bytes:
    async with session.get(f"{place.root}/{path}", headers={"Accept": accept}) as answer:
        content = await answer.read()
        if answer.status != 200 or not content:
            raise BenchError(f"{path} was answered with {answer.status}")
        return content


def _series_path(place: _Place) -> str:
    return f"studies/{place.series[0].study_uid}/series/{place.series[0].series_uid}"


async def _search_study(session: aiohttp.ClientSession, place: _Place, _: bytes) -> None:
    await _get(session, place, f"studies?StudyInstanceUID={place.series[0].study_uid}")


async def _search_patient(session: aiohttp.ClientSession, place: _Place, _: bytes) -> None:
    await _get(session, place, "studies?PatientID=BENCH-1&limit=10")


async def _search_instances(session: aiohttp.ClientSession, place: _Place, _: bytes) -> None:
    content = await _get(session, place, f"{_series_path(place)}/instances?limit=200")
    _expect(content.count(b'"00080018"'), place)


async def _metadata(session: aiohttp.ClientSession, place: _Place, _: bytes) -> None:
    content = await _get(session, place, f"{_series_path(place)}/metadata")
    _expect(content.count(b'"00080018"'), place)


async def _retrieve_instance(session: aiohttp.ClientSession, place: _Place, _: bytes) -> None:
    await _get(session, place, place.series[0].path, _PARTS)


async def _retrieve_series(session: aiohttp.ClientSession, place: _Place, _: bytes) -> None:
    content = await _get(session, place, _series_path(place), _PARTS)
    if len(content) < sum(one.size_bytes for one in place.series):
        raise BenchError("a series came back shorter than it was stored")


def _expect(found: int, place: _Place) -> None:
    if found != len(place.series):
        raise BenchError(f"{found} instances were answered, {len(place.series)} are there")
