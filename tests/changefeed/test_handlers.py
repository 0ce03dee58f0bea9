"""The handlers over real storage: which events, which states, which reads."""

from __future__ import annotations

from collections import Counter

import orjson
import pytest

from shared.changefeed.handlers import get_change_feed_by_sequence, get_change_feed_by_time, get_latest_change
from shared.errors import InvalidParameter
from shared.storage.feed import Action, Event
from shared.storage.keys import instance_row, main_table, study_partition, ulid
from shared.storage.partitions import DataPartition
from shared.storage.tables import whole
from tests.storage.made import DEFAULT, store
from tests.support.calls import bytes_of, call
from tests.support.storage import watched_stores

pytestmark = pytest.mark.azurite

SERIES = "1.2.3"


async def feed(stores, offset=0, limit=100, metadata=True):
    asked = call(offset=offset, limit=limit, include_metadata=metadata)
    reply = await get_change_feed_by_sequence(asked, stores)
    assert (reply.status, reply.media_type) == (200, "application/json; charset=utf-8")
    return orjson.loads(await bytes_of(reply))


async def feed_by_time(stores, start=None, end=None, offset=0, limit=100):
    parameters = {"start_ticks": start, "end_ticks": end, "offset": offset, "limit": limit}
    return orjson.loads(
        await bytes_of(await get_change_feed_by_time(call(**parameters, include_metadata=True), stores))
    )


def reads(transport) -> Counter[str]:
    """Calls that read, by kind; the writer's heartbeat goes on beside them."""
    # A worker looks once whether there are data partitions that it would not show; that is no read of the feed.
    calls = (one for one in transport.calls if one.startswith("GET") and one != "GET rows parts")
    return Counter(one.rpartition(" ")[0] for one in calls)


async def take_away(stores, study: str, sop: str) -> None:
    """What a delete leaves: no row of the instance, and its event."""
    where, row = study_partition(0, study), instance_row(SERIES, sop)
    stored = await stores._tables.get(main_table(study), where, row)
    assert await stores._tables.delete(main_table(study), where, row)
    version = whole(stored, "version")
    await stores.feed.append([Event(ulid(), Action.DELETE, DEFAULT.name, study, SERIES, sop, version)])


async def test_an_entry_names_the_instance_what_happened_and_when(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await store(stores, "1.2.7", ["1.4"])
        (entry,) = await feed(stores)
    metadata, timestamp = entry.pop("metadata"), entry.pop("timestamp")
    assert entry == {
        "sequence": 1,
        "partitionName": "Microsoft.Default",
        "studyInstanceUid": "1.2.7",
        "seriesInstanceUid": SERIES,
        "sopInstanceUid": "1.4",
        "action": "Create",
        "state": "Current",
    }
    assert metadata["00080018"]["Value"] == ["1.4"]
    assert timestamp.endswith("+00:00")


async def test_an_empty_feed_is_an_empty_array_and_has_no_newest_change(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        assert await feed(stores) == []
        assert await feed_by_time(stores) == []
        reply = await get_latest_change(call(include_metadata=True), stores)
    assert (reply.status, reply.body, reply.media_type) == (204, b"", None)


async def test_states_and_metadata_are_those_of_now(azurite):
    """Contract C8.3: stored, deleted, stored again."""
    async with watched_stores(azurite.connection_string) as (stores, _):
        await store(stores, "1.2.7", ["1.4", "1.5"], name="old")
        assert [entry["state"] for entry in await feed(stores)] == ["Current", "Current"]
        await take_away(stores, "1.2.7", "1.4")
        entries = await feed(stores)
        assert [(entry["action"], entry["state"]) for entry in entries] == [
            ("Create", "Deleted"),
            ("Create", "Current"),
            ("Delete", "Deleted"),
        ]
        assert ["metadata" in entry for entry in entries] == [False, True, False]
        await store(stores, "1.2.7", ["1.4"], name="new")
        entries = await feed(stores)
    assert [(entry["action"], entry["state"]) for entry in entries] == [
        ("Create", "Replaced"),
        ("Create", "Current"),
        ("Delete", "Replaced"),
        ("Create", "Current"),
    ]
    names = [entry["metadata"]["00100010"]["Value"][0][:3] for entry in entries]
    assert names == ["new", "old", "new", "new"]


async def test_without_metadata_states_are_the_same_and_one_read_tells_those_of_a_series(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await store(stores, "1.2.7", [f"1.4.{number}" for number in range(30)])
        await take_away(stores, "1.2.7", "1.4.3")
        with_metadata = await feed(stores)
        transport.forget()
        without = await feed(stores, metadata=False)
    for entry in with_metadata:
        entry.pop("metadata", None)
    assert without == with_metadata
    assert {entry["sopInstanceUid"] for entry in without if entry["state"] == "Deleted"} == {"1.4.3"}
    assert reads(transport) == {"GET rows": 2}, transport.calls


async def test_events_of_different_series_are_a_read_each_without_metadata(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        for number in range(5):
            await store(stores, f"1.2.{number}", ["1.4"])
        transport.forget()
        assert [entry["state"] for entry in await feed(stores, metadata=False)] == ["Current"] * 5
    assert reads(transport) == {"GET rows": 1, "GET row": 5}, transport.calls


async def test_a_page_of_one_series_reads_what_its_instances_share_once(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await store(stores, "1.2.7", [f"1.4.{number}" for number in range(90)])
        transport.forget()
        assert len(await feed(stores)) == 90
    # The window and who is there for each 32 entries; the series' row once and a row an entry.
    assert reads(transport) == {"GET rows": 1 + 3, "GET row": 1 + 90}, transport.calls


async def test_an_instance_that_many_events_are_about_is_read_once(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await store(stores, "1.2.7", ["1.4"])
        for _ in range(5):
            await stores.feed.append(
                [Event(ulid(), Action.UPDATE, DEFAULT.name, "1.2.7", SERIES, "1.4", 1) for _ in range(3)]
            )
        transport.forget()
        entries = await feed(stores)
    assert [entry["state"] for entry in entries] == ["Current"] + ["Replaced"] * 15
    assert reads(transport) == {"GET rows": 1, "GET row": 2}, transport.calls


async def test_the_feed_spans_data_partitions(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        for name in ("left", "right"):
            partition = await stores.partition_or_new(name)
            assert isinstance(partition, DataPartition)
            await store(stores, "1.2.7", ["1.4"], name=name, partition=partition)
        entries = await feed(stores)
    assert [(entry["partitionName"], entry["state"]) for entry in entries] == [
        ("left", "Current"),
        ("right", "Current"),
    ]
    assert [entry["metadata"]["00100010"]["Value"][0][:4] for entry in entries] == ["left", "righ"]


async def test_latest_is_the_last_entry_of_the_feed(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await store(stores, "1.2.7", ["1.4", "1.5"])
        for with_metadata in (True, False):
            reply = await get_latest_change(call(include_metadata=with_metadata), stores)
            latest = orjson.loads(await bytes_of(reply))
            assert latest == (await feed(stores, metadata=with_metadata))[-1]
            assert ("metadata" in latest) is with_metadata
    assert latest["sequence"] == 2


async def test_by_time_offset_counts_rows_and_not_numbers(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await store(stores, "1.2.7", [f"1.4.{number}" for number in range(9)])
        changes = await stores.changes.after(0, 100)
        fourth = ticks_of(changes[3].time)
        numbers = [
            [entry["sequence"] for entry in await feed_by_time(stores, **window)]
            for window in (
                {"start": fourth},
                {"start": fourth, "offset": 2, "limit": 3},
                {"end": fourth},
                {"start": fourth, "end": fourth + 1},
                {"start": fourth + 1, "end": ticks_of(changes[7].time)},
                {"start": fourth, "offset": 6},
                {"offset": 10**17},
            )
        ]
    assert numbers == [[4, 5, 6, 7, 8, 9], [6, 7, 8], [1, 2, 3], [4], [5, 6, 7], [], []]


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (5, 5),
        (6, 5),
        (None, -62_135_596_800 * 10_000_000),
        (253_402_300_800 * 10_000_000 - 1, None),
    ],
)
async def test_a_span_of_time_that_ends_where_it_starts_is_refused(azurite, start, end):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        with pytest.raises(InvalidParameter, match="EndTime: must be later than StartTime"):
            await feed_by_time(stores, start, end)
        assert transport.calls == []


def ticks_of(time: str) -> int:
    from shared.api import params

    parameter = params.Parameter("t", params.Place.QUERY, params.Kind.DATE_TIME, "t", "")
    value = params.value_of(parameter, time)
    assert isinstance(value, int)
    return value
