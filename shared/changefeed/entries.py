"""Entries of the change feed: each event with what its instance is by now (contract C8.2, C8.3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import orjson

from shared.errors import NotFound
from shared.storage.feed import Action
from shared.storage.feed_reader import Change
from shared.storage.instances import BlobMissing
from shared.storage.stores import Stores

_TOGETHER = 32
"""Entries looked up at once; so many data sets are in memory at most."""


class State(Enum):
    """What has become of the instance since an event; the words are those of the change feed."""

    CURRENT = "Current"
    REPLACED = "Replaced"
    DELETED = "Deleted"


@dataclass(frozen=True, slots=True)
class Present:
    """An instance as it is stored now.

    Attributes:
        version: its version number.
        metadata: DICOM JSON, one object; empty when nobody asked for it.
    """

    version: int
    metadata: bytes = b""


@dataclass(frozen=True, slots=True)
class _Series:
    partition: str
    study_uid: str
    series_uid: str


def state_of(change: Change, present: Present | None) -> State:
    """The state now of the version that an event is about; None is an instance that is not stored."""
    if present is None:
        return State.DELETED
    if present.version != change.event.version or change.event.action is Action.DELETE:
        return State.REPLACED
    return State.CURRENT


async def array(stores: Stores, changes: Sequence[Change], *, with_metadata: bool) -> AsyncGenerator[bytes, None]:
    """A JSON array of entries, in pieces."""
    opening = b"["
    for start in range(0, len(changes), _TOGETHER):
        piece = await objects(stores, changes[start : start + _TOGETHER], with_metadata=with_metadata)
        yield opening + b",".join(piece)
        opening = b","
    yield b"[]" if opening == b"[" else b"]"


async def objects(stores: Stores, changes: Sequence[Change], *, with_metadata: bool) -> list[bytes]:
    """Entries as JSON objects, all looked up at once; for a bounded number of events."""
    wanted: dict[_Series, dict[str, None]] = {}
    for change in changes:
        wanted.setdefault(_series(change), {})[change.event.sop_instance_uid] = None
    look_ups = (_present(stores, series, list(uids), with_metadata=with_metadata) for series, uids in wanted.items())
    found = dict(zip(wanted, await asyncio.gather(*look_ups), strict=True))
    return [_written(change, found[_series(change)].get(change.event.sop_instance_uid)) for change in changes]


def timestamp(time: str) -> str:
    """A time of the feed as entries show it: zeros at the end of the fraction dropped (contract C1.5)."""
    moment, _, zone = time.rpartition("+")
    return f"{moment.rstrip('0').rstrip('.') if '.' in moment else moment}+{zone}"


async def _present(
    stores: Stores, series: _Series, uids: Sequence[str], *, with_metadata: bool
) -> Mapping[str, Present]:
    """Those of a series' instances that are stored."""
    partition = await stores.partition(series.partition)
    if not with_metadata or len(uids) > 1:
        # Of several, one read says which are still there.
        versions = await stores.changes.versions(partition, series.study_uid, series.series_uid, uids)
        if not with_metadata:
            return {uid: Present(version) for uid, version in versions.items()}
        uids = list(versions)

    async def metadata(uid: str) -> Present | None:
        # Blobs go after rows: when one is missing, its instance is gone or another one by now.
        for _ in range(2):
            try:
                read = await stores.instances.metadata(partition, series.study_uid, series.series_uid, uid)
            except NotFound:
                return None
            except BlobMissing:
                continue
            return Present(read.version, read.json)
        return None

    # The first brings what all instances of the series share, and the others need not read that again.
    read = [await metadata(uid) for uid in uids[:1]]
    read += await asyncio.gather(*map(metadata, uids[1:]))
    return {uid: present for uid, present in zip(uids, read, strict=True) if present is not None}


def _series(change: Change) -> _Series:
    return _Series(change.event.partition, change.event.study_uid, change.event.series_uid)


def _written(change: Change, present: Present | None) -> bytes:
    event = change.event
    entry: dict[str, object] = {
        "sequence": change.number,
        "partitionName": event.partition,
        "studyInstanceUid": event.study_uid,
        "seriesInstanceUid": event.series_uid,
        "sopInstanceUid": event.sop_instance_uid,
        "action": event.action.value,
        "timestamp": timestamp(change.time),
        "state": state_of(change, present).value,
    }
    if present is not None and present.metadata:
        entry["metadata"] = orjson.Fragment(present.metadata)
    return orjson.dumps(entry)
