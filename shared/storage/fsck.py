"""A check of a whole store: walks blobs, rows, segments and feed, and names every broken invariant. Changes nothing.

Run it when nobody writes: what is on its way looks broken to it. A segment whose seal is written down as not finished
is none of that: search reads such a segment, and the sweep gives it its filter; the report counts it, no more. A sealed
segment without a filter that no seal speaks of would be read for ever, and is broken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field

from shared.storage import operationcheck, whereabouts
from shared.storage.blobs import Blobs
from shared.storage.deletejobs import JOBS
from shared.storage.feed import BLOCK
from shared.storage.filters import SegmentFilters
from shared.storage.fscktags import TagsSeen, posting_faults, tags_seen
from shared.storage.keys import (
    SEGMENT_BEGUN,
    SEGMENT_HEADER,
    SHARDS,
    STUDY_GUARD,
    STUDY_ROW,
    original_row,
    series_guard,
    uids_of_row,
)
from shared.storage.originals import BLOB_OF_ORIGINAL, is_updated
from shared.storage.rows import blobs_of, covering_row_key, first_event, replaced_blobs, state_of
from shared.storage.segments import LogKind, open_seals
from shared.storage.tables import Entity, Tables, quoted
from shared.storage.workitemcheck import faults as workitem_faults


@dataclass(slots=True)
class Report:
    """What was looked at, and what is wrong.

    Attributes:
        counts: how many of each kind there are.
        broken: broken invariants, a line each; they name UIDs and keys, no attribute values.
    """

    counts: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Seen:
    """What the walk through the studies leaves for the checks behind it."""

    blobs: set[str] = field(default_factory=set)
    leaving: set[str] = field(default_factory=set)
    covers: dict[str, str] = field(default_factory=dict)
    events: dict[str, tuple[str, str, str, str]] = field(default_factory=dict)
    seals: set[tuple[str, int, int]] = field(default_factory=set)
    tags: TagsSeen = field(default_factory=TagsSeen)


async def check(tables: Tables, blobs: Blobs) -> Report:
    """Check a store."""
    report, seen = Report(), _Seen(tags=await tags_seen(tables))
    for shard in range(SHARDS):
        async for study in _partitions(tables, f"main{shard:02d}"):
            _check_study(study, seen, report)
    seen.seals = {(seal.kind, seal.partition, seal.segment) async for seal in open_seals(tables)}
    report.counts["seals to finish"] = len(seen.seals)
    await _check_covers(tables, "log", seen, report)
    await _check_covers(tables, "ser", seen, report)
    await _check_feed(tables, seen, report)
    await _check_blobs(blobs, seen, report)
    report.broken += await posting_faults(tables, seen.tags)
    async for page in tables.pages("work", f"PartitionKey eq '{JOBS}'", ("RowKey",)):
        report.broken += [f"delete {row['RowKey']} is not finished" for row in page]
    report.counts["unfinished operations"], faults = await operationcheck.faults(tables)
    report.broken += faults
    workitems, faults = await workitem_faults(tables)
    report.counts.update(workitems)
    report.broken += faults
    return report


async def _partitions(tables: Tables, table: str) -> AsyncIterator[list[Entity]]:
    """The rows of each partition of a table."""
    rows: list[Entity] = []
    async for page in tables.pages(table, "PartitionKey gt ' '"):
        for row in page:
            if rows and rows[0]["PartitionKey"] != row["PartitionKey"]:
                yield rows
                rows = []
            rows.append(row)
    if rows:
        yield rows


def _check_study(rows: list[Entity], seen: _Seen, report: Report) -> None:
    where = rows[0]["PartitionKey"]
    study_uid = where.partition("~")[2]
    by_key = {row["RowKey"]: row for row in rows}
    series = {key.removesuffix("!"): row for key, row in by_key.items() if key.endswith("!") and key != STUDY_ROW}
    instances = {key: row for key, row in by_key.items() if "blob" in row}
    report.counts.update(studies=1, series=len(series), instances=len(instances))
    for key in (STUDY_ROW, STUDY_GUARD):
        if key not in by_key:
            report.broken.append(f"{where}: row {key} is missing")
    if STUDY_ROW in by_key:
        _expect_cover(by_key[STUDY_ROW], "log", (study_uid,), seen)
    if not instances:
        report.broken.append(f"{where}: a study without instances")
    held = {uids_of_row(key)[0] for key in instances}
    report.broken += [f"{where}: instances without a row of their series {uid}" for uid in held - series.keys()]
    report.broken += [f"{where}: series {uid} without instances" for uid in series.keys() - held]
    report.broken += [f"{where}: series {uid} has no guard" for uid in series if series_guard(uid) not in by_key]
    for uid, row in series.items():
        _expect_cover(row, "ser", (study_uid, uid), seen)
    for key, row in instances.items():
        series_uid, sop_instance_uid = uids_of_row(key)
        seen.blobs.update(blobs_of(row))
        seen.leaving.update(replaced_blobs(row))
        triple = (where.partition("~")[0], study_uid, series_uid, sop_instance_uid)
        seen.events[row["event"]] = triple
        seen.events[first_event(row)[0]] = triple
        seen.tags.instance(where, row)
    _check_newest(where, by_key, instances, report)
    _check_originals(where, by_key, instances, report)


def _check_newest(where: str, by_key: dict[str, Entity], instances: dict[str, Entity], report: Report) -> None:
    for key, row in by_key.items():
        if "order" in row and row.get("newest") not in instances:
            report.broken.append(f"{where}: row {key} says that an instance is its newest that is not there")


def _check_originals(where: str, by_key: dict[str, Entity], instances: dict[str, Entity], report: Report) -> None:
    """Each updated instance has a row for what it was, and nothing else has one."""
    found = {key: row[BLOB_OF_ORIGINAL] for key, row in by_key.items() if BLOB_OF_ORIGINAL in row}
    wanted = {original_row(key): row["blob"] for key, row in instances.items() if is_updated(row)}
    report.counts["updated"] += len(wanted)
    report.broken += [f"{where}: row {key} is missing" for key in wanted.keys() - found.keys()]
    report.broken += [f"{where}: row {key} is of no updated instance" for key in found.keys() - wanted.keys()]
    same = [key for key in found.keys() & wanted.keys() if found[key] != wanted[key]]
    report.broken += [f"{where}: row {key} is of another instance than it says" for key in same]


def _expect_cover(row: Entity, kind: str, uids: tuple[str, ...], seen: _Seen) -> None:
    state = state_of({"odata.etag": "", **row})
    dp = row["PartitionKey"].partition("~")[0]
    name = f"{kind} {dp} {covering_row_key(state.order, *uids)}"
    seen.covers[name] = str(state.segment)
    seen.tags.cover(name, state.extended)


async def _check_covers(tables: Tables, kind: LogKind, seen: _Seen, report: Report) -> None:
    """Every study and series has one covering row, where it says; segments are begun in order and one is open."""
    found: Counter[str] = Counter()
    begun: dict[str, set[int]] = {}
    headed: dict[str, set[int]] = {}
    filters = SegmentFilters(tables)
    for shard in range(SHARDS):
        async for rows in _partitions(tables, f"{kind}{shard:02d}"):
            dp, _, inverted = rows[0]["PartitionKey"].partition("~")
            segment = 9_999_999_999 - int(inverted)
            marks = {row["RowKey"] for row in rows} & {SEGMENT_BEGUN, SEGMENT_HEADER}
            if SEGMENT_BEGUN in marks:
                begun.setdefault(dp, set()).add(segment)
            if SEGMENT_HEADER in marks:
                headed.setdefault(dp, set()).add(segment)
            covers = [row for row in rows if row["RowKey"] not in marks and "superseded" not in row]
            found.update(_placed(f"{kind} {dp}", segment, covers, seen, report))
            if marks == {SEGMENT_BEGUN}:
                await _check_filter(filters, (kind, int(dp[1:], 36), segment), covers, seen, report)
    report.counts[f"{kind} rows"] = found.total()
    expected = [name for name in seen.covers if name.startswith(f"{kind} ")]
    report.broken += [f"{name}: {found[name]} covering rows" for name in expected if found[name] != 1]
    report.broken += _segment_faults(kind, begun, headed)


def _placed(log: str, segment: int, covers: list[Entity], seen: _Seen, report: Report) -> Iterator[str]:
    """Names of a segment's covering rows, each compared with the row it covers."""
    for row in covers:
        name = f"{log} {row['RowKey']}"
        if name not in seen.covers:
            report.broken.append(f"{name}: a covering row of nothing")
        elif seen.covers[name] != str(segment):
            report.broken.append(f"{name}: is in segment {segment}, its row says {seen.covers[name]}")
        else:
            report.broken += seen.tags.faults_of_cover(name, row)
        yield name


async def _check_filter(
    filters: SegmentFilters, place: tuple[str, int, int], covers: list[Entity], seen: _Seen, report: Report
) -> None:
    """A sealed segment has a filter, or a seal that says it is to come; a filter hides no row."""
    known = await filters.stored(*place)
    kind, partition, segment = place
    if known is None:
        if place not in seen.seals:
            report.broken.append(f"{kind} {partition}: sealed segment {segment} has no filter and no open seal")
        return
    report.counts["filters"] += 1
    hidden = [row["RowKey"] for row in covers if known.hides(row)]
    report.broken += [f"{kind} {partition}: the filter of segment {segment} hides {key}" for key in hidden]


def _segment_faults(kind: str, begun: dict[str, set[int]], headed: dict[str, set[int]]) -> Iterable[str]:
    for dp, segments in begun.items():
        if segments != set(range(len(segments))):
            yield f"{kind} {dp}: segments are begun with gaps"
        if headed.get(dp, set()) - {max(segments)}:
            yield f"{kind} {dp}: a segment is open that is not the last"


async def _check_feed(tables: Tables, seen: _Seen, report: Report) -> None:
    """Numbers without gaps, times in order, ids once; what is stored was created and not deleted since."""
    filters = SegmentFilters(tables)
    number, time = 0, ""
    ids: set[str] = set()
    alive: dict[tuple[str, str, str, str], dict[str, str]] = {}
    for block in range(1_000_000):
        rows = [row async for page in tables.pages("feed", f"PartitionKey eq {quoted(f'f~{block}')}") for row in page]
        if not rows:
            break
        for row in rows:
            number += 1
            if int(row["RowKey"]) != number:
                report.broken.append(f"feed: event {number} is missing")
                number = int(row["RowKey"])
            if row["time"] <= time:
                report.broken.append(f"feed: event {number} is not later than the one before")
            time = row["time"]
            if row["eventId"] in ids:
                report.broken.append(f"feed: event {number} is there twice")
            ids.add(row["eventId"])
            _follow(row, number, alive, report)
        await _check_feed_filter(filters, block, rows, report)
    report.counts["events"] = number
    stored = set(seen.events)
    report.broken += [f"{seen.events[one][1]}: no event for {seen.events[one][3]}" for one in stored - ids]
    living = {one for events in alive.values() for one in events}
    latest = {one for events in alive.values() for one in (*_of("Create", events), *_of("Update", events)[-1:])}
    report.broken += [f"feed: event {one} says that something is stored that is not" for one in sorted(latest - stored)]
    report.broken += [
        f"feed: event {one} was deleted, and its instance is there" for one in sorted(stored & ids - living)
    ]


async def _check_feed_filter(filters: SegmentFilters, block: int, rows: list[Entity], report: Report) -> None:
    """A filter of a block of the feed hides none of its events; only full blocks have one."""
    known = await filters.stored(whereabouts.KIND, 0, block)
    if known is not None:
        report.counts["filters"] += 1
        hidden = [row["RowKey"] for row in rows if known.hides(whereabouts.clued(row))]
        report.broken += [f"feed: the filter of block {block} hides event {key}" for key in hidden]
        if len(rows) < BLOCK:
            report.broken.append(f"feed: block {block} has a filter and is not full")


def _of(action: str, events: dict[str, str]) -> list[str]:
    return [event_id for event_id, was in events.items() if was == action]


def _follow(row: Entity, number: int, alive: dict[tuple[str, str, str, str], dict[str, str]], report: Report) -> None:
    """Whether an event fits those before it. An update may be told of before the store, when that was late."""
    triple = (row["partition"], row["study"], row["series"], row["instance"])
    if row["action"] == "Delete":
        if alive.pop(triple, None) is None:
            report.broken.append(f"feed: event {number} deletes what was not there")
        return
    events = alive.setdefault(triple, {})
    if row["action"] == "Create" and _of("Create", events):
        report.broken.append(f"feed: event {number} creates what was there")
    events[row["eventId"]] = row["action"]


async def _check_blobs(blobs: Blobs, seen: _Seen, report: Report) -> None:
    """Every row's blobs are there, and there are no others."""
    found: set[str] = set()
    async for page in blobs.listed(""):
        found |= {blob.name for blob in page if not blob.name.startswith("packs/")}
    report.counts["blobs"] = len(found)
    report.broken += [f"blob {name} is missing" for name in sorted(seen.blobs - found)]
    report.broken += [f"blob {name} has no row" for name in sorted(found - seen.blobs - seen.leaving)]
