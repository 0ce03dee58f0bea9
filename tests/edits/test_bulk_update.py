"""Bulk update (contract C11): what becomes of instances, of what was before, of search and of the change feed."""

from __future__ import annotations

import asyncio
import random
from io import BytesIO
from string import ascii_letters
from typing import Any

import orjson
import pydicom
import pytest

from shared.dev.counting import CountingTransport
from shared.dicom.part10 import Part10Scanner, read_dataset
from shared.wire.dicomjson import dataset_to_json
from tests.edits.made import AS_STORED, ORIGINAL, desk, name_is, named
from tests.support.files import shipped_file, synthetic_instance
from tests.support.storage import Pause, WatchedTransport, describe

pytestmark = pytest.mark.azurite


def file_of(study: str, number: int, series: int = 0, **options) -> bytes:
    options.setdefault("patient_name", "Alt^Eva")
    return synthetic_instance(
        study_uid=study, series_uid=f"{study}.{series}", sop_instance_uid=f"{study}.{series}.{number}", **options
    )


def path_of(study: str, number: int, series: int = 0) -> str:
    return f"{study}/series/{study}.{series}/instances/{study}.{series}.{number}"


def metadata_of(content: bytes) -> dict[str, Any]:
    scanner = Part10Scanner()
    scanner.feed(content)
    return dataset_to_json(read_dataset(scanner.finish()))


async def test_an_updated_instance_reads_as_new_everywhere_and_as_original_when_asked(azurite):
    async with desk(azurite.connection_string) as at:
        first = file_of("1.2.1", 0)
        await at.store(first)
        operation = await at.update(["1.2.1"], name_is("Neu^Eva"))
        assert (operation["status"], operation["percentComplete"]) == ("succeeded", 100)
        counts = {"studyProcessed": 1, "studyUpdated": 1, "studyFailed": 0, "instanceUpdated": 1}
        assert operation["results"] == counts
        new = await at.file(path_of("1.2.1", 0))
        assert pydicom.dcmread(BytesIO(new)).PatientName == "Neu^Eva"
        assert pydicom.dcmread(BytesIO(new)).PixelData == pydicom.dcmread(BytesIO(first)).PixelData
        assert await at.metadata(path_of("1.2.1", 0)) == [metadata_of(new)]
        assert await at.file(path_of("1.2.1", 0), **ORIGINAL) == first
        for scope in ("1.2.1", "1.2.1/series/1.2.1.0", path_of("1.2.1", 0)):
            assert [named(one) for one in await at.metadata(scope)] == ["Neu^Eva"]
            assert await at.metadata(scope, **ORIGINAL) == [metadata_of(first)]
            parts = await at.front.ask("GET", f"/v2/studies/{scope}", b"", **AS_STORED)
            assert new in parts.content
            parts = await at.front.ask("GET", f"/v2/studies/{scope}", b"", **AS_STORED, **ORIGINAL)
            assert first in parts.content


async def test_search_finds_the_new_values_and_not_the_old_ones(azurite):
    async with desk(azurite.connection_string) as at:
        await at.store(file_of("1.2.1", 0, patient_name="Alt^Eva^Maria"), file_of("1.2.2", 0))
        await at.update(["1.2.1"], {**name_is("Neu"), "00100020": {"vr": "LO", "Value": ["P2"]}})
        for root in ("/v2", "/v1"):
            (study,) = (await at.front.ask("GET", f"{root}/studies?PatientID=P2&PatientName=Neu")).json()
            assert study["0020000D"]["Value"] == ["1.2.1"]
            assert named(study) == "Neu"
        assert [one["0020000D"]["Value"] for one in await at.search("studies?PatientName=Alt^Eva")] == [["1.2.2"]]
        assert await at.search("studies?PatientName=Alt^Eva^Maria") == []
        assert await at.search("studies?PatientName=Maria&fuzzymatching=true") == []
        assert [named(one) for one in await at.search("instances?StudyInstanceUID=1.2.1")] == ["Neu"]
        assert [named(one) for one in await at.search("studies?StudyInstanceUID=1.2.1")] == ["Neu"]


async def test_the_feed_has_one_update_for_each_instance_and_older_entries_are_replaced(azurite):
    async with desk(azurite.connection_string) as at:
        await at.store(*(file_of("1.2.1", number) for number in range(3)))
        await at.update(["1.2.1"], name_is("Neu"))
        feed = await at.changes()
        assert [(one["action"], one["state"]) for one in feed] == [("Create", "Replaced")] * 3 + [
            ("Update", "Current")
        ] * 3
        assert {named(one["metadata"]) for one in feed} == {"Neu"}
        await at.update(["1.2.1"], name_is("Neuer"))
        feed = await at.changes()
        assert [one["state"] for one in feed] == ["Replaced"] * 6 + ["Current"] * 3
        assert (await at.front.ask("DELETE", "/v2/studies/1.2.1")).status == 204
        assert {one["state"] for one in await at.changes()} == {"Deleted"}


async def test_a_second_update_keeps_the_first_version_and_drops_the_one_between(azurite):
    async with desk(azurite.connection_string) as at:
        first = file_of("1.2.1", 0)
        await at.store(first)
        await at.update(["1.2.1"], name_is("Zwei"))
        await at.update(["1.2.1"], {"00100020": {"vr": "LO", "Value": ["P3"]}})
        dataset = pydicom.dcmread(BytesIO(await at.file(path_of("1.2.1", 0))))
        assert (dataset.PatientName, dataset.PatientID) == ("Zwei", "P3")
        assert await at.file(path_of("1.2.1", 0), **ORIGINAL) == first
        report = await at.stores.fsck()
        assert (report.broken, report.counts["blobs"], report.counts["updated"]) == ([], 2, 1)


READS = {
    "an instance": (path_of("1.2.1", 0), AS_STORED),
    "a study": ("1.2.1", AS_STORED),
    "a frame": (f"{path_of('1.2.1', 0)}/frames/1", {"Accept": "application/octet-stream; transfer-syntax=*"}),
    "a picture": (f"{path_of('1.2.1', 0)}/rendered", {"Accept": "image/png"}),
    "metadata of an instance": (f"{path_of('1.2.1', 0)}/metadata", {}),
    "metadata of a study": ("1.2.1/metadata", {}),
}


IN_THE_CHECK = ("an instance", "a study", "metadata of an instance")


@pytest.mark.parametrize(
    "what", [one if one in IN_THE_CHECK else pytest.param(one, marks=pytest.mark.slow) for one in READS]
)
async def test_a_reader_that_a_second_update_overtakes_reads_the_third_version(azurite, what):
    """It has found the second version when the update takes that away, and looks again."""
    path, accept = READS[what]
    # Too long for a row: such metadata is in a blob, which an update takes away as well.
    long = "".join(random.Random(1).choices(ascii_letters, k=800_000)) if "metadata" in what else "short"
    transport = WatchedTransport()
    async with desk(azurite.connection_string) as at, desk("", at.settings, transport) as reader:
        await at.store(*(file_of("1.2.1", number, extra={"TextValue": long}) for number in range(2)))
        await at.update(["1.2.1"], name_is("Zwei"))
        pause = Pause(transport, 0, only=lambda request: describe(request) == "GET blob")
        reading = asyncio.create_task(reader.front.ask("GET", f"/v2/studies/{path}", b"", **accept))
        reached = asyncio.create_task(pause.reached.wait())
        await asyncio.wait({reading, reached}, return_when=asyncio.FIRST_COMPLETED)
        assert reached.done()
        await at.update(["1.2.1"], name_is("Drei"))
        pause.go()
        answer = await reading
        assert answer.status == 200, answer.content
        assert answer.content.count(b"Drei") == (0 if what in ("a frame", "a picture") else 2 if "study" in what else 1)
        assert b"Zwei" not in answer.content


@pytest.mark.parametrize("scope", ["study", "series", "instance"])
async def test_a_delete_takes_both_versions(azurite, scope):
    async with desk(azurite.connection_string) as at:
        await at.store(*(file_of("1.2.1", number) for number in range(2)))
        await at.update(["1.2.1"], name_is("Neu"))
        paths = {
            "study": ["1.2.1"],
            "series": ["1.2.1/series/1.2.1.0"],
            "instance": [path_of("1.2.1", number) for number in range(2)],
        }
        for path in paths[scope]:
            assert (await at.front.ask("DELETE", f"/v2/studies/{path}")).status == 204
        await at.stores.deletion.settled()
        report = await at.stores.fsck()
        assert (report.broken, report.counts["blobs"], report.counts["instances"]) == ([], 0, 0)
        missing = await at.front.ask("GET", f"/v2/studies/{path_of('1.2.1', 0)}", b"", **ORIGINAL)
        assert missing.status == 404
        await at.store(file_of("1.2.1", 0))
        assert [named(one) for one in await at.metadata("1.2.1", **ORIGINAL)] == ["Alt^Eva"]


async def test_an_unknown_study_is_processed_and_neither_updated_nor_failed(azurite):
    async with desk(azurite.connection_string) as at:
        await at.store(file_of("1.2.1", 0))
        operation = await at.update(["1.2.9", "1.2.1"], name_is("Neu"))
        assert operation["status"] == "succeeded"
        counts = {"studyProcessed": 2, "studyUpdated": 1, "studyFailed": 0, "instanceUpdated": 1}
        assert operation["results"] == counts


async def test_a_study_of_several_series_and_batches_is_updated_as_a_whole(azurite):
    async with desk(azurite.connection_string) as at:
        await at.store(*(file_of("1.2.1", number, series, columns=2) for number in range(40) for series in range(3)))
        operation = await at.update(["1.2.1"], name_is("Neu"))
        assert operation["results"]["instanceUpdated"] == 120
        assert {named(one) for one in await at.metadata("1.2.1")} == {"Neu"}
        assert {named(one) for one in await at.metadata("1.2.1", **ORIGINAL)} == {"Alt^Eva"}
        assert {named(one) for one in await at.metadata("1.2.1/series/1.2.1.2", **ORIGINAL)} == {"Alt^Eva"}
        assert len(await at.search("instances?StudyInstanceUID=1.2.1&limit=200")) == 120
        (study,) = await at.search("studies?StudyInstanceUID=1.2.1&includefield=NumberOfStudyRelatedInstances")
        assert study["00201208"]["Value"] == [120]
        feed = await at.changes()
        assert [one["action"] for one in feed] == ["Create"] * 120 + ["Update"] * 120
        assert len({one["sopInstanceUid"] for one in feed[120:]}) == 120


@pytest.mark.slow
async def test_frames_and_pictures_are_the_same_before_and_after(azurite):
    async with desk(azurite.connection_string) as at:
        content = shipped_file("color3d_jpeg_baseline.dcm").read_bytes()
        await at.store(content)
        dataset = pydicom.dcmread(BytesIO(content), stop_before_pixels=True)
        path = "/".join(
            (
                str(dataset.StudyInstanceUID),
                "series",
                str(dataset.SeriesInstanceUID),
                "instances",
                str(dataset.SOPInstanceUID),
            )
        )
        asked = [
            f"/v2/studies/{path}/frames/1,3",
            f"/v2/studies/{path}/rendered",
            f"/v2/studies/{path}/frames/2/rendered",
        ]
        before = [await at.front.ask("GET", url) for url in asked]
        assert {answer.status for answer in before} == {200}
        await at.update(
            [str(dataset.StudyInstanceUID)],
            {**name_is("Ein^Sehr^Langer^Name"), "00104000": {"vr": "LT", "Value": ["x" * 9000]}},
        )
        after = [await at.front.ask("GET", url) for url in asked]
        assert [_pictures(one.content) for one in before] == [_pictures(one.content) for one in after]
        recoded = await at.front.ask(
            "GET", f"/v2/studies/{path}", b"", Accept="application/dicom; transfer-syntax=1.2.840.10008.1.2.1"
        )
        assert pydicom.dcmread(BytesIO(recoded.content)).PatientName == "Ein^Sehr^Langer^Name"
        recoded = await at.front.ask(
            "GET",
            f"/v2/studies/{path}",
            b"",
            Accept="application/dicom; transfer-syntax=1.2.840.10008.1.2.1",
            **ORIGINAL,
        )
        assert pydicom.dcmread(BytesIO(recoded.content)).PatientName == dataset.PatientName


def _pictures(content: bytes) -> bytes:
    """A body without its boundaries, which are new each time."""
    lead = content[2:34] if content.startswith(b"--") else b"\0" * 32
    return content.replace(lead, b"")


@pytest.mark.parametrize("name", ["image_dfl.dcm", "ExplVR_BigEnd.dcm", "chrH31.dcm", "reportsi.dcm", "liver.dcm"])
async def test_real_files_are_updated_once_and_twice(azurite, name):
    async with desk(azurite.connection_string) as at:
        content = shipped_file(name).read_bytes()
        dataset = pydicom.dcmread(BytesIO(content), stop_before_pixels=True)
        if not dataset.get("PatientID"):
            dataset = pydicom.dcmread(BytesIO(content))
            dataset.PatientID = "P"
            file = BytesIO()
            dataset.save_as(file)
            content = file.getvalue()
        await at.store(content)
        study = str(dataset.StudyInstanceUID)
        path = f"{study}/series/{dataset.SeriesInstanceUID}/instances/{dataset.SOPInstanceUID}"
        before = metadata_of(await at.file(path))
        for text in ("山田^太郎", "Neu^Anna"):
            assert (await at.update([study], name_is(text)))["status"] == "succeeded"
            after = metadata_of(await at.file(path))
            assert named(after) == text
            # What the store warned about is not in metadata.
            (shown,) = await at.metadata(path)
            assert shown == {key: after[key] for key in shown}
            changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
            assert changed <= {"00100010", "00080005", "00080000", "00100000", "00080001"}
        assert await at.file(path, **ORIGINAL) == content


async def test_an_instance_that_cannot_be_updated_fails_its_study_and_the_others_go_on(azurite):
    async with desk(azurite.connection_string) as at:
        broken = file_of("1.2.1", 9, extra={"SpecificCharacterSet": "ISO_IR 100"})
        broken += b"\xfe\x7f\x10\x00LO\x04\x00ABCD" + b"\xfe\x7f\x10\x10LO\x02\x00\xfcb"
        await at.store(file_of("1.2.1", 0), broken, file_of("1.2.2", 0))
        operation = await at.update(["1.2.1", "1.2.2"], name_is("山田"))
        assert operation["status"] == "failed"
        counts = {key: value for key, value in operation["results"].items() if key != "errors"}
        assert counts == {"studyProcessed": 2, "studyUpdated": 1, "studyFailed": 1, "instanceUpdated": 2}
        study, instance = operation["results"]["errors"]
        assert "1.2.1" in study
        assert "1.2.1.0.9" in instance
        assert "behind its pixel data" in instance
        names = {one["00080018"]["Value"][0]: named(one) for one in await at.metadata("1.2.1")}
        assert names == {"1.2.1.0.0": "山田", "1.2.1.0.9": "Alt^Eva"}
        # It can be updated with what its character set can say.
        assert (await at.update(["1.2.1"], name_is("Neu")))["status"] == "succeeded"


async def test_a_running_update_answers_a_second_one_with_409_and_its_id(azurite):
    async with desk(azurite.connection_string) as at:
        await at.store(file_of("1.2.1", 0))
        begun = await at.begin(["1.2.1"], name_is("Eins"))
        assert begun.json()["href"].endswith(f"/v2/operations/{begun.json()['id']}")
        assert begun.headers["location"] == begun.json()["href"]
        second = await at.begin(["1.2.2"], name_is("Zwei"))
        assert second.status == 409
        assert begun.json()["id"].encode() in second.content
        assert "location" not in second.headers
        await at.work()
        assert (await at.begin(["1.2.1"], name_is("Zwei"))).status == 202
        await at.work()


async def test_extended_query_tags_find_the_new_values(azurite):
    async with desk(azurite.connection_string) as at:
        tags = [
            {"path": "00101010", "vr": "AS", "level": "Study"},
            {"path": "00102160", "vr": "SH", "level": "Instance"},
        ]
        added = await at.front.ask("POST", "/v2/extendedquerytags", orjson.dumps(tags), Content_Type="application/json")
        assert added.status == 202, added.content
        await at.work()
        await at.store(*(file_of("1.2.1", n, extra={"PatientAge": "042Y", "EthnicGroup": "old"}) for n in range(2)))
        await at.update(
            ["1.2.1"], {"00101010": {"vr": "AS", "Value": ["043Y"]}, "00102160": {"vr": "SH", "Value": ["new"]}}
        )
        assert len(await at.search("studies?PatientAge=043Y")) == 1
        assert await at.search("studies?PatientAge=042Y") == []
        assert len(await at.search("instances?EthnicGroup=new")) == 2
        assert await at.search("instances?EthnicGroup=old") == []


async def test_each_data_partition_has_its_own_updates(azurite):
    async with desk(azurite.connection_string, data_partitions=True) as at:
        one, two = at.within("one"), at.within("two")
        await one.store(file_of("1.2.1", 0))
        await two.store(file_of("1.2.1", 0))
        assert (await one.begin(["1.2.1"], name_is("Neu"))).status == 202
        assert (await two.begin(["1.2.9"], name_is("Neu"))).status == 202
        await at.work()
        assert [named(found) for found in await two.metadata("1.2.1")] == ["Alt^Eva"]
        assert [named(found) for found in await one.metadata("1.2.1")] == ["Neu"]


async def test_an_update_moves_headers_and_no_pixels(azurite):
    transport = CountingTransport()
    async with desk(azurite.connection_string, transport=transport) as at:
        await at.store(file_of("1.2.1", 0, frames=10, pixel_bytes=5_000_000))
        transport.forget()
        assert (await at.update(["1.2.1"], name_is("Neu")))["status"] == "succeeded"
        assert 1_000 < transport.moved_bytes < 100_000
