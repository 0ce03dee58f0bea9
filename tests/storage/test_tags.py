"""The set of extended query tags: changes by several workers, lost answers, and what rows say."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager

import pytest

from shared.dicom.attributes import Level
from shared.dicom.extendedtags import ExtendedTag
from shared.errors import Conflict, InvalidRequest
from shared.storage.conditions import one_of
from shared.storage.filters import SegmentFilter
from shared.storage.postings import Posted, Postings, order_of
from shared.storage.stores import open_stores
from shared.storage.tagchanges import NewTag, check_room
from shared.storage.tagconditions import tag_begins, tag_is, tag_within
from shared.storage.tagrows import SLOTS, newer, parsed, place_of_key, said
from shared.storage.tags import TagError
from shared.storage.tagset import MOST, GoneTag, TagEntry, TagSet
from tests.support.storage import WatchedTransport, fresh_settings

AZURITE = pytest.mark.azurite
NEW = [NewTag(0x00100040, "CS", Level.STUDY), NewTag(0x00200013, "IS", Level.INSTANCE)]
EXACT = ExtendedTag(0x00100040, "CS", Level.INSTANCE, 12, 3)
NAME = ExtendedTag(0x00081070, "PN", Level.SERIES, 13, 4)
TIME = ExtendedTag(0x00080030, "TM", Level.STUDY, 14, 5)


@asynccontextmanager
async def workers(azurite, count: int):
    settings = fresh_settings(azurite.connection_string)
    transports = [WatchedTransport() for _ in range(count)]
    opened = [open_stores(settings, transport) for transport in transports]
    try:
        yield opened, transports
    finally:
        for stores, transport in zip(opened, transports, strict=True):
            transport.fault = lambda _: None
            await stores.close()
            await transport.close()


@AZURITE
async def test_a_set_that_was_changed_by_others_is_read_again_and_one_that_was_not_costs_a_point_read(azurite):
    async with workers(azurite, 2) as ((one, other), (transport, _)):
        assert (await one.tags.current()).entries == ()
        await other.tags.install("a" * 32, NEW)
        assert [entry.tag.path for entry in (await one.tags.current()).entries] == ["00100040", "00200013"]
        transport.forget()
        await one.tags.current()
        assert transport.calls == ["GET row tags"]


@AZURITE
async def test_changes_of_many_workers_at_once_are_all_made(azurite):
    async with workers(azurite, 4) as (stores, _):
        await stores[0].tags.install("a" * 32, NEW)
        error = TagError("k", "p", "1.2", "1.3", "1.4", "wrong")
        await asyncio.gather(
            stores[0].tags.finish("a" * 32),
            stores[1].tags.report({1: [error]}),
            stores[2].tags.report({2: [error], 1: [error]}),
            stores[3].tags.remove("00200013", 2),
        )
        tags = await stores[0].tags.load()
        (entry,) = tags.entries
        assert (entry.tag.number, entry.ready, entry.erroneous) == (1, True, True)
        assert [gone.number for gone in tags.gone] == [2]
        assert await stores[0].tags.count_errors(1) == 1


@AZURITE
async def test_a_change_whose_answer_is_lost_is_made_once(azurite):
    async with workers(azurite, 1) as ((one,), (transport,)):
        faults = iter(["after"])
        transport.fault = lambda request: next(faults, None) if request.url.endswith("$batch") else None
        await one.tags.install("a" * 32, NEW)
        faults = iter(["after"])
        await one.tags.remove("00100040", 1)
        tags = await one.tags.load()
        assert ([entry.tag.number for entry in tags.entries], len(tags.gone), tags.next_number) == ([2], 1, 3)
        with pytest.raises(Conflict):
            await one.tags.install("b" * 32, NEW)


def full(count: int, gone: int = 0) -> TagSet:
    entries = [TagEntry(ExtendedTag(0x00090000 + n, "LO", Level.STUDY, n, n, "A"), 1, ready=True) for n in range(count)]
    return TagSet(entries=tuple(entries), gone=tuple(GoneTag(count + n, count + n, "2026") for n in range(gone)))


def test_there_is_room_for_so_many_tags_and_for_those_that_went_a_moment_ago():
    check_room(full(MOST - 2), NEW)
    with pytest.raises(InvalidRequest):
        check_room(full(MOST - 1), NEW)
    check_room(full(100, SLOTS - 102), NEW)
    with pytest.raises(Conflict):
        check_room(full(100, SLOTS - 101), NEW)


def test_a_value_gives_way_to_that_of_a_newer_instance_or_a_newer_tag_only():
    there = {"3": (12, 100, {"vr": "CS"})}
    for number, version, wins in ((12, 101, True), (12, 100, False), (12, 99, False), (13, 1, True)):
        assert bool(newer(there, {"3": (number, version, {})})) is wins
    assert newer(there, {"3": (11, 999, {})}) == {}
    assert newer({}, there) == there


def test_what_a_tag_left_in_a_slot_matches_nothing_of_the_next_one():
    row = {"q_x3_": said(EXACT, "f")}
    assert tag_is(EXACT, ["f"]).matches(row)
    later = ExtendedTag(0x00100040, "CS", Level.INSTANCE, 112, 3)
    assert not tag_is(later, ["f"]).matches(row)
    times = {"q_x5_": said(TIME, "120000.000000")}
    assert tag_within(TIME, "", "130000.000000").matches(times)
    for number in (1, 4, 140, 1400):
        other = ExtendedTag(0x00080030, "TM", Level.STUDY, number, 5)
        assert not tag_within(other, "", "130000.000000").matches(times)
        assert not tag_within(other, "000000.000000", "").matches(times)
    names = {"q_x4_": said(NAME, "doe^john")}
    assert tag_begins(NAME, ["do", "jo"]).matches(names)
    assert not tag_begins(ExtendedTag(0x00081070, "PN", Level.SERIES, 3, 4), ["do"]).matches(names)


def test_a_filter_is_asked_about_the_tags_that_it_knows_and_about_no_others():
    rows = [{"q_PatientID": "p1", "q_x3_": said(EXACT, "f"), "q_x4_": said(NAME, "doe^john")}]
    blank = SegmentFilter.of([{"q_PatientID": "p1"}], indexed=11)
    assert not blank.hides(rows[0])
    aware = SegmentFilter.of(rows, indexed=13)
    assert not aware.hides(rows[0])
    assert aware.hides({**rows[0], "q_x3_": said(EXACT, "m")})
    assert SegmentFilter.of([{"q_PatientID": "p1"}], indexed=12).hides(rows[0])
    assert one_of("PatientID", ["p1"]).tag_number() == 0


@pytest.mark.parametrize(
    ("tag", "folded", "kinds"),
    [(EXACT, "f\\/#?'~,", "e"), (TIME, "120000.000000", "r"), (NAME, "doe^john=\u5c71", "ewww")],
)
def test_keys_have_their_instance_in_them_and_characters_that_storage_takes(tag, folded, kinds):
    uids = ("1.2." + "3" * 60, "1.2", "1.2.3")
    posted = Posted(uids, 1_700_000_000_000_001, {"q_x3_": said(tag, folded)})
    keys = [key for _, key in posted.postings()]
    assert sorted(key[0] for key in keys) == sorted(kinds)
    assert {place_of_key(key) for key in keys} == {(posted.version, uids)}
    assert all(character.isascii() and (character.isalnum() or character in ".~") for key in keys for character in key)
    newer_keys = [key for _, key in Posted(uids, posted.version + 1, posted.said).postings()]
    assert all(after < before for after, before in zip(newer_keys, keys, strict=True))


def test_spans_of_keys_hold_what_matches_and_nothing_else():
    def keys(tag: ExtendedTag, folded: str) -> list[str]:
        return [key for _, key in Posted(("1", "2", "3"), 7, {"c": said(tag, folded)}).postings()]

    def held(condition, tag: ExtendedTag, folded: str) -> bool:
        return any(low <= key < high for key in keys(tag, folded) for low, high in condition.probe.spans)

    assert held(tag_is(EXACT, ["f", "m"]), EXACT, "m")
    assert not held(tag_is(EXACT, ["f"]), EXACT, "fm")
    noon = "120000.000000"
    assert held(tag_within(TIME, noon, noon), TIME, noon)
    assert held(tag_within(TIME, "", noon), TIME, "000000.000000")
    assert held(tag_within(TIME, noon, ""), TIME, "235959.999999")
    assert not held(tag_within(TIME, "120000.000001", ""), TIME, noon)
    assert not held(tag_within(TIME, "", "115959.999999"), TIME, noon)
    assert held(tag_begins(NAME, ["jo"]), NAME, "doe^john")
    assert not held(tag_begins(NAME, ["oh"]), NAME, "doe^john")


@AZURITE
async def test_places_of_all_tables_come_in_one_order_whatever_the_pages(azurite):
    dice = random.Random(3)
    async with workers(azurite, 1) as ((one,), _):
        postings = Postings(one._tables)
        column = {"q_x3_": said(EXACT, "f")}
        versions = [dice.randrange(1, 6) * 1_000_000 for _ in range(60)]
        found = [(version, (f"1.{dice.randrange(8)}", "1.2", f"1.{n}")) for n, version in enumerate(versions)]
        await postings.insert(0, [Posted(uids, version, column) for version, uids in found])
        await postings.insert(1, [Posted(("1.9", "1", "1"), 1, column)])
        await postings.drop(0, [Posted(found[0][1], found[0][0], column)])
        await postings.drop(0, [Posted(("1.9", "late", "1"), 1, column)])
        await postings.insert(0, [Posted(("1.9", "late", "1"), 1, column)])
        expected = sorted(found[1:], key=order_of)
        probe = tag_is(EXACT, ["f"]).probe
        for top in (1, 2, 7, 1000):
            pages = [page async for page in postings.newest_first(0, probe, top)]
            assert [place for page in pages for place in page] == expected
        assert sorted(await postings.newest(0, probe, None, 10), key=order_of)[:10] == expected[:10]
        assert sorted(await postings.newest(0, probe, expected[9], 10), key=order_of)[:10] == expected[10:20]


def test_what_no_tag_has_written_is_no_value_of_one():
    assert [parsed(text) for text in ("", "f", "12", "~f")] == [None] * 4
