"""One store request at work: entries go to blobs while they arrive, then become visible study by study."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pydicom.datadict import keyword_for_tag

from shared.dicom.attributes import INDEXED
from shared.dicom.elements import DEFLATED_EXPLICIT_LITTLE, IMPLICIT_LITTLE
from shared.dicom.part10 import NotDicom, Part10Scanner, ScannedFile
from shared.dicom.reasons import FailureReason, WarningReason
from shared.dicom.validation import ValidationRules
from shared.storage.errors import StorageFailed
from shared.storage.index import Snapshot
from shared.storage.partitions import DataPartition
from shared.storage.rows import NewInstance
from shared.storage.stores import Stores
from shared.storage.tables import TRANSACTION_BYTES, TRANSACTION_LIMIT, Entity
from shared.storage.tagset import TagSet
from shared.storage.uploads import RequestUploads, Upload
from shared.stow.digest import Digest, digest, new_instance
from shared.stow.outcomes import Outcome
from shared.stow.tagging import retagged

log = logging.getLogger(__name__)

_IN_THREAD_BYTES = 128 * 1024
_IN_THREAD_ELEMENTS = 4096
_IN_THREAD_FRAGMENTS = 20_000
"""What has more of one of them is judged in a thread, so that other requests go on meanwhile."""

_META_BYTES = 1024
"""File meta information, with the transfer syntax in it, normally ends before this."""

_ENTITY_BYTES = 2_500
_KEYWORDS = {attribute.tag: attribute.keyword for attribute in INDEXED}
_AT_ONCE = 4

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Pending:
    """An entry that was taken and waits to become visible."""

    place: int
    instance: NewInstance
    uploaded: asyncio.Task[None]
    tags: TagSet


@dataclass(slots=True)
class _Group:
    """Entries of one study that become visible together; bounded by what one transaction takes."""

    entries: list[_Pending] = field(default_factory=list)
    series: dict[str, asyncio.Task[Entity | None]] = field(default_factory=dict)
    study: asyncio.Task[Entity | None] | None = None
    size_bytes: int = 0

    def has_room_for(self, instance: NewInstance) -> bool:
        # Two rows for the study, two for each series, one for each instance.
        operations = 2 + 2 * len({*self.series, instance.series_uid}) + len(self.entries) + 1
        return operations <= TRANSACTION_LIMIT and self.size_bytes + _row_bytes(instance) <= TRANSACTION_BYTES


class StoreRequest:
    """The entries of one request. Make it inside `stores.uploads.request()`.

    Args:
        stores: where to.
        uploads: the request's uploads.
        partition: the data partition to store into.
        rules: how strictly entries are judged.
        study_uid: the study all entries have to belong to; None for any.
    """

    def __init__(
        self,
        stores: Stores,
        uploads: RequestUploads,
        partition: DataPartition,
        rules: ValidationRules,
        study_uid: str | None,
    ) -> None:
        self._index = stores.index
        self._uploads = uploads
        self._partition = partition
        self._rules = rules
        self._study_uid = study_uid
        self._outcomes: list[Outcome] = []
        self._groups: dict[str, _Group] = {}
        self._taken: set[tuple[str, str, str]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ready = self._task(self._index.ready(partition))
        # Entries are judged by the tags that this worker knows; whether they are still so is known before rows are.
        self._known = stores.tags.known
        self._tags = self._task(stores.tags.current())

    @property
    def judged(self) -> Sequence[Outcome]:
        """What was said of the entries that were taken, before they are made visible."""
        return tuple(self._outcomes)

    async def take(self, chunks: AsyncIterator[bytes]) -> None:
        """Read one entry to its end and upload it. What is wrong with it becomes its outcome, not an exception."""
        upload = self._uploads.begin()
        scanner = Part10Scanner()
        try:
            async for chunk in chunks:
                await _feed(scanner, chunk)
                await upload.write(chunk)
            scanned = scanner.finish()
            tags = self._known = self._known or await self._tags
            digested = await self._digest(scanned, tags)
        except NotDicom:
            await upload.discard()
            self._outcomes.append(Outcome(failure=FailureReason.VALIDATION_FAILURE))
            return
        await self._judge(scanned, digested, upload, tags)

    async def finish(self) -> list[Outcome]:
        """Make everything visible that was taken; gives one outcome an entry, in order of arrival.

        Raises:
            StoreUnavailable: storage failed as a whole.
        """
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(group: _Group) -> None:
            async with gate:
                await self._commit(group)

        await asyncio.gather(*(one(group) for group in self._groups.values()))
        return self._outcomes

    async def close(self) -> None:
        """End what is still under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _digest(self, scanned: ScannedFile, tags: TagSet) -> Digest:
        if _is_much_work(scanned):
            return await asyncio.to_thread(digest, scanned, self._rules, self._study_uid, tags.tags)
        return digest(scanned, self._rules, self._study_uid, tags.tags)

    async def _judge(self, scanned: ScannedFile, digested: Digest, upload: Upload, tags: TagSet) -> None:
        verdict = digested.verdict
        identity = verdict.identity
        if verdict.refused:
            await upload.discard()
            self._outcomes.append(Outcome(identity, FailureReason.VALIDATION_FAILURE, findings=verdict.failures))
            return
        instance = new_instance(scanned, digested, upload.name, tags.tags, tags.added)
        uids = (instance.study_uid, instance.series_uid, instance.sop_instance_uid)
        if uids in self._taken:
            await upload.discard()
            self._outcomes.append(Outcome(identity, FailureReason.ALREADY_EXISTS))
            return
        self._taken.add(uids)
        warning = None
        if scanned.transfer_syntax == IMPLICIT_LITTLE:
            warning = WarningReason.SOP_CLASS_MISMATCH
        elif verdict.warnings:
            warning = WarningReason.INVALID_ATTRIBUTES
        several = tuple(_named(tag) for tag in verdict.multiple_valued)
        self._outcomes.append(Outcome(identity, None, warning, verdict.warnings, several))
        group = await self._group_for(instance)
        uploaded = await self._uploads.finish(upload, *uids)
        group.entries.append(_Pending(len(self._outcomes) - 1, instance, uploaded, tags))
        group.size_bytes += _row_bytes(instance)

    async def _group_for(self, instance: NewInstance) -> _Group:
        """The group an instance joins; its study's and series' rows are read while its bytes are on their way."""
        group = self._groups.get(instance.study_uid)
        if group is not None and not group.has_room_for(instance):
            await self._commit(self._groups.pop(instance.study_uid))
            group = None
        if group is None:
            group = self._groups[instance.study_uid] = _Group()
            group.study = self._task(self._index.study(self._partition, instance.study_uid))
        if instance.series_uid not in group.series:
            read = self._index.series(self._partition, instance.study_uid, instance.series_uid)
            group.series[instance.series_uid] = self._task(read)
        return group

    async def _commit(self, group: _Group) -> None:
        assert group.study is not None, "a group begins with reading its study"
        # Look-ups and uploads run side by side; all of them must be through before rows may be written.
        await asyncio.gather(self._ready, *(entry.uploaded for entry in group.entries))
        series = await asyncio.gather(*group.series.values())
        current = await self._tags
        entries = [kept for entry in group.entries if (kept := self._judged_again(entry, current)) is not None]
        if not entries:
            return
        seen = Snapshot(await group.study, dict(zip(group.series, series, strict=True)))
        try:
            await self._commit_entries(entries, seen)
        except StorageFailed:
            # One row that storage will not take must not cost the others.
            log.exception("a group of instances was refused by storage", extra={"instances": len(entries)})
            for entry in entries:
                await self._commit_alone(entry)

    def _judged_again(self, entry: _Pending, tags: TagSet) -> _Pending | None:
        """An entry as the tags want it that there are; None when it is refused because of them."""
        if entry.tags.version == tags.version:
            return entry
        again = retagged(entry.instance, tags, self._rules.invalid_searchable_value)
        outcome = self._outcomes[entry.place]
        if again.instance is None:
            self._uploads.refuse(entry.instance.blob)
            failure = FailureReason.VALIDATION_FAILURE
            self._outcomes[entry.place] = Outcome(outcome.identity, failure, findings=again.findings)
            return None
        if again.findings:
            warning = outcome.warning or WarningReason.INVALID_ATTRIBUTES
            findings = (*outcome.findings, *again.findings)
            self._outcomes[entry.place] = replace(outcome, warning=warning, findings=findings)
        return replace(entry, instance=again.instance, tags=tags)

    async def _commit_alone(self, entry: _Pending) -> None:
        try:
            await self._commit_entries([entry], None)
        except StorageFailed:
            log.exception("an instance was refused by storage")
            self._fail(entry, FailureReason.PROCESSING_FAILURE)

    async def _commit_entries(self, entries: Sequence[_Pending], seen: Snapshot | None) -> None:
        self._uploads.committing(entry.instance.blob for entry in entries)
        stored = await self._index.commit(self._partition, [entry.instance for entry in entries], seen)
        for entry, is_new in zip(entries, stored, strict=True):
            if is_new:
                self._uploads.keep(entry.instance.blob)
            else:
                self._uploads.refuse(entry.instance.blob)
                self._fail(entry, FailureReason.ALREADY_EXISTS)

    def _fail(self, entry: _Pending, reason: FailureReason) -> None:
        self._outcomes[entry.place] = Outcome(self._outcomes[entry.place].identity, reason)

    def _task(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        return task


def _named(tag: int) -> str:
    """An attribute as people know it: extended query tags may be of any."""
    return _KEYWORDS.get(tag) or keyword_for_tag(tag) or f"{tag:08X}"


async def _feed(scanner: Part10Scanner, chunk: bytes) -> None:
    """Let the scanner read on. What is deflated may grow a thousandfold: that is read in a thread, others go on."""
    if not scanner.transfer_syntax:
        scanner.feed(chunk[:_META_BYTES])
        chunk = chunk[_META_BYTES:]
    if chunk and scanner.transfer_syntax == DEFLATED_EXPLICIT_LITTLE:
        await asyncio.to_thread(scanner.feed, chunk)
    elif chunk:
        scanner.feed(chunk)


def _is_much_work(scanned: ScannedFile) -> bool:
    fragments = len(scanned.pixels.fragment_lengths) if scanned.pixels else 0
    elements = len(scanned.elements)
    return len(scanned.kept) > _IN_THREAD_BYTES or elements > _IN_THREAD_ELEMENTS or fragments > _IN_THREAD_FRAGMENTS


def _row_bytes(instance: NewInstance) -> int:
    """About what the instance's row adds to a transaction; metadata usually packs to a tenth, base64 adds a third."""
    starts = len(instance.pixels.starts_in_row) * 4 // 3 if instance.pixels else 0
    return _ENTITY_BYTES + min(len(instance.metadata) // 4, 800_000) + starts
