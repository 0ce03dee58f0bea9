"""Bulk update at work (contract C11): study after study, some instances of it in each slice.

A slice may be done again from the state it began with, also by two workers at once: rows say which operation has
updated them, a transaction is for the rows as they were read, and what follows it is made up for when rows are met that
this operation has updated already. A study ends with a transaction for its row as it was before its instances were
counted, so that an instance which is stored while the update goes on is updated too, or was stored after its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from shared.dicom.attributes import Level
from shared.dicom.updating import Change
from shared.edits.change_set import UpdateRequest, elements_of
from shared.edits.rewriting import Wanted, rewritten
from shared.errors import NotFound
from shared.storage.batching import jittered_pause
from shared.storage.instances import BlobMissing
from shared.storage.keys import uids_of_row
from shared.storage.levels import level_values
from shared.storage.operations import Operation, Progress
from shared.storage.partitions import DataPartition
from shared.storage.stores import Stores
from shared.storage.tables import TRANSACTION_BYTES, TRANSACTION_LIMIT, Entity
from shared.storage.updates import REFUSED, Census, Place, Refusal, UpdatedInstance, packed_bytes
from shared.storage.updating import Batch
from shared.storage.uploads import RequestUploads

_BATCH = (TRANSACTION_LIMIT - 1) // 2
_AT_ONCE = 8
_TRIES = 8
_ENTITY_BYTES = 4_000
_ERRORS_A_STUDY = 5


@dataclass(frozen=True, slots=True)
class UpdateState:
    """Where an update stands, as its operation keeps it.

    Attributes:
        partition: number of the data partition.
        partition_name: its name.
        study_uids: the studies.
        changes: what attributes shall be: tag, VR, values.
        feed_number: of an event before the update's first.
        at: place of the study that is being updated.
        behind: the row to go on behind in it; empty for its first.
        cleaned: how many studies are through with what is left of earlier updates.
        results: what clients are told.
    """

    partition: int
    partition_name: str
    study_uids: Sequence[str]
    changes: Sequence[tuple[int, str, str]]
    feed_number: int
    at: int = 0
    behind: str = ""
    cleaned: int = 0
    results: Mapping[str, Any] = field(
        default_factory=lambda: {"studyProcessed": 0, "studyUpdated": 0, "studyFailed": 0, "instanceUpdated": 0}
    )


def beginning(partition: DataPartition, request: UpdateRequest, feed_number: int) -> dict[str, Any]:
    """The state that an update begins with."""
    changes = [(change.tag, change.vr, change.text) for change in request.changes]
    return asdict(UpdateState(partition.number, partition.name, request.study_uids, changes, feed_number))


async def step(operation: Operation, stores: Stores) -> Progress:
    """One slice of an update.

    Raises:
        StoreUnavailable: storage fails.
    """
    state = UpdateState(**operation.state)
    if state.at < len(state.study_uids):
        state = await _Study(stores, state, operation.id).slice()
        return _progress(state)
    if state.cleaned < len(state.study_uids):
        place = _place(state, state.study_uids[state.cleaned], operation.id)
        through = await stores.updating.forget_replaced(place, await stores.updating.census(place))
        return _progress(replace(state, cleaned=state.cleaned + through))
    return _end(state)


def _progress(state: UpdateState) -> Progress:
    return Progress(asdict(state), 100 * state.at // len(state.study_uids), state.results)


def _end(state: UpdateState) -> Progress:
    """What is left of an update: not what it changed, which are attribute values."""
    failed = state.results["studyFailed"]
    reason = f"{failed} of {len(state.study_uids)} studies have instances that could not be updated." if failed else ""
    return Progress({}, 100, state.results, done=True, failed=reason)


def _place(state: UpdateState, study_uid: str, operation_id: str) -> Place:
    return Place(DataPartition(state.partition, state.partition_name), study_uid, operation_id)


class _Study:
    """The study that is being updated."""

    def __init__(self, stores: Stores, state: UpdateState, operation_id: str) -> None:
        self._stores = stores
        self._updating = stores.updating
        self._state = state
        self._place = _place(state, state.study_uids[state.at], operation_id)
        changes = [Change(*change) for change in state.changes]
        self._wanted = Wanted(changes, elements_of(changes))
        # What was put beside instances in this slice, by their rows as they were read.
        self._prepared: dict[tuple[str, str], UpdatedInstance | Refusal] = {}

    async def slice(self) -> UpdateState:
        """Update some instances, or end the study; gives the state then."""
        partition = self._place.partition.number
        async with self._stores.uploads.request(partition) as uploads:
            for attempt in range(_TRIES):
                state = await self._try(uploads)
                if state is not None:
                    return state
                await jittered_pause(attempt)
        # Others are at work in this study; what was prepared is dropped, and the next slice looks again.
        return self._state

    async def _try(self, uploads: RequestUploads) -> UpdateState | None:
        """The state after one transaction; None when something changed under it."""
        study = await self._updating.study(self._place)
        if study is None:
            return self._ended(Census())
        found = await self._updating.subjects(self._place, self._state.behind, _BATCH)
        if found.updated:
            # Somebody did this slice before, and may have been cut off behind the transaction.
            await self._updating.settle(self._place, found, self._state.feed_number)
        subjects = _fitting(found.left)
        more = found.size == _BATCH or len(subjects) < len(found.left)
        if more and not subjects:
            return replace(self._state, behind=found.last)
        if more:
            batch = Batch(self._place, *await self._prepare(uploads, subjects), study=study)
            return await self._commit(uploads, batch, subjects)
        return await self._last(uploads, study, subjects)

    async def _last(self, uploads: RequestUploads, study: Entity, subjects: list[Entity]) -> UpdateState | None:
        """Update the instances that come last, and end the study if there are no others."""
        updated, refused = await self._prepare(uploads, subjects)
        everything = await self._updating.census(self._place)
        others = {row["RowKey"] for row in everything.left} - {row["RowKey"] for row in subjects}
        if others:
            if subjects:
                return await self._commit(uploads, Batch(self._place, updated, refused, study=study), subjects)
            # Their rows sort before those that were read last: they were stored meanwhile.
            return replace(self._state, behind="")
        if everything.updated or updated:
            values = level_values(self._wanted.elements, Level.STUDY)
            batch = Batch(self._place, updated, refused, ending=values, study=study)
            if await self._commit(uploads, batch, subjects) is None:
                return None
            await self._index_by_tags()
        everything.updated.extend(one.row for one in updated)
        everything.refused.extend({**one.row, REFUSED: f"{self._place.operation_id} {one.reason}"} for one in refused)
        return self._ended(everything)

    async def _index_by_tags(self) -> None:
        """Index the study again by extended query tags, when one of them is of an attribute that has changed."""
        entries = (await self._stores.tags.current()).entries
        if any(entry.tag.path in self._wanted.elements for entry in entries):
            await self._stores.tag_index.study(self._place.partition, self._place.study_uid)

    async def _commit(self, uploads: RequestUploads, batch: Batch, subjects: list[Entity]) -> UpdateState | None:
        names = [one.head for one in batch.updated]
        uploads.committing(names)
        done = await self._updating.commit(batch)
        for name in names:
            (uploads.keep if done else uploads.refuse)(name)
        if not done:
            return None
        return replace(self._state, behind=subjects[-1]["RowKey"] if subjects else self._state.behind)

    async def _prepare(
        self, uploads: RequestUploads, subjects: Sequence[Entity]
    ) -> tuple[list[UpdatedInstance], list[Refusal]]:
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(row: Entity) -> UpdatedInstance | Refusal | None:
            key = (row["RowKey"], row["odata.etag"])
            if key not in self._prepared:
                async with gate:
                    try:
                        self._prepared[key] = await rewritten(self._stores, uploads, self._place, row, self._wanted)
                    except (NotFound, BlobMissing):
                        return None  # deleted meanwhile
            return self._prepared[key]

        done = await asyncio.gather(*map(one, subjects))
        updated = [found for found in done if isinstance(found, UpdatedInstance)]
        return updated, [found for found in done if isinstance(found, Refusal)]

    def _ended(self, everything: Census) -> UpdateState:
        results = dict(self._state.results)
        results["studyProcessed"] += 1
        results["instanceUpdated"] += len(everything.updated)
        if everything.refused:
            results["studyFailed"] += 1
            results["errors"] = [*results.get("errors", ()), *_errors(self._place.study_uid, everything.refused)]
        elif everything.updated:
            results["studyUpdated"] += 1
        return replace(self._state, at=self._state.at + 1, behind="", results=results)


def _fitting(rows: Sequence[Entity]) -> list[Entity]:
    """As many of the rows as one transaction takes, each with what it was before."""
    operations, size_bytes = 1, 0
    series: set[str] = set()
    fitting: list[Entity] = []
    for row in rows:
        series_uid = uids_of_row(row["RowKey"])[0]
        operations += 2 if series_uid in series else 4
        # As it was and as it will be, in base64.
        size_bytes += _ENTITY_BYTES + packed_bytes(row) * 8 // 3
        if fitting and (operations > TRANSACTION_LIMIT or size_bytes > TRANSACTION_BYTES):
            break
        series.add(series_uid)
        fitting.append(row)
    return fitting


def _errors(study_uid: str, refused: Sequence[Entity]) -> list[str]:
    """A text for the study, and texts for some of its instances (contract C11)."""
    texts = [f"Study {study_uid}: {len(refused)} of its instances could not be updated."]
    for row in refused[:_ERRORS_A_STUDY]:
        reason = row[REFUSED].partition(" ")[2]
        texts.append(f"Instance {uids_of_row(row['RowKey'])[1]}: {reason}")
    if len(refused) > _ERRORS_A_STUDY:
        texts.append(f"Only the first {_ERRORS_A_STUDY} instances of study {study_uid} are named.")
    return texts
