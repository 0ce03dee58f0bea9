"""Searching by extended query tags: what stores and reindexing have made findable, level by level."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pydicom
import pytest

from shared.storage import taggedsearch
from tests.querytags.made import another_worker, file, service, tag
from tests.storage.made import DEFAULT

pytestmark = pytest.mark.azurite


def archive() -> list[bytes]:
    """Two studies of two series each; the second study says other things."""
    return [
        file("1.2.1", "1.3.1", "1.4.1", PatientSex="F", SeriesNumber=1, InstanceNumber=1, BodyPartExamined="HEAD"),
        file("1.2.1", "1.3.1", "1.4.2", PatientSex="F", SeriesNumber=1, InstanceNumber=2, BodyPartExamined="HEAD"),
        file("1.2.1", "1.3.2", "1.4.3", PatientSex="F", SeriesNumber=2, InstanceNumber=1, BodyPartExamined="CHEST"),
        file("1.2.2", "1.3.3", "1.4.4", PatientSex="M", SeriesNumber=2, InstanceNumber=2, BodyPartExamined="CHEST"),
    ]


TAGS = (tag("PatientSex", "Study"), tag("SeriesNumber", "Series"), tag("InstanceNumber", "instance"))


@pytest.mark.parametrize("when", ["before", "after"])
async def test_tags_of_each_level_find_what_was_stored_before_and_after_they_came(azurite, when):
    async with service(azurite.connection_string) as one:
        if when == "before":
            await one.store(*archive())
        await one.add(*TAGS)
        if when == "after":
            await one.store(*archive())
        assert await one.found("studies", PatientSex="f") == ["1.2.1"]
        assert sorted(await one.found("series", PatientSex="F")) == ["1.3.1", "1.3.2"]
        assert sorted(await one.found("instances", PatientSex="F")) == ["1.4.1", "1.4.2", "1.4.3"]
        assert sorted(await one.found("series", SeriesNumber="2")) == ["1.3.2", "1.3.3"]
        assert await one.found("series", "/studies/1.2.1", SeriesNumber="02") == ["1.3.2"]
        assert sorted(await one.found("instances", SeriesNumber="2")) == ["1.4.3", "1.4.4"]
        assert sorted(await one.found("instances", InstanceNumber="2")) == ["1.4.2", "1.4.4"]
        assert await one.found("instances", InstanceNumber="2", PatientSex="M") == ["1.4.4"]
        assert await one.found("instances", InstanceNumber="2", SeriesNumber="1") == ["1.4.2"]
        assert await one.found("instances", "/studies/1.2.1", InstanceNumber="2") == ["1.4.2"]
        assert await one.found("instances", "/studies/1.2.1/series/1.3.2", InstanceNumber="1") == ["1.4.3"]
        assert await one.found("instances", InstanceNumber="1", SOPInstanceUID="1.4.3,1.4.4") == ["1.4.3"]
        assert await one.found("instances", InstanceNumber="9") == []


async def test_a_tag_of_a_lower_level_is_refused_above_it(azurite):
    async with service(azurite.connection_string, archive()) as one:
        await one.add(*TAGS)
        for what, key in (("studies", "SeriesNumber"), ("studies", "InstanceNumber"), ("series", "InstanceNumber")):
            assert (await one.search(what, **{key: "1"})).status == 400
        assert (await one.search("series", "/studies/1.2.1", PatientSex="F")).status == 400


SEX = tag("PatientSex", "Study")
PRIVATE = tag("00091001", "Instance", "LO", "ACME 1.0")


async def test_a_study_has_the_value_of_its_newest_instance_that_has_one(azurite):
    async with service(azurite.connection_string) as one:
        await one.add(SEX)
        await one.store(file("1.2.1", "1.3.1", "1.4.1", PatientSex="F"))
        await one.store(file("1.2.1", "1.3.1", "1.4.2", PatientSex="M"))
        await one.store(file("1.2.1", "1.3.1", "1.4.3"))
        assert await one.found("studies", PatientSex="F") == []
        assert await one.found("studies", PatientSex="M") == ["1.2.1"]


async def test_answers_have_the_tags_that_are_asked_for_or_searched_by(azurite):
    async with service(azurite.connection_string, archive()) as one:
        await one.add(*TAGS, tag("BodyPartExamined", "Series"))
        (item,) = (await one.search("studies", PatientSex="m")).json()
        assert item["00100040"] == {"vr": "CS", "Value": ["M"]}
        items = (await one.search("series", includefield="BodyPartExamined,SeriesNumber", PatientID="SYN-1")).json()
        assert {item["00180015"]["Value"][0] for item in items} == {"HEAD", "CHEST"}
        assert {item["00200011"]["Value"][0] for item in items} == {1, 2}
        items = (await one.search("instances", includefield="PatientSex", InstanceNumber="2")).json()
        assert [(item["00100040"]["Value"], item["00200013"]["Value"]) for item in items]
        assert "00180015" not in (await one.search("series", PatientID="SYN-1")).json()[0]


async def test_instances_come_newest_first_in_pages(azurite):
    async with service(azurite.connection_string) as one:
        await one.add(tag("AcquisitionNumber", "Instance"), tag("AcquisitionDate", "Instance"))
        for number in range(7):
            study = number % 3
            said = {"AcquisitionNumber": 1 if number != 3 else 2, "AcquisitionDate": f"2024010{7 - number}"}
            await one.store(file(f"1.2.{study}", f"1.3.{study}", f"1.4.{number}", **said))
        newest = [f"1.4.{number}" for number in (6, 5, 4, 2, 1, 0)]
        assert await one.found("instances", AcquisitionNumber="1") == newest
        for offset in range(7):
            page = await one.found("instances", AcquisitionNumber="1", limit="2", offset=str(offset))
            assert page == newest[offset : offset + 2]
        every = [f"1.4.{number}" for number in range(6, -1, -1)]
        assert await one.found("instances", AcquisitionDate="20240101-") == every
        assert await one.found("instances", AcquisitionDate="20240101-", limit="3", offset="2") == every[2:5]
        assert await one.found("instances", AcquisitionDate="20240102-20240105", AcquisitionNumber="1") == [
            "1.4.5", "1.4.4", "1.4.2"
        ]  # fmt: skip
        assert await one.found("instances", AcquisitionDate="20240103") == ["1.4.4"]


async def test_deleted_instances_are_not_found_and_leave_nothing(azurite):
    async with service(azurite.connection_string, archive()) as one:
        await one.add(*TAGS)
        assert (await one.ask("DELETE", "/studies/1.2.1/series/1.3.1/instances/1.4.1")).status == 204
        assert sorted(await one.found("instances", InstanceNumber="1")) == ["1.4.3"]
        assert (await one.ask("DELETE", "/studies/1.2.1/series/1.3.2")).status == 204
        assert await one.found("instances", InstanceNumber="1") == []
        assert (await one.ask("DELETE", "/studies/1.2.1")).status == 204
        assert await one.found("instances", InstanceNumber="2") == ["1.4.4"]
        await one.store(archive()[0])
        assert await one.found("instances", InstanceNumber="1") == ["1.4.1"]


async def test_private_attributes_are_those_of_their_creator_whatever_block_he_has(azurite):
    def private(sop: str, *blocks: tuple[str, str]) -> bytes:
        dataset = pydicom.dcmread(BytesIO(file("1.2.1", "1.3.1", sop)))
        for creator, value in blocks:
            dataset.private_block(0x0009, creator, create=True).add_new(0x01, "LO", value)
        out = BytesIO()
        dataset.save_as(out)
        return out.getvalue()

    early = private("1.4.1", ("ACME 1.0", "mine"))
    late = private("1.4.2", ("OTHER", "theirs"), ("ACME 1.0", "mine"))
    others = private("1.4.3", ("OTHER", "mine"))
    async with service(azurite.connection_string, [early]) as one:
        await one.add(PRIVATE)
        await one.store(late, others)
        assert sorted(await one.found("instances", **{"00091001": "MINE"})) == ["1.4.1", "1.4.2"]
        assert await one.found("instances", **{"00091001": "theirs"}) == []


CASES: list[tuple[str, str, Any, list[tuple[str, bool | None]]]] = [
    ("AE", "StationAETitle", "AE_1 ", [("ae_1", True), ("AE_2", False)]),
    ("AS", "PatientAge", "042Y", [("042Y", True), ("043Y", False)]),
    ("CS", "BodyPartExamined", "HEAD", [("head", True), ("HE", False)]),
    ("DA", "AcquisitionDate", "20240229", [
        ("20240229", True), ("20240301-", False), ("-20240229", True), ("20240201-20240301", True),
        ("20240230", None), ("-", None), ("20240301-20240201", None), ("2024", None)]),
    ("DT", "AcquisitionDateTime", "20240229123000.5+0100", [
        ("20240229123000.5", True), ("202402291230", False), ("2024022912-2024022912", True), ("2024-2024", True),
        ("2025-", False), ("-2023", False), ("20240229123000.5+0100", None), ("24", None)]),
    ("TM", "AcquisitionTime", "1230", [
        ("1230", True), ("123000", True), ("12-12", True), ("1231-", False), ("-1229", False), ("25", None)]),
    ("FD", "TableSpeed", 0.1, [("0.1", True), ("1e-1", True), ("0.2", False), ("x", None), ("NaN", None)]),
    ("FL", "ExaminedBodyThickness", 0.1, [("0.1", True), ("0.100000001", True), ("0.2", False), ("1e999", False)]),
    ("IS", "InstanceNumber", "007", [("7", True), ("+07", True), ("8", False), ("7.0", None), ("seven", None)]),
    ("LO", "SeriesDescription", "Fa\u00e7ade  ", [("FA\u00c7ADE", True), ("facade", False), ("Fa*", False)]),
    ("PN", "OperatorsName", "M\u00fcller^Anna Maria", [("muller^anna maria", True), ("muller", False)]),
    ("SH", "StudyID", "S1", [("s1", True), ("S", False)]),
    ("SL", "ReferencePixelX0", -5, [("-5", True), ("5", False)]),
    ("SS", "SmallestImagePixelValue", -2, [("-2", True), ("65534", False)]),
    ("UI", "FrameOfReferenceUID", "1.2.3", [("1.2.3", True), ("1.2.4,1.2.3", True), ("1.2", False), ("x", None)]),
    ("UL", "SelectorULValue", 4_000_000_000, [("4000000000", True), ("-1", False)]),
    ("US", "SamplesPerPixel", 1, [("1", True), ("01", True), ("2", False)]),
]  # fmt: skip


@pytest.mark.parametrize("level", ["Study", "Instance"])
async def test_values_of_every_vr_are_compared_by_its_rule(azurite, level):
    said = {keyword: value for vr, keyword, value, _ in CASES if keyword != "SamplesPerPixel"}
    said |= {"SpecificCharacterSet": "ISO_IR 192", "PixelRepresentation": 1}
    async with service(azurite.connection_string, [file("1.2.1", "1.3.1", "1.4.1", **said)]) as one:
        await one.add(*(tag(keyword, level, vr) for vr, keyword, _, _ in CASES))
        await one.store(file("1.2.2", "1.3.2", "1.4.2", **said))
        for vr, keyword, _, questions in CASES:
            for value, hit in questions:
                answer = await one.search("instances", **{keyword: value})
                expected = 400 if hit is None else 200 if hit else 204
                assert answer.status == expected, (vr, value, answer.content[:200])
                if hit:
                    assert len(answer.json()) == 2, (vr, value)


@pytest.mark.parametrize("level", ["Series", "Instance"])
async def test_names_match_by_the_beginnings_of_words(azurite, level):
    async with service(azurite.connection_string) as one:
        await one.add(tag("OperatorsName", level))
        said = {
            "SpecificCharacterSet": "ISO_IR 192",
            "OperatorsName": "M\u00fcller^Anna Maria=\u5c71\u7530^\u592a\u90ce",
        }
        await one.store(file("1.2.1", "1.3.1", "1.4.1", **said))
        for words, hit in (
            ("mul an", True), ("anna mar", True), ("mar mul", False), ("uller", False), ("\u5c71", True),
            ("*mul*", True),
        ):  # fmt: skip
            found = await one.found("instances", fuzzymatching="true", OperatorsName=words)
            assert found == (["1.4.1"] if hit else []), words
        assert (await one.search("instances", fuzzymatching="true", OperatorsName='"x"')).status == 400


@pytest.mark.parametrize("few", [1000, 2])
async def test_conditions_on_studies_and_series_hold_whatever_is_looked_for_first(azurite, monkeypatch, few):
    monkeypatch.setattr(taggedsearch, "FEW", few)
    async with service(azurite.connection_string) as one:
        await one.add(*TAGS, tag("OperatorsName", "Instance"))
        for number in range(6):
            said = {
                "PatientSex": "FM"[number % 2],
                "SeriesNumber": number % 3,
                "InstanceNumber": 1,
                "OperatorsName": "A^B",
            }
            await one.store(file(f"1.2.{number}", f"1.3.{number}", f"1.4.{number}", PatientID=f"P{number}", **said))
        every = {f"1.4.{number}" for number in range(6)}
        assert set(await one.found("instances", InstanceNumber="1")) == every
        assert set(await one.found("instances", InstanceNumber="1", PatientSex="F")) == {"1.4.0", "1.4.2", "1.4.4"}
        assert set(await one.found("instances", InstanceNumber="1", SeriesNumber="1")) == {"1.4.1", "1.4.4"}
        assert await one.found("instances", InstanceNumber="1", SeriesNumber="1", PatientID="p4") == ["1.4.4"]
        assert await one.found("instances", OperatorsName="a b", fuzzymatching="true", PatientID="P3") == ["1.4.3"]
        assert set(await one.found("instances", OperatorsName="a b", fuzzymatching="true")) == every


async def test_full_segments_are_found_and_passed_over_by_tags(azurite):
    """Segments that were sealed before a tag came know of it when it is ready; their filters keep searches away."""
    async with service(azurite.connection_string) as one:
        for kind in ("log", "ser"):
            one.stores.index.covering.log(kind, DEFAULT)._rows = 3
        for number in range(8):
            await one.store(
                file(f"1.2.{number}", f"1.3.{number}", f"1.4.{number}", StudyID=f"S{number}", SeriesNumber=number)
            )
        await one.add(tag("StudyID", "Study"), tag("SeriesNumber", "Series"), tag("OperatorsName", "Study"))
        for number in range(8, 16):
            said = {"StudyID": f"S{number}", "SeriesNumber": number, "OperatorsName": "New^Name"}
            await one.store(file(f"1.2.{number}", f"1.3.{number}", f"1.4.{number}", **said))
        for number in range(16):
            assert await one.found("studies", StudyID=f"s{number}") == [f"1.2.{number}"]
            assert await one.found("series", SeriesNumber=f"{number}") == [f"1.3.{number}"]
        fuzzy = await one.found("studies", OperatorsName="new na", fuzzymatching="true")
        assert fuzzy == [f"1.2.{number}" for number in range(15, 7, -1)]
        one.transport.forget()
        assert await one.found("studies", StudyID="nobody") == []
        # The open segment, the question whether there is a newer one, the set of tags: none of the sealed ones.
        assert len(one.transport.calls) <= 6, one.transport.calls


async def test_a_search_by_tags_is_as_deep_as_one_without(azurite):
    async with service(azurite.connection_string, archive()) as one:
        await one.add(SEX)
        assert await one.found("studies", PatientSex="F")
        rounds = []
        for keys in ({"PatientID": "SYN-1"}, {"PatientSex": "F"}):
            async with one.transport.holding():
                assert await one.found("studies", **keys)
            rounds.append(one.transport.rounds)
        assert rounds[1] <= rounds[0]


async def test_another_worker_sees_at_once_what_one_has_changed(azurite):
    async with service(azurite.connection_string, archive()) as one, another_worker(one) as other:
        assert (await other.search("studies", PatientSex="F")).status == 400
        await one.add(SEX)
        assert await other.found("studies", PatientSex="F") == ["1.2.1"]
        await one.ask("PATCH", "/extendedquerytags/PatientSex", {"queryStatus": "disabled"})
        assert (await other.search("studies", PatientSex="F")).status == 400
        await one.ask("PATCH", "/extendedquerytags/PatientSex", {"queryStatus": "enabled"})
        assert await other.found("studies", PatientSex="F") == ["1.2.1"]
        await one.ask("DELETE", "/extendedquerytags/PatientSex")
        assert (await other.search("studies", PatientSex="F")).status == 400


async def test_what_an_update_has_changed_is_found_and_what_was_before_is_not(azurite):
    async with service(azurite.connection_string) as one:
        said = {"PatientSex": "F", "PatientAge": "040Y"}
        await one.store(*(file("1.2.1", "1.3.1", f"1.4.{number}", **said) for number in range(3)))
        await one.add(tag("PatientSex", "Study"), tag("PatientAge", "Instance"))
        change = {"00100040": {"vr": "CS", "Value": ["M"]}, "00101010": {"vr": "AS", "Value": ["050Y"]}}
        body = {"studyInstanceUids": ["1.2.1"], "changeDataset": change}
        assert (await one.ask("POST", "/studies/$bulkUpdate", body)).status == 202
        await one.work()
        assert await one.found("studies", PatientSex="M") == ["1.2.1"]
        assert await one.found("studies", PatientSex="F") == []
        assert len(await one.found("instances", PatientAge="050Y")) == 3
        assert await one.found("instances", PatientAge="040Y") == []
        assert (await one.ask("DELETE", "/studies/1.2.1/series/1.3.1/instances/1.4.1")).status == 204
        assert len(await one.found("instances", PatientAge="050Y")) == 2
