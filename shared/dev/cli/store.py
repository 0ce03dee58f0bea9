"""`dicom store`: files and folders into the service, several files a request, several requests at once."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shared.dev.cli.client import Ask, Service, opened
from shared.dev.cli.files import Found, Journal, PassedOver, check_paths, look, total, walk
from shared.dev.cli.options import Command, Commands, Session, add_command
from shared.dev.cli.report import Fate, Outcome, Tally, attributed
from shared.dev.cli.screen import Bar, Exit, first_of

_CHUNK_BYTES = 1 << 20
_MIB = 1 << 20
_LONG_BYTES = 64 * _MIB
_TOO_LONG = "longer than the service takes in one request; `dicom import` takes files of any length"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is sent at a time."""

    files: int
    size_bytes: int
    requests: int


class _FileGone(Exception):
    """A file cannot be read any more, or has changed since it was looked at."""

    def __init__(self, file: Found, why: str) -> None:
        super().__init__(why)
        self.file = file


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """The command's parser."""
    parser = add_command(
        commands,
        Command(
            "store",
            "Store DICOM files and all that is in folders",
            run,
            ("store scans", "store scans --journal scans.journal", "store one.dcm two.dcm --api-version v1"),
        ),
    )
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="file or folder; what is no DICOM is skipped"
    )
    parser.add_argument("--journal", type=Path, metavar="FILE", help="remembers what is stored; it is not sent again")
    add_limits(parser)


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Options that say how much is sent at a time; `limits_of` reads them."""
    parser.add_argument("--parallel", type=_number, default=4, metavar="N", help="requests at once (default: 4)")
    parser.add_argument("--files", type=_number, default=50, metavar="N", help="most files a request (default: 50)")
    parser.add_argument(
        "--mebibytes", type=_number, default=32, metavar="N", help="most MiB a request, one file excepted (default: 32)"
    )


def limits_of(options: argparse.Namespace) -> Limits:
    """What the options say."""
    return Limits(options.files, options.mebibytes * _MIB, options.parallel)


def _number(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 10_000:
        raise argparse.ArgumentTypeError("is 1 to 10000")
    return number


async def run(options: argparse.Namespace, session: Session) -> int:
    """Store all; exit code 0 when every DICOM file is stored, now or before."""
    check_paths(options.paths)
    limits = limits_of(options)
    _, size_bytes = await asyncio.to_thread(total, options.paths)
    tally = Tally(session.screen)
    async with opened(session) as service:
        place = await service.root(partitioned=True)
        with (
            Journal(options.journal, place_of(session, place)) as journal,
            session.screen.bar("Storing", size_bytes, is_bytes=True) as bar,
        ):
            sending = Sending(service, limits, journal, tally, bar)
            try:
                await sending.all_of(options.paths)
            except (Exception, asyncio.CancelledError):
                if tally.told:
                    tally.close()
                    again = "" if options.journal else " --journal FILE remembers what is stored."
                    session.screen.note(f"Not all is sent. The same command goes on where this one ended.{again}")
                raise
    tally.close()
    if not tally.told_of_files:
        session.screen.error("There is no DICOM file to send.")
    return Exit.WELL if tally.told_of_files and not tally.faults else Exit.REFUSED


def place_of(session: Session, root: str) -> str:
    """What a journal calls the service: a file stored through one version is stored for all of them."""
    _, _, partition = root.removeprefix(session.target.url).lstrip("/").partition("/")
    return f"{session.target.url}/{partition}".rstrip("/")


def batches(files: Iterable[Found], limits: Limits) -> Iterator[list[Found]]:
    """Files for one request each, in order; a UID is in a request once, so that it is clear whose fate is whose."""
    batch: list[Found] = []
    size_bytes = 0
    for file in files:
        full = len(batch) == limits.files or size_bytes + file.size_bytes > limits.size_bytes
        if batch and (full or any(one.sop_instance_uid == file.sop_instance_uid for one in batch)):
            yield batch
            batch, size_bytes = [], 0
        batch.append(file)
        size_bytes += file.size_bytes
    if batch:
        yield batch


@dataclass(slots=True)
class Sending:
    """Files on their way into the service."""

    service: Service
    limits: Limits
    journal: Journal
    tally: Tally
    bar: Bar
    _taken: int = 0
    _refused: int = sys.maxsize
    _waiting: asyncio.Queue[list[Found] | None] = field(default_factory=lambda: asyncio.Queue(2))

    async def all_of(self, paths: Sequence[Path]) -> None:
        """Send all that is in and below some places."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.limits.requests):
                    group.create_task(self._work())
                walked = batches(self._to_send(paths), self.limits)
                # Folders may be slow, too.
                while batch := await asyncio.to_thread(next, walked, None):
                    await self._waiting.put(batch)
                for _ in range(self.limits.requests):
                    await self._waiting.put(None)
        except BaseExceptionGroup as group_of_errors:
            raise first_of(group_of_errors) from None

    def _to_send(self, paths: Sequence[Path]) -> Iterator[Found]:
        for path, size_bytes in walk(paths):
            file = look(path)
            if isinstance(file, PassedOver):
                outcome = Outcome.UNREADABLE if file.fault else Outcome.PASSED_OVER
                self._settle(path, size_bytes, Fate(outcome, words=file.why))
            elif self.journal.has(file):
                self._settle(path, size_bytes, Fate(Outcome.KNOWN, words="stored before, says the journal"))
            else:
                yield file

    def _settle(self, path: Path, size_bytes: int, fate: Fate) -> None:
        self.tally.add(path, size_bytes, fate)
        self.bar.advance(size_bytes)

    async def _work(self) -> None:
        while batch := await self._waiting.get():
            await self.send(batch)

    async def send(self, files: list[Found], before: dict[str, Fate] | None = None) -> None:
        """Send files; those whose fate stays open go again, in smaller requests.

        Args:
            files: of one request.
            before: what an earlier report said about files that it did not name as we do.
        """
        body = _Body(files, self.bar)
        ask = Ask(
            method="POST",
            path="studies",
            partitioned=True,
            takes=(200, 202, 204, 409, 413),
            headers=body.headers,
            body=body.chunks,
        )
        if await self._is_too_long(ask, body.length):
            await self._shorter(files)
            return
        try:
            answer = await self.service.send(ask)
        except _FileGone as gone:
            body.rewind()
            self._settle(gone.file.path, gone.file.size_bytes, Fate(Outcome.UNREADABLE, words=str(gone)))
            await self._again([file for file in files if file is not gone.file], 1)
            return
        body.rewind()
        if answer.status_code == 413:
            await self._shorter(files)
            return
        told = attributed(files, self.service.read(answer))
        for place, fate in told.fates.items():
            if before and fate.outcome is Outcome.THERE:
                # It is there because it was stored a moment ago.
                fate = before.pop(told.uids[place], fate)
            if fate.outcome in (Outcome.STORED, Outcome.WARNED, Outcome.THERE):
                self.journal.add(files[place])
            self._settle(files[place].path, files[place].size_bytes, fate)
        await self._alone([file for place, file in enumerate(files) if place not in told.fates], len(files), told.left)

    async def _is_too_long(self, ask: Ask, length: int) -> bool:
        if length <= max(_LONG_BYTES, self._taken):
            return False
        if length < self._refused and not await self.service.would_refuse(ask):
            self._taken = max(self._taken, length)
            return False
        self._refused = min(self._refused, length)
        return True

    async def _shorter(self, files: list[Found]) -> None:
        if len(files) > 1:
            await self._again(files, 2)
        else:
            self._settle(files[0].path, files[0].size_bytes, Fate(Outcome.REFUSED, words=_TOO_LONG))

    async def _again(self, files: list[Found], pieces: int) -> None:
        size = -(-len(files) // pieces)
        for first in range(0, len(files), size or 1):
            await self.send(files[first : first + size])

    async def _alone(self, files: list[Found], together: int, left: dict[str, Fate]) -> None:
        if together == 1:
            for file in files:
                words = "the service says nothing about it"
                self._settle(file.path, file.size_bytes, Fate(Outcome.REFUSED, words=words))
            return
        for file in files:
            await self.send([file], left)


class _Body:
    """A multipart body (PS3.18 §8.6.1.2.1) that is made while it is sent, as often as it is sent."""

    def __init__(self, files: Sequence[Found], bar: Bar) -> None:
        self._files = files
        self._bar = bar
        self._sent = 0
        # Nobody can have written it into a file.
        boundary = secrets.token_hex(20)
        self._head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        self._end = f"--{boundary}--\r\n".encode()
        self.length = sum(len(self._head) + file.size_bytes + 2 for file in files) + len(self._end)
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        self.headers = {"Content-Type": kind, "Content-Length": str(self.length), "Accept": "application/dicom+json"}

    def rewind(self) -> None:
        """Take back what the bar shows."""
        self._bar.advance(-self._sent)
        self._sent = 0

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        self.rewind()
        for file in self._files:
            yield self._head
            async for chunk in _content(file):
                yield chunk
                self._sent += len(chunk)
                self._bar.advance(len(chunk))
            yield b"\r\n"
        yield self._end


async def _content(file: Found) -> AsyncIterator[bytes]:
    left = file.size_bytes
    try:
        with await asyncio.to_thread(file.path.open, "rb") as content:
            while chunk := await asyncio.to_thread(content.read, _CHUNK_BYTES):
                left -= len(chunk)
                if left < 0:
                    break
                yield chunk
    except OSError as error:
        raise _FileGone(file, f"cannot be read: {error.strerror or type(error).__name__}") from error
    if left:
        raise _FileGone(file, "changed while it was read")
