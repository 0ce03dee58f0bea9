"""The store of workitems: makes, reads and changes them. Who may change what is decided by whoever calls.

To make one takes three writes: the UID is claimed, the row goes to the end of the log, and the claim learns its number.
What a worker that dies between them leaves is told from its token: a row in the log makes the workitem, and the next
who asks for it writes its number down; a claim without one is taken over when it is old.
"""

from __future__ import annotations

import logging
import uuid
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.dicom.workitemstates import State
from shared.errors import StoreUnavailable, Superseded
from shared.storage.conditions import Condition
from shared.storage.errors import OutcomeUnknown
from shared.storage.keys import SCHEMA
from shared.storage.partitions import DataPartition
from shared.storage.tables import ETAG, Entity, Tables, whole
from shared.storage.workitemlog import WorkitemLog
from shared.storage.workitemrows import (
    COUNTED,
    PLACE_ROW,
    PLACES,
    Workitem,
    block_of,
    entity_of,
    home,
    lock_of,
    place_partition,
    workitem_of,
    workitem_row,
)
from shared.storage.workitemsearch import FoundWorkitems, WorkitemSearch

log = logging.getLogger(__name__)

CLAIM_AGE = timedelta(minutes=3)
"""A claim that has no workitem after that long is nobody's: a create gives up well before."""

_CREATE_SECONDS = 60
_TRIES = 5
_PLACES_KEPT = 20_000


@dataclass(frozen=True, slots=True)
class _Claim:
    """A UID that is this request's to make.

    Attributes:
        token: of the request.
        begun: when it was claimed.
    """

    token: str
    begun: datetime

    def check_time(self) -> None:
        """Return while nobody else can think that the claim is left.

        Raises:
            StoreUnavailable: it took too long.
        """
        if datetime.now(UTC) - self.begun > timedelta(seconds=_CREATE_SECONDS):
            raise StoreUnavailable


class Workitems:
    """The workitems of all data partitions, seen from one worker."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._logs: dict[int, WorkitemLog] = {}
        self._searches: dict[int, WorkitemSearch] = {}
        self._places: OrderedDict[tuple[int, str], int] = OrderedDict()

    async def create(self, partition: DataPartition, uid: str, dataset: Mapping[str, Any]) -> bool:
        """Make a workitem, scheduled and held by nobody; False when there is one of that UID.

        Raises:
            InvalidRequest: it is too long for a row.
            StoreUnavailable: somebody else is making one of that UID, or storage fails.
        """
        token = uuid.uuid4().hex
        workitem = Workitem(partition.number, uid, 0, State.SCHEDULED, "", dataset, token)
        entity = entity_of(workitem, token)
        claim = await self._claim(partition, uid, token)
        if claim is None:
            return False
        claim.check_time()
        number = await self._log(partition.number).append(entity)
        claim.check_time()  # else whoever asks for it next writes the number down
        await self._settle(partition.number, uid, number)
        return True

    async def find(self, partition: DataPartition, uid: str) -> Workitem | None:
        """A workitem; None when there is none of that UID."""
        number = await self._number(partition.number, uid)
        if not number:
            return None
        row = await self._log(partition.number).row(number)
        return None if row is None else workitem_of(partition.number, row)

    async def change(
        self, workitem: Workitem, dataset: Mapping[str, Any], state: State, transaction_uid: str = ""
    ) -> Workitem:
        """Write a workitem that is still as it was read.

        Args:
            workitem: as it was read.
            dataset: its attributes from now on.
            state: its state from now on; the data set says the same.
            transaction_uid: holds it from now on; empty for whatever has held it.

        Raises:
            Superseded: somebody else has changed it since.
            InvalidRequest: it is too long for a row.
        """
        lock = lock_of(workitem.uid, transaction_uid) if transaction_uid else workitem.lock
        changed = replace(workitem, dataset=dataset, state=state, lock=lock)
        mark, etag = uuid.uuid4().hex, workitem.etag
        entity = entity_of(changed, mark)
        table, where = home(workitem.partition, block_of(workitem.number))
        key = workitem_row(workitem.number)
        for _ in range(_TRIES):
            written = await self._tables.replace(table, where, key, entity, etag)
            if written is not None:
                return replace(changed, etag=written)
            row = await self._tables.get(table, where, key, ("mark",))
            if row is None or row["mark"] != mark:
                raise Superseded("Somebody else has changed the workitem at the same time (C304).")
            # A first try did it, and its answer was lost.
            return replace(changed, etag=row[ETAG])
        raise StoreUnavailable

    async def search(
        self, partition: DataPartition, conditions: Sequence[Condition], offset: int, limit: int
    ) -> FoundWorkitems:
        """A page of workitems, newest first."""
        if partition.number not in self._searches:
            log_ = self._log(partition.number)
            self._searches[partition.number] = WorkitemSearch(self._tables, log_, partition.number)
        return await self._searches[partition.number].page(conditions, offset, limit)

    async def _claim(self, partition: DataPartition, uid: str, token: str) -> _Claim | None:
        """Claim a UID; None when there is a workitem of it."""
        where = place_partition(partition.number, uid)
        claim = _Claim(token, datetime.now(UTC))
        entity = await self._claim_entity(partition.number, claim)
        for _ in range(_TRIES):
            if await self._claimed(where, entity):
                return claim
            row = await self._tables.get(PLACES, where, PLACE_ROW)
            if row is None:
                continue
            if row["token"] == token:
                return claim
            if await self._number(partition.number, uid):
                return None
            if await self._taken_over(where, row, entity):
                return claim
        raise StoreUnavailable

    async def _claimed(self, where: str, entity: Mapping[str, Any]) -> bool:
        """Insert a claim; False when there is one, or nobody knows."""
        try:
            return await self._tables.insert(PLACES, where, PLACE_ROW, entity)
        except OutcomeUnknown:
            log.warning("whether a workitem's UID was claimed is not known yet")
            return False

    async def _taken_over(self, where: str, row: Entity, entity: Mapping[str, Any]) -> bool:
        """Put a claim in the place of one that nobody has any more; False when somebody was first.

        Raises:
            StoreUnavailable: whoever has it may still be at work.
        """
        if datetime.now(UTC) - datetime.fromisoformat(row["claimed"]) < CLAIM_AGE:
            log.info("a workitem of that UID is being made")
            raise StoreUnavailable
        return await self._tables.replace(PLACES, where, PLACE_ROW, entity, row[ETAG]) is not None

    async def _claim_entity(self, partition: int, claim: _Claim) -> dict[str, Any]:
        after = await self._log(partition).seen()
        return {
            "token": claim.token,
            "claimed": claim.begun.isoformat(),
            "after": after,
            COUNTED: 0,
            "schema": SCHEMA,
        }

    async def _number(self, partition: int, uid: str) -> int:
        """Number of a workitem; 0 when there is none of that UID."""
        kept = self._places.get((partition, uid))
        if kept is not None:
            self._places.move_to_end((partition, uid))
            return kept
        row = await self._tables.get(PLACES, place_partition(partition, uid), PLACE_ROW)
        if row is None:
            return 0
        number = whole(row, COUNTED) or await self._left(partition, uid, row)
        if number:
            self._keep(partition, uid, number)
        return number

    async def _left(self, partition: int, uid: str, row: Entity) -> int:
        """Number of a workitem whose claim does not say it yet; 0 when its row is not in the log."""
        number = await self._log(partition).find(row["token"], whole(row, "after"))
        if number:
            await self._settle(partition, uid, number)
        return number

    async def _settle(self, partition: int, uid: str, number: int) -> None:
        await self._tables.merge(PLACES, place_partition(partition, uid), PLACE_ROW, {COUNTED: number})
        self._keep(partition, uid, number)

    def _keep(self, partition: int, uid: str, number: int) -> None:
        self._places[partition, uid] = number
        if len(self._places) > _PLACES_KEPT:
            self._places.popitem(last=False)

    def _log(self, partition: int) -> WorkitemLog:
        if partition not in self._logs:
            self._logs[partition] = WorkitemLog(self._tables, partition)
        return self._logs[partition]
