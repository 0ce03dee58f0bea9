"""`dicom get`: studies, series and instances into a folder, as they are stored."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import httpx

from shared.dev.cli.client import Ask, Service, opened
from shared.dev.cli.options import Command, Commands, Session, add_command
from shared.dev.cli.screen import Bar, Ended, Exit, counted, first_of, size_text
from shared.dev.cli.search import INSTANCE_UID, SERIES_UID, STUDY_UID, first, matches

_UID = re.compile(r"[0-9.]{1,64}")
_AS_STORED = "application/dicom; transfer-syntax=*"


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance to get."""

    study_uid: str
    series_uid: str
    sop_instance_uid: str

    @property
    def path(self) -> str:
        """Below the data partition."""
        return f"studies/{self.study_uid}/series/{self.series_uid}/instances/{self.sop_instance_uid}"

    @property
    def file(self) -> Path:
        """Below the folder of the command."""
        return Path(self.study_uid, self.series_uid, f"{self.sop_instance_uid}.dcm")


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """The command's parser."""
    examples = ("get 1.2.840.1 --to downloads", "get 1.2.840.1 1.2.840.1.7 --to downloads --original")
    text = "Get a study, a series or an instance into a folder, one file an instance; files that are there stay"
    parser = add_command(commands, Command("get", text, run, examples))
    parser.add_argument("study", metavar="STUDY", type=_uid, help="its UID")
    parser.add_argument("series", metavar="SERIES", nargs="?", type=_uid, help="its UID; without it, all series")
    parser.add_argument("instance", metavar="INSTANCE", nargs="?", type=_uid, help="its UID; without it, all instances")
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="files are STUDY/SERIES/INSTANCE.dcm")
    parser.add_argument("--original", action="store_true", help="as they were before any bulk update")
    parser.add_argument(
        "--parallel",
        type=int,
        choices=range(1, 65),
        default=4,
        metavar="N",
        help="requests at once (default: 4)",
    )


def _uid(text: str) -> str:
    # It becomes the name of a folder: dots alone would lead out of it.
    if not _UID.fullmatch(text) or not text.strip("."):
        raise argparse.ArgumentTypeError("is a UID of digits and dots")
    return text


async def run(options: argparse.Namespace, session: Session) -> int:
    """Get all; exit code 0 when every instance is in the folder."""
    async with opened(session) as service:
        with session.screen.bar("Getting", None, is_bytes=True) as bar:
            getting = _Getting(service, options.to, bar, original=options.original)
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(options.parallel):
                        group.create_task(getting.work())
                    await getting.list_all(_wanted(service, options), options.parallel)
            except BaseExceptionGroup as errors:
                raise first_of(errors) from None
    if not getting.stored + getting.there + getting.gone:
        raise Ended("Nothing is stored under that UID.")
    session.screen.give({"stored": getting.stored, "there": getting.there, "gone": getting.gone})
    size = size_text(getting.size_bytes)
    there = f", {getting.there:,} there already" if getting.there else ""
    gone = f", {getting.gone:,} deleted meanwhile" if getting.gone else ""
    session.screen.say(f"{counted(getting.stored, 'instance')} ({size}) in {options.to}{there}{gone}")
    return Exit.WELL


async def _wanted(service: Service, options: argparse.Namespace) -> AsyncIterator[Instance]:
    if options.instance:
        yield Instance(options.study, options.series, options.instance)
        return
    path = f"studies/{options.study}" + (f"/series/{options.series}" if options.series else "") + "/instances"
    async for match in matches(service, path, [], 0):
        uids = (first(match, STUDY_UID) or options.study, first(match, SERIES_UID) or options.series or "")
        instance = Instance(*uids, first(match, INSTANCE_UID))
        if not all(_UID.fullmatch(uid) and uid.strip(".") for uid in (*uids, instance.sop_instance_uid)):
            raise Ended("The service lists an instance without usable UIDs.")
        yield instance


@dataclass(slots=True)
class _Getting:
    service: Service
    folder: Path
    bar: Bar
    original: bool
    stored: int = 0
    there: int = 0
    gone: int = 0
    size_bytes: int = 0
    _waiting: asyncio.Queue[Instance | None] = field(default_factory=lambda: asyncio.Queue(100))

    async def list_all(self, instances: AsyncIterator[Instance], workers: int) -> None:
        async for instance in instances:
            await self._waiting.put(instance)
        for _ in range(workers):
            await self._waiting.put(None)

    async def work(self) -> None:
        while instance := await self._waiting.get():
            file = self.folder / instance.file
            if await asyncio.to_thread(file.exists):
                self.there += 1
            else:
                await self._get(instance, file)

    async def _get(self, instance: Instance, file: Path) -> None:
        # What has its name is whole; what breaks off does not get it.
        part = file.with_suffix(".part")
        try:
            await asyncio.to_thread(file.parent.mkdir, parents=True, exist_ok=True)
            if await self._retried(instance, part):
                self.size_bytes += (await asyncio.to_thread(part.replace, file)).stat().st_size
                self.stored += 1
            else:
                self.gone += 1
        except OSError as error:
            raise Ended(f"{file} cannot be written: {error.strerror or type(error).__name__}") from error
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)

    async def _retried(self, instance: Instance, part: Path) -> bool:
        """Whether it was there to be written."""
        tries = self.service.session.target.tries
        for number in range(1, tries + 1):
            with await asyncio.to_thread(part.open, "wb") as file:
                try:
                    return await self._write(instance, file)
                except httpx.TransportError as error:
                    if number == tries:
                        raise Ended(f"{instance.path} broke off {tries} times.", Exit.UNREACHABLE) from error
            await asyncio.sleep(min(number, 5))
        raise AssertionError("the last try returns or raises")

    async def _write(self, instance: Instance, file: BinaryIO) -> bool:
        headers = {"Accept": _AS_STORED, **({"msdicom-request-original": "true"} if self.original else {})}
        ask = Ask(path=instance.path, headers=headers, takes=(200, 404), partitioned=True, streamed=True)
        async with self.service.streamed(ask) as answer:
            if answer.status_code == 404:
                return False
            async for chunk in answer.aiter_bytes(1 << 18):
                await asyncio.to_thread(file.write, chunk)
                self.bar.advance(len(chunk))
        return True
