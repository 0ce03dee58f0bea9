"""How `dicom copy` copies studies: what is not there yet, several instances a request, each a file on its way."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from shared.dev.cli.client import Service
from shared.dev.cli.copy_source import Chunks, Instances, NotGiven, Source, instances, is_uid, spooled
from shared.dev.cli.copy_tally import CopyTally, Shown, entry
from shared.dev.cli.files import Found, Journal, PassedOver
from shared.dev.cli.get import Instance
from shared.dev.cli.report import Fate, Outcome
from shared.dev.cli.screen import Ended, Exit, first_of
from shared.dev.cli.store import Sending
from shared.errors import DicomWebError

_LONGEST_PAUSE_SECONDS = 5
# The connection went, or what came over it is no whole answer.
_BROKEN = (httpx.RequestError, DicomWebError)


@dataclass(frozen=True, slots=True)
class Doing:
    """What copies of studies have in common.

    Attributes:
        folder: for what is under way.
        verify: whether to compare lists when a study is copied.
    """

    source: Source
    target: Service
    sending: Sending
    tally: CopyTally
    journal: Journal
    folder: Path
    verify: bool
    numbers: Iterator[int] = field(default_factory=itertools.count)

    async def study(self, uid: str) -> None:
        """Copy a study."""
        listed = await listed_of(self.source, uid, self.tally)
        if listed is None:
            return
        known = [one for one in listed.found if self.journal.has(entry(one))]
        for one in known:
            self.tally.settle(one, 0, Fate(Outcome.KNOWN, words="copied before, says the journal"))
        if len(known) < len(listed.found):
            await _Study(self, listed.found).copy()
        self.tally.studies.seen += 1
        if self.verify:
            there = await there_of(self.target, uid)
            for one in listed.found:
                if one.sop_instance_uid not in there:
                    self.tally.missing(one)


async def in_parallel(studies: Sequence[str], number: int, work: Callable[[str], Awaitable[None]], bar: Shown) -> None:
    """Work on studies, several at once."""
    waiting = iter(studies)

    async def one_by_one() -> None:
        for uid in waiting:
            await work(uid)
            bar.study()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(number):
                group.create_task(one_by_one())
    except BaseExceptionGroup as errors:
        raise first_of(errors) from None


async def listed_of(source: Source, uid: str, tally: CopyTally) -> Instances | None:
    """What the source lists of a study; None when that is nothing to work with, which the tally knows then."""
    if not is_uid(uid):
        tally.study_failed(uid, "this is no UID")
        return None
    try:
        listed = await source.instances(uid)
    except Ended as error:
        if error.code is not Exit.REFUSED:
            raise
        # One study that the source cannot read should not keep the others from being copied.
        tally.study_failed(uid, str(error))
        return None
    if not listed.found:
        tally.study_failed(uid, "the source has no instance of it")
        return None
    if listed.cut:
        tally.study_cut(uid)
    return listed


async def there_of(target: Service, uid: str) -> frozenset[str]:
    """SOPInstanceUIDs of a study that are there already."""
    # A data partition that nothing was stored in is 400 (contract C13); storing into it makes it.
    also = (400,) if target.session.target.partition else ()
    return frozenset(one.sop_instance_uid for one in (await instances(target, uid, also)).found)


class _Study:
    """A study that is not all there yet.

    Args:
        doing: what all have in common.
        listed: its instances at the source.
    """

    def __init__(self, doing: Doing, listed: Sequence[Instance]) -> None:
        self._doing = doing
        self._listed = listed
        self._wanted: dict[str, Instance] = {}
        self._batch: list[Found] = []

    async def copy(self) -> None:
        """The whole study in one request where nothing of it is there; else series, else instances."""
        await self._look()
        study_uid = self._listed[0].study_uid
        if len(self._wanted) == len(self._listed):
            await self._many(f"studies/{study_uid}", len(self._wanted))
        for series_uid, members in self._series().items():
            if all(uid in self._wanted for uid in members):
                await self._many(f"studies/{study_uid}/series/{series_uid}", len(members))
        for one in [*self._wanted.values()]:
            await self._one(one)
        await self._send()

    async def _look(self) -> None:
        doing = self._doing
        there = await there_of(doing.target, self._listed[0].study_uid)
        for one in self._listed:
            if doing.journal.has(entry(one)):
                continue
            if one.sop_instance_uid in there:
                doing.tally.settle(one, 0, Fate(Outcome.THERE, words="it is there already"))
            else:
                self._wanted[one.sop_instance_uid] = one

    def _series(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for one in self._listed:
            found.setdefault(one.series_uid, []).append(one.sop_instance_uid)
        return found

    async def _many(self, path: str, number: int) -> None:
        """As many as come; who asks looks at what is still wanted."""
        if number < 2 or not self._doing.source.gives_many:
            return
        try:
            async with self._doing.source.many(path) as files:
                async for chunks in files:
                    await self._take(chunks)
        except (NotGiven, *_BROKEN) as error:
            screen = self._doing.target.session.screen
            if screen.verbose:
                screen.note(f"{path} does not come as a whole ({type(error).__name__}); its parts are asked for.")

    async def _take(self, chunks: Chunks) -> None:
        file = await self._spooled(chunks)
        # What is not wanted is there, or will be told of when it is asked for by its own name.
        instance = None if isinstance(file, PassedOver) else self._wanted.pop(file.sop_instance_uid, None)
        if isinstance(file, PassedOver) or instance is None:
            await asyncio.to_thread(file.path.unlink)
        else:
            await self._add(file, instance)

    async def _spooled(self, chunks: Chunks) -> Found | PassedOver:
        path = self._doing.folder / str(next(self._doing.numbers))
        try:
            return await spooled(chunks, path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    async def _one(self, instance: Instance) -> None:
        tries = self._doing.target.session.target.tries
        for number in range(1, tries + 1):
            try:
                file = await self._got(instance)
            except NotGiven as error:
                self._lost(instance, str(error))
                return
            except _BROKEN:
                if number < tries:
                    await asyncio.sleep(min(number, _LONGEST_PAUSE_SECONDS))
                continue
            if isinstance(file, Found):
                await self._add(file, instance)
            else:
                await asyncio.to_thread(file.path.unlink)
                self._lost(instance, f"what the source gives is {file.why}")
            return
        self._lost(instance, f"it broke off {tries} times")

    async def _got(self, instance: Instance) -> Found | PassedOver:
        async with self._doing.source.one(instance.path) as files:
            async for chunks in files:
                return await self._spooled(chunks)
        raise NotGiven(200)

    def _lost(self, instance: Instance, why: str) -> None:
        self._doing.tally.settle(instance, 0, Fate(Outcome.UNREADABLE, words=why))

    async def _add(self, file: Found, instance: Instance) -> None:
        limits = self._doing.sending.limits
        size_bytes = file.size_bytes + sum(one.size_bytes for one in self._batch)
        again = any(one.sop_instance_uid == file.sop_instance_uid for one in self._batch)
        if self._batch and (again or len(self._batch) == limits.files or size_bytes > limits.size_bytes):
            await self._send()
        self._doing.tally.name(file.path, instance)
        self._batch.append(file)

    async def _send(self) -> None:
        batch, self._batch = self._batch, []
        if batch:
            await self._doing.sending.send(batch)
        for file in batch:
            await asyncio.to_thread(file.path.unlink)
