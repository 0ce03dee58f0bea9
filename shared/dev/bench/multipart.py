"""How fast multipart bodies are read: the service's reader beside a loop that only passes the chunks by."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.parser import BytesParser
from types import TracebackType
from typing import Any

from shared.dev.bench.files import BOUNDARY, RELATED, series_of, whole_body
from shared.dev.bench.report import KIB, MIB, BenchError, Figures, Progress, machine, middle, number, ratio
from shared.wire.multipart import read_parts

SUMMARY = "MB/s of the multipart reader"
HELP = """\
Reads multipart/related bodies that are in memory, in chunks of 64 KB as a web server gives them, in interleaved rounds
of one run. MB/s are of one core; nothing is parsed but the framing, nothing is stored.

  ours           shared.wire.multipart.read_parts, every part read to its end in chunks
  bare           an asynchronous loop over the same chunks that only adds up their lengths: what remains when there is
                 no reader at all. No reader can be faster; how far ours is below it is its own cost
  find           the same loop, looking for the boundary in each chunk with bytes.find: the least that any reader does
  dicomweb       the decoder of the Python dicomweb-client, fed the same chunks; it holds each part whole
  email          email.parser of the standard library; it holds the whole body
  ours/dicomweb  how many times as fast ours is
"""

_CHUNK_BYTES = 64 * KIB
_HEAD = f"Content-Type: {RELATED}\r\nMIME-Version: 1.0\r\n\r\n".encode()
# The standard library's takes seconds for what the others read in milliseconds.
_EMAIL_BYTES = 8 * MIB


@dataclass(frozen=True, slots=True)
class _Body:
    """A body.

    Attributes:
        name: for people.
        content: all of it.
        parts: how many there are.
        part_bytes: of all parts together, headers left out.
    """

    name: str
    content: bytes
    parts: int
    part_bytes: int


Way = Callable[[_Body], Awaitable[tuple[int, int]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this benchmark."""
    parser.add_argument("--megabytes", type=int, default=64, help="size of a body (default: 64)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, each with all ways (default: 5)")


def run(options: argparse.Namespace, progress: Progress) -> int:
    """Measure and print."""
    rows = []
    for name, part_bytes in (("1 part", options.megabytes * MIB), ("of 512 KB", 512 * KIB), ("of 2 KB", 2 * KIB)):
        rows.append(asyncio.run(_measure(name, part_bytes, options.megabytes * MIB, options.rounds, progress)))
    progress.done()
    columns = ("parts", *(f"{way} MB/s" for way in _WAYS), "ours/dicomweb")
    title = f"Reading multipart/related ({machine()}; bodies of {options.megabytes} MB, {options.rounds} rounds)"
    print(Figures(title, columns, tuple(rows)).text())
    return 0


def _body(name: str, part_bytes: int, size_bytes: int) -> _Body:
    instances = series_of(max(size_bytes // part_bytes, 1), part_bytes)
    shown = name if len(instances) == 1 else f"{len(instances)} {name}"
    return _Body(shown, whole_body(instances), len(instances), sum(each.size_bytes for each in instances))


async def _measure(name: str, part_bytes: int, size_bytes: int, rounds: int, progress: Progress) -> tuple[str, ...]:
    body = _body(name, part_bytes, size_bytes)
    short = _body(name, min(part_bytes, _EMAIL_BYTES), min(size_bytes, _EMAIL_BYTES))
    seen: dict[str, list[float]] = {way: [] for way in _WAYS}
    for place in range(rounds):
        progress.step(f"{body.name}, round {place + 1} of {rounds}")
        for way, read in _WAYS.items():
            if way != "email" or place == 0:
                seen[way].append(await _speed(way, read, short if way == "email" else body))
    speeds = {way: middle(values) for way, values in seen.items()}
    return (body.name, *(number(speed) for speed in speeds.values()), ratio(speeds["ours"], speeds["dicomweb"]))


async def _speed(name: str, read: Way, body: _Body) -> float:
    start = time.perf_counter()
    parts, count = await read(body)
    seconds = time.perf_counter() - start
    if name in ("bare", "find"):
        parts, count = body.parts, count - len(body.content) + body.part_bytes
    if (parts, count) != (body.parts, body.part_bytes):
        raise BenchError(f"{name} read {parts} parts with {count} bytes of {body.parts} with {body.part_bytes}")
    return len(body.content) / MIB / seconds


def _pieces(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), _CHUNK_BYTES):
        yield content[start : start + _CHUNK_BYTES]


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    for piece in _pieces(content):
        yield piece


async def _ours(body: _Body) -> tuple[int, int]:
    parts = count = 0
    async for part in read_parts(_chunks(body.content), BOUNDARY):
        parts += 1
        async for chunk in part:
            count += len(chunk)
    return parts, count


async def _bare(body: _Body) -> tuple[int, int]:
    count = 0
    async for chunk in _chunks(body.content):
        count += len(chunk)
    return 0, count


async def _find(body: _Body) -> tuple[int, int]:
    count = 0
    delimiter = b"\r\n--" + BOUNDARY.encode()
    async for chunk in _chunks(body.content):
        found = chunk.find(delimiter)
        while found >= 0:
            found = chunk.find(delimiter, found + 1)
        count += len(chunk)
    return 0, count


class _Answer:
    """What the client library takes for the answer of its HTTP library."""

    def __init__(self, content: bytes) -> None:
        self.headers: Mapping[str, str] = {"content-type": RELATED}
        self.content = content

    def iter_content(self, chunk_size: int) -> Iterator[bytes]:
        return _pieces(self.content)

    def __enter__(self) -> _Answer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


async def _dicomweb(body: _Body) -> tuple[int, int]:
    # A development dependency, and slow to import.
    from dicomweb_client.web import DICOMwebClient

    client = DICOMwebClient("http://127.0.0.1:9", chunk_size=_CHUNK_BYTES)
    answer: Any = _Answer(body.content)
    return _count(client._decode_multipart_message(answer, stream=True))


async def _email(body: _Body) -> tuple[int, int]:
    message: Any = BytesParser().parsebytes(_HEAD + body.content)
    parts = message.get_payload()
    return _count(part.get_payload(decode=True) for part in parts)


def _count(contents: Iterable[bytes]) -> tuple[int, int]:
    parts = count = 0
    for content in contents:
        parts += 1
        count += len(content)
    return parts, count


_WAYS: Mapping[str, Way] = {"ours": _ours, "bare": _bare, "find": _find, "dicomweb": _dicomweb, "email": _email}
