"""Rows and blobs of updated instances, without DICOM: an update says how many old bytes its new begin replaces."""

from __future__ import annotations

import orjson
import pytest

from shared.dicom.attributes import Level
from shared.errors import NotFound, StoreUnavailable
from shared.storage.files import open_file
from shared.storage.keys import main_table, original_row, study_partition
from shared.storage.levels import level_values
from shared.storage.rows import packed_metadata
from shared.storage.updates import Place, Refusal, UpdatedInstance, census, pixel_place, subjects
from shared.storage.updating import Batch
from tests.storage.made import DEFAULT, blob_names, store
from tests.storage.test_sweep import AT_ONCE
from tests.support.storage import describe, watched_stores

pytestmark = pytest.mark.azurite

STUDY, SERIES = "1.2.9", "1.2.3"


def place(operation: str = "one") -> Place:
    return Place(DEFAULT, STUDY, operation)


async def begun(stores, uploads, row, head: bytes, replaced: int, metadata: bytes | None = None) -> UpdatedInstance:
    """A subject with a new begin in a blob."""
    before, dictionary = await stores.instances.unpacked(DEFAULT, STUDY, SERIES, row)
    upload = uploads.begin()
    await upload.write(head)
    await (await uploads.finish(upload, STUDY, SERIES, row["RowKey"].partition("!")[2]))
    after = metadata or orjson.dumps({**orjson.loads(before), "00100010": {"vr": "PN", "Value": [{"Alphabetic": "B"}]}})
    return UpdatedInstance(row, upload.name, len(head), replaced, after, packed_metadata(after, dictionary))


async def update(stores, head: bytes, replaced: int, *, operation="one", most=10, ending=None, metadata=None):
    async with stores.uploads.request(0) as uploads:
        found = await subjects(stores._tables, place(operation), "", most)
        updated = [await begun(stores, uploads, row, head, replaced, metadata) for row in found.left]
        study = await stores.updating.study(place(operation))
        uploads.committing(one.head for one in updated)
        done = await stores.updating.commit(Batch(place(operation), updated, ending=ending, study=study))
        for one in updated:
            (uploads.keep if done else uploads.refuse)(one.head)
    return done


async def content(stores, sop: str, *, original: bool = False, start: int = 0, stop: int | None = None) -> bytes:
    found = await stores.instances.find(DEFAULT, STUDY, SERIES, sop, original=original)
    async with open_file(stores._blobs, found, start, stop) as opened:
        read = b"".join([chunk async for chunk in opened.chunks])
        assert opened.length_bytes == len(read)
    return read


async def test_a_file_is_its_new_begin_and_the_old_rest_in_any_range(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await store(stores, STUDY, ["1.2.9.1"])
        assert await update(stores, b"abcdef", 4)
        assert await content(stores, "1.2.9.1") == b"abcdef456789"
        assert await content(stores, "1.2.9.1", original=True) == b"0123456789"
        whole = b"abcdef456789"
        for start in range(len(whole)):
            for stop in range(start + 1, len(whole) + 1):
                assert await content(stores, "1.2.9.1", start=start, stop=stop) == whole[start:stop]
        # The second one replaces all of the first one's begin, and two bytes more.
        assert await update(stores, b"XY", 8, operation="two")
        assert await content(stores, "1.2.9.1") == b"XY6789"
        assert await content(stores, "1.2.9.1", original=True) == b"0123456789"


async def test_a_whole_new_file_needs_nothing_of_the_old_one(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await store(stores, STUDY, ["1.2.9.1"])
        assert await update(stores, b"all is new", 10)
        assert await content(stores, "1.2.9.1") == b"all is new"
        assert await update(stores, b"new again", 10, operation="two")
        assert await content(stores, "1.2.9.1") == b"new again"
        assert (await stores.fsck()).broken == []


async def test_replaced_begins_go_when_they_are_forgotten(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await store(stores, STUDY, ["1.2.9.1", "1.2.9.2"])
        assert await update(stores, b"one", 3)
        assert await update(stores, b"two", 3, operation="two")
        assert len(await blob_names(stores)) == 6
        assert (await stores.fsck()).broken == []
        for _ in range(2):
            found = await census(stores._tables, place("two"))
            await stores.updating.forget_replaced(place("two"), found)
            assert len(await blob_names(stores)) == 4
        assert all(not row["replaced"] for row in (await census(stores._tables, place("two"))).updated)


async def test_metadata_too_long_for_a_row_stands_beside_the_begin(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await store(stores, STUDY, ["1.2.9.1"])
        noise = "".join(f"{number * number:x}" for number in range(200_000))
        long = orjson.dumps({"00104000": {"vr": "LT", "Value": [noise]}})
        assert await update(stores, b"one", 3, metadata=long)
        assert (await stores.instances.metadata(DEFAULT, STUDY, SERIES, "1.2.9.1")).json == long
        first = (await stores.instances.metadata(DEFAULT, STUDY, SERIES, "1.2.9.1", original=True)).json
        assert b'"1.2.9.1"' in first
        assert len(await blob_names(stores)) == 3
        assert (await stores.fsck()).broken == []
        assert await update(stores, b"two", 3, operation="two", metadata=b"{}")
        assert (await stores.instances.metadata(DEFAULT, STUDY, SERIES, "1.2.9.1")).json == b"{}"
        await stores.updating.forget_replaced(place("two"), await census(stores._tables, place("two")))
        assert len(await blob_names(stores)) == 2
        await stores.deletion.study(DEFAULT, STUDY)
        await stores.deletion.settled()
        assert await blob_names(stores) == []


async def test_an_original_is_in_nobodys_way(azurite):
    """What searches and reindexing walk through has one row for each instance."""
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await store(stores, STUDY, ["1.2.9.1", "1.2.9.2"])
        assert await update(stores, b"one", 3)
        pages = [page async for page in stores.instances.pages(DEFAULT, STUDY)]
        assert [one.sop_instance_uid for page in pages for one in page] == ["1.2.9.1", "1.2.9.2"]
        assert await stores.search.count_instances(DEFAULT, [(STUDY, ""), (STUDY, SERIES)]) == {
            (STUDY, ""): 2,
            (STUDY, SERIES): 2,
        }
        where = study_partition(0, STUDY)
        rows = [
            row["RowKey"]
            async for page in stores._tables.pages(main_table(STUDY), f"PartitionKey eq '{where}' and blob ge ' '")
            for row in page
        ]
        assert rows == [f"{SERIES}!1.2.9.1", f"{SERIES}!1.2.9.2"]
        transport.forget()
        await stores.instances.find(DEFAULT, STUDY, SERIES, "1.2.9.1")
        await stores.instances.metadata(DEFAULT, STUDY, SERIES, "1.2.9.1")
        assert len(transport.calls) <= 3, "the newest costs no more than before"


async def test_a_refused_instance_stays_as_it_is_and_is_not_looked_at_again(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await store(stores, STUDY, ["1.2.9.1"])
        found = await subjects(stores._tables, place(), "", 10)
        assert await stores.updating.commit(Batch(place(), [], [Refusal(found.left[0], "It cannot be.")]))
        again = await census(stores._tables, place())
        assert (again.left, again.updated, len(again.refused)) == ([], [], 1)
        assert len((await census(stores._tables, place("two"))).left) == 1
        assert await content(stores, "1.2.9.1") == b"0123456789"
        with pytest.raises(NotFound):
            await stores.instances.find(DEFAULT, STUDY, SERIES, "1.2.9.7", original=True)


async def test_a_batch_of_rows_that_have_changed_is_not_done(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await store(stores, STUDY, ["1.2.9.1"])
        async with stores.uploads.request(0) as uploads:
            found = await subjects(stores._tables, place(), "", 10)
            late = await begun(stores, uploads, found.left[0], b"late", 4)
            assert await update(stores, b"first", 4, operation="other")
            uploads.committing([late.head])
            assert not await stores.updating.commit(Batch(place(), [late]))
            uploads.refuse(late.head)
        assert await content(stores, "1.2.9.1") == b"first456789"
        report = await stores.fsck()
        assert (report.broken, report.counts["blobs"]) == ([], 2)


async def test_an_ending_is_for_the_study_as_it_was_read(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await store(stores, STUDY, ["1.2.9.1"])
        values = level_values({"00100010": {"vr": "PN", "Value": [{"Alphabetic": "B"}]}}, Level.STUDY)
        before = await stores.updating.study(place())
        await store(stores, STUDY, ["1.2.9.2"])
        assert not await stores.updating.commit(Batch(place(), [], ending=values, study=before))
        assert await update(stores, b"one", 3, ending=values)
        assert (await stores.fsck()).broken == []


async def test_a_sweep_tells_of_an_update_that_was_not_told_of(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await store(stores, STUDY, ["1.2.9.1"])
        transport.fault = lambda request: "before" if describe(request) == "transaction feed" else None
        with pytest.raises(StoreUnavailable):
            await update(stores, b"one", 3)
        transport.fault = lambda _: None
        assert len((await census(stores._tables, place())).updated) == 1
        assert len((await stores.fsck()).broken) == 1
        await stores.writer.close()
        found = [await stores.sweep.run(AT_ONCE, AT_ONCE) for _ in range(2)]
        assert [one.events_added for one in found] == [1, 0]
        assert (await stores.fsck()).broken == []
        actions = [change.event.action.value for change in await stores.changes.after(0, 10)]
        assert actions == ["Create", "Update"]


@pytest.mark.parametrize("harm", ["lost", "stray", "begin"])
async def test_a_check_sees_what_is_broken_in_updates(azurite, harm):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await store(stores, STUDY, ["1.2.9.1"])
        assert await update(stores, b"one", 3)
        assert (await stores.fsck()).broken == []
        table, where, key = main_table(STUDY), study_partition(0, STUDY), f"{SERIES}!1.2.9.1"
        if harm == "lost":
            await stores._tables.delete(table, where, original_row(key))
        elif harm == "stray":
            await stores._tables.put(table, where, original_row(f"{SERIES}!1.2.9.8"), {"of": "0/w/1/x"})
        else:
            row = await stores._tables.get(table, where, key)
            assert row is not None
            await stores._blobs.delete(row["head"])
        (line,) = (await stores.fsck()).broken
        assert {"lost": "is missing", "stray": "no updated instance", "begin": "is missing"}[harm] in line


def test_where_pixel_data_is_and_the_file_goes_on():
    assert pixel_place({"length": 900}).start == 900
    encapsulated = {"length": 900, "pixelOffset": 500, "pixelLength": 300, "encapsulated": True}
    assert (pixel_place(encapsulated).start, pixel_place(encapsulated).stop) == (500, 808)
    native = {"length": 900, "pixelOffset": 500, "pixelLength": 400, "encapsulated": False}
    assert pixel_place(native).stop == 900
