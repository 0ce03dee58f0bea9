"""Rows of workitems: made once, changed by one at a time, whatever is lost on the way; found at once."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.dicom.workitemstates import State
from shared.errors import InvalidRequest, StoreUnavailable, Superseded
from shared.settings import Settings
from shared.storage import workitemlog, workitemrows
from shared.storage import workitems as module
from shared.storage.conditions import in_range, name_phrase, one_of
from shared.storage.partitions import DataPartition
from shared.storage.stores import Stores, open_stores
from shared.storage.workitemrows import PLACE_ROW, PLACES, Workitem, lock_of, place_partition, workitem_row
from shared.storage.workitemsearch import any_of
from tests.storage.made import DEFAULT, DiesAfter, WorkerDied
from tests.support.storage import handed_out, watched_stores
from tests.worklist.made import code, element, requested

pytestmark = pytest.mark.azurite

OTHER = DataPartition(1, "other")


def dataset(uid: str, state: str = "SCHEDULED", **changes: dict[str, Any]) -> dict[str, Any]:
    said = {"00080018": element("UI", uid), "00741000": element("CS", state)}
    return said | {name[1:]: value for name, value in changes.items()}


async def make(stores, *uids: str, partition=DEFAULT, **changes) -> None:
    for uid in uids:
        assert await stores.workitems.create(partition, uid, dataset(uid, **changes))


async def existing(stores: Stores, uid: str) -> Workitem:
    workitem = await stores.workitems.find(DEFAULT, uid)
    assert workitem is not None
    return workitem


async def uids(stores, *conditions, offset: int = 0, limit: int = 200, partition=DEFAULT) -> list[str]:
    found = await stores.workitems.search(partition, conditions, offset, limit)
    assert not found.unreadable
    return [row["uid"] for row in found.rows]


async def test_what_is_made_is_found_newest_first(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await make(stores, "1.1", "1.2", "1.3")
        workitem = await existing(stores, "1.2")
        assert (workitem.number, workitem.state, workitem.lock) == (2, State.SCHEDULED, "")
        assert workitem.dataset == dataset("1.2")
        assert await stores.workitems.find(DEFAULT, "1.9") is None
        assert await uids(stores) == ["1.3", "1.2", "1.1"]
        assert await uids(stores, offset=1, limit=1) == ["1.2"]
        assert await uids(stores, offset=3) == []
        assert (await stores.fsck()).broken == []


async def test_data_partitions_know_nothing_of_each_other(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await make(stores, "1.1")
        await make(stores, "1.1", "1.2", partition=OTHER)
        assert await uids(stores) == ["1.1"]
        assert await uids(stores, partition=OTHER) == ["1.2", "1.1"]
        assert await stores.workitems.find(DEFAULT, "1.2") is None


async def test_of_many_who_make_one_workitem_one_does(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):

        async def made() -> bool | None:
            try:
                return await stores.workitems.create(DEFAULT, "1.1", dataset("1.1"))
            except StoreUnavailable:
                return None  # while somebody else is at it

        outcomes = await asyncio.gather(*(made() for _ in range(10)))
        assert outcomes.count(True) == 1
        assert await made() is False
        assert await uids(stores) == ["1.1"]


async def test_two_workers_number_without_gaps(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        second = open_stores(settings_of_last())
        try:
            names = [f"1.{number}" for number in range(24)]
            await asyncio.gather(
                *(
                    worker.workitems.create(DEFAULT, name, dataset(name))
                    for worker, name in zip(itertools.cycle((stores, second)), names, strict=False)
                )
            )
        finally:
            await second.close()
        assert sorted(await uids(stores)) == sorted(names)
        report = await stores.fsck()
        assert report.broken == []
        assert report.counts["workitems"] == 24


def settings_of_last() -> Settings:
    """Of the account that was handed out last."""
    return Settings(storage_connection=handed_out()[-1])


@pytest.mark.parametrize("lost", ["before", "after"])
@pytest.mark.parametrize("number", range(3))
async def test_a_workitem_is_made_once_whatever_answer_is_lost(azurite, number, lost):
    """Each write of a create in turn: cut before it is carried out, or before its answer arrives."""
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await make(stores, "1.0")
        writes = itertools.count()

        def fault(request):
            return lost if request.method != "GET" and next(writes) == number else None

        transport.fault = fault
        try:
            assert await stores.workitems.create(DEFAULT, "1.1", dataset("1.1"))
        finally:
            transport.fault = lambda _: None
        assert await uids(stores) == ["1.1", "1.0"]
        report = await stores.fsck()
        assert report.broken == []
        assert report.counts["claims to settle"] == 0


async def test_a_worker_that_dies_at_any_call_of_a_create_leaves_nothing_broken(azurite, monkeypatch):
    for calls in range(20):
        async with watched_stores(azurite.connection_string) as (stores, transport):
            await make(stores, "1.0")
            transport.fault = dies = DiesAfter(calls)
            with contextlib.suppress(WorkerDied):
                await stores.workitems.create(DEFAULT, "1.1", dataset("1.1"))
            transport.fault = lambda _: None
            if not dies.died:
                assert calls >= 3
                return
            # What is seen is whole, and what is not there can be made when the claim is old enough.
            seen = await uids(stores)
            there = await stores.workitems.find(DEFAULT, "1.1") is not None
            assert seen == (["1.1", "1.0"] if there else ["1.0"])
            monkeypatch.setattr(module, "CLAIM_AGE", timedelta(0))
            assert await stores.workitems.create(DEFAULT, "1.1", dataset("1.1")) is not there
            assert await uids(stores) == ["1.1", "1.0"]
            assert (await stores.fsck()).broken == []
            monkeypatch.undo()
    raise AssertionError("a create has fewer calls than that")


async def test_a_fresh_claim_is_not_taken_over(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        now = datetime.now(UTC)
        claim = {"token": "another", "claimed": now.isoformat(), "after": 0, "number": 0, "schema": 2}
        await stores._tables.put(PLACES, place_partition(0, "1.1"), PLACE_ROW, claim)
        with pytest.raises(StoreUnavailable):
            await stores.workitems.create(DEFAULT, "1.1", dataset("1.1"))
        assert await stores.workitems.find(DEFAULT, "1.1") is None
        old = claim | {"claimed": (now - timedelta(minutes=4)).isoformat()}
        await stores._tables.put(PLACES, place_partition(0, "1.1"), PLACE_ROW, old)
        assert await stores.workitems.create(DEFAULT, "1.1", dataset("1.1"))
        assert (await stores.fsck()).broken == []


async def test_a_change_of_what_was_changed_since_is_refused(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await make(stores, "1.1")
        before = await existing(stores, "1.1")
        after = await stores.workitems.change(before, dataset("1.1", "IN PROGRESS"), State.IN_PROGRESS, "2.25.7")
        with pytest.raises(Superseded):
            await stores.workitems.change(before, dataset("1.1", "IN PROGRESS"), State.IN_PROGRESS, "2.25.8")
        read = await existing(stores, "1.1")
        assert read == after
        assert read.lock == lock_of("1.1", "2.25.7")
        assert "2.25.7" not in repr(await stores._tables.get("ups00", "d0~9999999999", workitem_row(1)))


@pytest.mark.parametrize("lost", ["before", "after"])
async def test_a_change_whose_answer_is_lost_is_no_collision(azurite, lost):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await make(stores, "1.1")
        before = await existing(stores, "1.1")
        left = [lost]
        transport.fault = lambda request: left.pop() if left and request.method == "PUT" else None
        await stores.workitems.change(before, dataset("1.1", "IN PROGRESS"), State.IN_PROGRESS, "2.25.7")
        assert not left
        assert (await existing(stores, "1.1")).state is State.IN_PROGRESS


async def test_conditions_find_what_items_of_sequences_say(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        one = element("SQ", requested("ACC-1", "P1"))
        both = element("SQ", requested("ACC-1", "P1"), requested("acc-2", "P2"))
        name = element("PN", {"Alphabetic": "Doe^Jöhn"})
        when = element("DT", "20261122083000")
        await make(stores, "1.1", t0040A370=one, t00100010=name, t00404005=when)
        await make(stores, "1.2", t0040A370=both, t00404025=element("SQ", code("ct1"), code("CT2")))
        accession = "ReferencedRequestSequenceAccessionNumber"
        assert await uids(stores, any_of(accession, frozenset({"acc-1"}))) == ["1.2", "1.1"]
        assert await uids(stores, any_of(accession, frozenset({"acc-2"}))) == ["1.2"]
        assert await uids(stores, any_of(accession, frozenset({"acc"}))) == []
        assert await uids(stores, any_of("ScheduledStationNameCodeSequenceCodeValue", frozenset({"ct2"}))) == ["1.2"]
        assert await uids(stores, name_phrase("PatientName", ["do", "jo"])) == ["1.1"]
        assert await uids(stores, one_of("ProcedureStepState", ["scheduled"])) == ["1.2", "1.1"]
        start = "ScheduledProcedureStepStartDateTime"
        assert await uids(stores, in_range(start, "20261122083000.000000", "")) == ["1.1"]
        assert await uids(stores, in_range(start, "", "20261122082959.999999")) == []


async def test_a_workitem_that_no_row_takes_is_refused_before_its_uid_is_claimed(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        noise = element("UT", "".join(f"{number * 7919**5 % 10**15:x}" for number in range(60_000)))
        with pytest.raises(InvalidRequest, match="too long"):
            await stores.workitems.create(DEFAULT, "1.1", dataset("1.1", t0040A160=noise))
        await make(stores, "1.1")
        workitem = await existing(stores, "1.1")
        with pytest.raises(InvalidRequest, match="too long"):
            await stores.workitems.change(workitem, dataset("1.1", t0040A160=noise), State.SCHEDULED)


async def test_a_row_that_cannot_be_read_is_counted(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await make(stores, "1.1", "1.2")
        await stores._tables.merge("ups00", "d0~9999999999", workitem_row(1), {"dataset0": b"nothing"})
        found = await stores.workitems.search(DEFAULT, (), 0, 10)
        assert ([row["uid"] for row in found.rows], found.unreadable) == (["1.2"], 1)
        assert any("cannot be read" in line for line in (await stores.fsck()).broken)


async def test_calls_of_each_operation(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await make(stores, "1.1")
        transport.forget()
        await make(stores, "1.2")
        assert transport.calls == ["transaction upsuids", "transaction ups00", "MERGE row upsuids"]
        transport.forget()
        workitem = await existing(stores, "1.2")
        assert transport.calls == ["GET row ups00"]
        transport.forget()
        await stores.workitems.change(workitem, dataset("1.2", "IN PROGRESS"), State.IN_PROGRESS, "2.25.7")
        assert transport.calls == ["PUT row ups00"]
        transport.forget()
        assert len(await uids(stores)) == 2
        transport.forget()
        await uids(stores)
        assert sorted(transport.calls) == ["GET row ups01", "GET rows ups00"]


async def test_a_search_goes_on_into_older_blocks(azurite, monkeypatch):
    for one in (workitemlog, workitemrows):
        monkeypatch.setattr(one, "BLOCK", 4)
    async with watched_stores(azurite.connection_string) as (stores, _):
        names = [f"1.{number}" for number in range(30)]
        await make(stores, *names)
        expected = names[::-1]
        assert await uids(stores) == expected
        assert await uids(stores, offset=9, limit=7) == expected[9:16]
        fresh = open_stores(settings_of_last())
        try:
            assert await uids(fresh) == expected
            assert await uids(fresh, one_of("ProcedureStepState", ["canceled"])) == []
            assert await fresh.workitems.create(DEFAULT, "1.30", dataset("1.30"))
            assert await uids(stores, limit=2) == ["1.30", "1.29"]
            monkeypatch.setattr("shared.storage.paging._SKIPPED_BY_KEYS", 5)
            assert await uids(fresh, offset=11, limit=7) == ["1.30", *expected][11:18]
            assert await uids(fresh, offset=31) == []
        finally:
            await fresh.close()
        assert (await stores.fsck()).broken == []
