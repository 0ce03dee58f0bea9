"""The calls about extended query tags (contract C9), each answer and each refusal."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from shared.storage import tagset
from shared.storage.tagrows import TABLES
from tests.querytags.made import JSON, Service, another_worker, file, service, tag
from tests.storage.made import rows
from tests.support.clients import VERSIONS
from tests.support.storage import Pause

pytestmark = pytest.mark.azurite

PRIVATE = tag("00091001", "Series", "SH", "ACME 1.0")
ROOT = "https://dicom.example.org"


@pytest.fixture(params=VERSIONS)
def version(request) -> str:
    return str(request.param)


async def test_tags_are_added_listed_and_ready_when_their_operation_has_ended(azurite, version):
    async with service(azurite.connection_string) as one:
        wanted = [tag("PatientSex", "STUDY"), tag("00200013", "instance", "IS"), PRIVATE]
        answer = await one.ask("POST", "/extendedquerytags", wanted, version)
        assert answer.status == 202
        begun = answer.json()
        assert begun == {"id": begun["id"], "href": f"{ROOT}/{version}/operations/{begun['id']}"}
        assert answer.headers["location"] == begun["href"]
        adding = {"status": "adding", "queryStatus": "enabled", "operation": begun}
        entries = (await one.ask("GET", "/extendedquerytags", version=version)).json()
        assert entries == [
            {"path": "00100040", "vr": "CS", "level": "study", **adding},
            {"path": "00200013", "vr": "IS", "level": "instance", **adding},
            {"path": "00091001", "vr": "SH", "privateCreator": "ACME 1.0", "level": "series", **adding},
        ]
        assert (await one.search("studies", version=version, PatientSex="F")).status == 400
        assert await one.work() > 0
        ready = (await one.ask("GET", "/extendedquerytags/PatientSex", version=version)).json()
        assert ready == {"path": "00100040", "vr": "CS", "level": "study", "status": "ready", "queryStatus": "enabled"}
        assert (await one.search("studies", version=version, PatientSex="F")).status == 204


async def test_the_list_is_paged(azurite):
    async with service(azurite.connection_string) as one:
        assert (await one.ask("GET", "/extendedquerytags")).json() == []
        await one.add(*(tag(path, "Study") for path in ("PatientSex", "PatientAge", "StudyID")))
        page = (await one.ask("GET", "/extendedquerytags?limit=2&offset=1")).json()
        assert [entry["path"] for entry in page] == ["00101010", "00200010"]
        for wrong in ("limit=0", "limit=201", "offset=-1", "limit=x"):
            assert (await one.ask("GET", f"/extendedquerytags?{wrong}")).status == 400


WRONG = [
    b"", b"{", b"{}", b"null", b"[]", b"[1]", b"[[]]", b'["PatientSex"]', b"\xff\xfe",
    [tag("PatientSex", "")], [tag("", "Study")], [{"path": 1, "level": "Study"}],
    [{"path": "PatientSex", "level": None}],
    [tag("PatientSex", "Patient")], [tag("PatientSex", "Study", "LO")], [tag("PatientSex", "Study", "XX")],
    [tag("PatientSex", "Study", creator="ACME")], [tag("patientsex", "Study")], [tag("0010004", "Study")],
    [tag("00100040.00100040", "Study")], [tag("0040A370.00080050", "Study")], [tag("0010FFFF", "Study")],
    [tag("PatientName", "Study")], [tag("ModalitiesInStudy", "Study")], [tag("0020000D", "Study")],
    [tag("PatientWeight", "Study")], [tag("RequestAttributesSequence", "Series")], [tag("PixelData", "Instance")],
    [tag("TransferSyntaxUID", "Instance")], [tag("SmallestImagePixelValue", "Instance")],
    [tag("SmallestImagePixelValue", "Instance", "OW")],
    [tag("00091001", "Study", "SH")], [tag("00091001", "Study", creator="ACME")],
    [tag("00090001", "Study", "SH", "ACME")], [tag("00091001", "Study", "SH", "A\\B")],
    [tag("00091001", "Study", "DS", "ACME")], [tag("00091001", "Study", "SH", "A" * 65)],
    [tag("00090010", "Study", creator="ACME")], [tag("00090010", "Study", "SH")],
    [tag("00030010", "Study", "SH", "ACME")],
    [tag("PatientSex", "Study"), tag("00100040", "Series")], [{**tag("PatientSex", "Study"), "extra": 1}],
    [{**tag("PatientSex", "Study"), "Path": "PatientAge"}], [tag("PatientSex", "Study")] * 129,
    b"[" * 100_000,
]  # fmt: skip


async def test_bodies_that_break_a_rule_are_refused_and_add_nothing(azurite):
    async with service(azurite.connection_string) as one:
        for body in WRONG:
            answer = await one.ask("POST", "/extendedquerytags", body, Content_Type=JSON)
            assert answer.status == 400, (str(body)[:80], answer.status, answer.content[:200])
            assert answer.content
        much = b'[{"path": "' + b"A" * 1_100_000
        assert (await one.ask("POST", "/extendedquerytags", much, Content_Type=JSON)).status == 413
        for kind in ("text/plain", "application/dicom+json", ""):
            answer = await one.ask("POST", "/extendedquerytags", b"[]", Content_Type=kind)
            assert answer.status == 415, kind
        assert (await one.ask("GET", "/extendedquerytags")).json() == []


async def test_names_of_members_and_words_may_be_written_in_any_case(azurite):
    async with service(azurite.connection_string) as one:
        await one.add(
            {"Path": "smallestImagePixelValue"[:1].upper() + "mallestImagePixelValue", "VR": "us", "LEVEL": "iNSTANCE"}
        )
        found = await one.tag("00280106")
        assert (found["vr"], found["level"], found["status"]) == ("US", "instance", "ready")
        creator: dict[str, Any] = {"path": "00090010", "level": "Study", "privateCreator": None}
        await one.add(creator)
        assert (await one.tag("00090010"))["vr"] == "LO"


async def test_a_tag_that_is_there_is_a_conflict_and_so_is_an_operation_under_way(azurite):
    async with service(azurite.connection_string) as one:
        operation = await one.begin(tag("PatientSex", "Study"))
        again = await one.ask("POST", "/extendedquerytags", [tag("PatientAge", "Study"), tag("00100040", "Series")])
        assert (again.status, "location" in again.headers) == (409, False)
        other = await one.ask("POST", "/extendedquerytags", [tag("PatientAge", "Study")], "v1")
        assert (other.status, other.headers["location"]) == (409, f"{ROOT}/v1/operations/{operation}")
        await one.work()
        await one.add(tag("PatientAge", "Study"))
        assert (await one.ask("POST", "/extendedquerytags", [tag("PatientAge", "Study")])).status == 409


async def test_a_tag_that_was_refused_does_not_come_when_the_one_in_its_place_goes(azurite):
    async with service(azurite.connection_string) as one:
        await one.add(tag("PatientSex", "Study"))
        assert (await one.ask("POST", "/extendedquerytags", [tag("PatientSex", "Study")])).status == 409
        # No operation was begun, which would add it behind the client's back.
        assert len([row for row in await rows(one.stores, "ops") if str(row["RowKey"]).startswith("o~")]) == 1
        assert (await one.ask("DELETE", "/extendedquerytags/PatientSex")).status == 204
        await one.work()
        assert (await one.ask("GET", "/extendedquerytags")).json() == []


async def test_a_tag_that_somebody_else_adds_between_two_looks_ends_the_operation_of_the_slower(azurite):
    async with service(azurite.connection_string) as one, another_worker(one) as slow:
        pause = Pause(slow.transport, 1)
        adding = asyncio.create_task(slow.ask("POST", "/extendedquerytags", [tag("PatientSex", "Study")]))
        await pause.reached.wait()
        await one.add(tag("PatientSex", "Study"))
        pause.go()
        assert (await adding).status == 409
        ended = [str(row["status"]) for row in await rows(one.stores, "ops") if str(row["RowKey"]).startswith("o~")]
        assert sorted(ended) == ["failed", "succeeded"]
        assert (await one.ask("DELETE", "/extendedquerytags/PatientSex")).status == 204
        await one.work()
        assert (await one.ask("GET", "/extendedquerytags")).json() == []
        await one.add(tag("PatientSex", "Study"))


async def test_there_are_128_tags_at_most(azurite):
    async with service(azurite.connection_string) as one:
        many = [tag(f"0009{0x1000 + number:04X}", "Instance", "LO", "ACME") for number in range(tagset.MOST)]
        await one.add(*many[:-1])
        too_many = await one.ask("POST", "/extendedquerytags", [many[-1], tag("PatientSex", "Study")])
        assert too_many.status == 400
        await one.add(many[-1])
        assert (await one.ask("POST", "/extendedquerytags", [tag("PatientSex", "Study")])).status == 400
        assert len((await one.ask("GET", "/extendedquerytags?limit=200")).json()) == tagset.MOST


async def test_unknown_and_unreadable_paths_are_told_apart(azurite):
    async with service(azurite.connection_string) as one:
        enable = {"queryStatus": "enabled"}
        for path, status in (("PatientSex", 404), ("00100040", 404), ("nothing", 400), ("0010004", 400), ("a.b", 400)):
            for method, below, body in (
                ("GET", "", None),
                ("GET", "/errors", None),
                ("PATCH", "", enable),
                ("DELETE", "", None),
            ):
                answer = await one.ask(method, f"/extendedquerytags/{path}{below}", body)
                assert answer.status == status, (method, path, below)


async def test_a_tag_is_disabled_and_enabled(azurite):
    async with service(azurite.connection_string, [file("1.2.1", "1.3.1", "1.4.1", PatientSex="F")]) as one:
        await one.add(tag("PatientSex", "Study"))
        for word, status in (("Disabled", 400), ("enabled", 200)):
            answer = await one.ask("PATCH", "/extendedquerytags/00100040", {"queryStatus": word})
            assert (answer.status, answer.json()["queryStatus"]) == (200, word.lower())
            assert (await one.search("studies", PatientSex="F")).status == status
        wrong: list[Any] = [{}, {"queryStatus": "on"}, {"queryStatus": 1}, {"queryStatus": "enabled", "vr": "CS"}, []]
        for body in (*wrong, b"{", b"null"):
            answer = await one.ask("PATCH", "/extendedquerytags/00100040", body, Content_Type=JSON)
            assert answer.status == 400, body
        assert (await one.ask("PATCH", "/extendedquerytags/00100040", b"{}", Content_Type="text/plain")).status == 415


async def test_a_tag_is_gone_at_once_when_it_is_deleted_and_starts_anew_when_it_comes_again(azurite):
    first = file("1.2.1", "1.3.1", "1.4.1", PatientSex="F", InstanceNumber=5)
    async with service(azurite.connection_string, [first]) as one:
        await one.begin(tag("PatientSex", "Study"), tag("InstanceNumber", "Instance"))
        assert (await one.ask("DELETE", "/extendedquerytags/PatientSex")).status == 400
        await one.work()
        assert await one.found("instances", InstanceNumber="5") == ["1.4.1"]
        for path in ("PatientSex", "InstanceNumber"):
            assert (await one.ask("DELETE", f"/extendedquerytags/{path}")).status == 204
            assert (await one.ask("DELETE", f"/extendedquerytags/{path}")).status == 404
        assert (await one.ask("GET", "/extendedquerytags")).json() == []
        assert (await one.search("instances", InstanceNumber="5")).status == 400
        # At another level, and without the value of the tag that was.
        await one.store(file("1.2.2", "1.3.2", "1.4.2", PatientSex="M", InstanceNumber=6))
        await one.add(tag("PatientSex", "Series"), tag("InstanceNumber", "Study"))
        assert await one.found("series", PatientSex="F") == ["1.3.1"]
        assert await one.found("studies", InstanceNumber="6") == ["1.2.2"]
        assert (await one.search("studies", PatientSex="F")).status == 400
        assert {entry.tag.number for entry in (await one.stores.tags.load()).entries} == {3, 4}


async def found_by(one: Service) -> list[dict[str, object]]:
    """The rows of all tags of instances."""
    return [row for table in TABLES for row in await rows(one.stores, table)]


async def test_what_deleted_tags_left_is_cleaned_away_by_the_sweep_and_their_columns_are_free_then(azurite):
    async with service(azurite.connection_string, [file("1.2.1", "1.3.1", "1.4.1", InstanceNumber=5)]) as one:
        await one.add(tag("InstanceNumber", "Instance"))
        assert (await one.ask("DELETE", "/extendedquerytags/InstanceNumber")).status == 204
        assert (await one.stores.sweep.run()).tags_cleaned == 0
        assert len(await found_by(one)) == 1
        assert (await one.stores.tags.load()).free_slots()[0] == 1
        assert (await one.stores.sweep.run(timedelta(0))).tags_cleaned == 1
        assert await found_by(one) == []
        assert (await one.stores.tags.load()).free_slots()[0] == 0
        await one.add(tag("SeriesNumber", "Instance"))
        assert await one.found("instances", SeriesNumber="5") == []


async def test_values_that_cannot_be_indexed_are_listed_and_disable_their_tag(azurite):
    # Not looked at by the lenient rules of its version, as long as nobody indexes it.
    wrong = [file("1.2.1", "1.3.1", f"1.4.{n}", StudyTime="2500", PatientAge="1Y") for n in (1, 2, 3)]
    async with service(azurite.connection_string) as one:
        await one.store(*wrong, version="v1")
        await one.store(file("1.2.2", "1.3.2", "1.4.4", StudyTime="1200", PatientAge="001Y"))
        await one.add(tag("StudyTime", "Study"), tag("PatientAge", "Instance"))
        for path, key, value in (("StudyTime", "00080030", "1200"), ("PatientAge", "PatientAge", "001Y")):
            found = await one.tag(path)
            assert (found["status"], found["queryStatus"], found["errors"]["count"]) == ("ready", "disabled", 3)
            errors = (await one.ask("GET", found["errors"]["href"].removeprefix(f"{ROOT}/v2"))).json()
            assert [error["sopInstanceUid"] for error in errors] == ["1.4.1", "1.4.2", "1.4.3"]
            said = {name: errors[0][name] for name in ("createdTime", "errorMessage")}
            uids = {"studyInstanceUid": "1.2.1", "seriesInstanceUid": "1.3.1", "sopInstanceUid": "1.4.1"}
            assert errors[0] == {"partitionName": "Microsoft.Default", **uids, **said}
            assert "2500" not in str(errors)
            assert not errors[0]["createdTime"].endswith(("Z", "+00:00"))
            page = (await one.ask("GET", f"/extendedquerytags/{path}/errors?limit=1&offset=1")).json()
            assert page == errors[1:2]
            assert (await one.search("instances", **{key: value})).status == 400
            assert (await one.ask("PATCH", f"/extendedquerytags/{path}", {"queryStatus": "enabled"})).status == 200
            answer = await one.search("instances", **{key: value})
            assert (answer.status, answer.headers["erroneous-dicom-attributes"]) == (200, key)
            nothing = await one.search("instances", **{key: "1300" if path == "StudyTime" else "002Y"})
            assert (nothing.status, nothing.headers["erroneous-dicom-attributes"]) == (204, key)
        both = await one.search("instances", StudyTime="1200", PatientAge="001Y", PatientID="SYN-1")
        assert both.headers["erroneous-dicom-attributes"] == "StudyTime,PatientAge"
        assert "erroneous-dicom-attributes" not in (await one.search("studies", PatientID="SYN-1")).headers
