"""Records of today's schema and of the one before are read and changed by today's code, through the front door."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from io import BytesIO
from typing import Any

import pydicom
import pytest

from shared.storage.keys import SCHEMA
from shared.storage.schema import READ
from tests.storage.made import DEFAULT, store
from tests.storage.restored import ANY_SYNTAX, OCTETS, Restored, placed, restored
from tests.support.clients import failure_reasons, made, naive_parts
from tests.support.front import Answer, Front
from tests.support.recorded import FOLDER, PARTITION, dump, recorded

pytestmark = pytest.mark.azurite

AT_ONCE = timedelta(0)
NAMES = ("Recorded^One", "Recorded^Deflated", "Recorded^Last")
DICOM = "application/dicom"


@pytest.fixture(scope="module", params=READ)
def schema(request) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
async def kept(azurite, schema) -> AsyncIterator[Restored]:
    """A record that tests only read."""
    async with restored(azurite.connection_string, recorded(schema)) as found:
        yield found


@pytest.fixture
async def own(azurite, schema) -> AsyncIterator[Restored]:
    """A record that a test may change."""
    async with restored(azurite.connection_string, recorded(schema)) as found:
        yield found


def uid(entry: dict[str, Any], tag: str) -> str:
    return str(entry[tag]["Value"][0])


def numbers(schema: int) -> set[Any]:
    """All schema numbers in a record."""
    return {one.get("schema") for one in placed(recorded(schema)).values()}


# ---- what was recorded ----


def test_each_schema_that_is_read_has_its_record_and_records_are_small():
    files = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert files.keys() == {f"{number}.json" for number in range(1, SCHEMA + 1)}
    assert sum(files.values()) < 200_000


def test_a_record_is_of_its_schema():
    assert numbers(2) == {2, "2"}
    # Marks and blobs of the first schema had no number.
    assert numbers(1) == {1, None}
    assert "frames" not in json.dumps(recorded(1)["tables"])


async def test_whatever_is_written_has_the_number(own):
    """Of today's schema; a row that only gets a column more keeps its own."""
    await own.stores.sweep.run(AT_ONCE, AT_ONCE)
    await store(own.stores, "1.2", ["1.2.1", "1.2.2"])
    ward = await own.stores.partition_or_new("another")
    await store(own.stores, "1.3", ["1.3.1"], partition=ward)
    assert await own.stores.index.covering.log("log", DEFAULT).seal(1)
    async with own.stores.writer.request() as epoch:
        own.stores.writer.leave(epoch)
    await own.stores.writer.close()
    after = await dump(own.account)
    new = {place: row.get("schema") for place, row in placed(after).items() if place not in placed(own.record)}
    kinds = {place.partition(" ")[0].rstrip("0123456789") for place in new}
    assert kinds == {"main", "parts", "feed", "work", "filters", "log", "ser", "blob"}
    assert set(new.values()) == {SCHEMA, str(SCHEMA)}


# ---- reading it ----


async def test_every_file_comes_back_byte_for_byte(kept):
    for one in kept.instances():
        answer = await kept.front.ask("GET", one.path, Accept=ANY_SYNTAX)
        assert answer.status == 200
        assert [part.content for part in naive_parts(answer.content)] == [one.content]
        study = await kept.front.ask("GET", f"/v2/studies/{one.uids[0]}", Accept=ANY_SYNTAX)
        assert one.content in [part.content for part in naive_parts(study.content)]


async def test_every_metadata_is_that_of_the_file(kept):
    for one in kept.instances():
        answer = await kept.front.ask("GET", f"{one.path}/metadata")
        (metadata,) = answer.json()
        expected = pydicom.dcmread(BytesIO(one.content)).to_json_dict()
        for tag, element in expected.items():
            if element["vr"] not in ("OB", "OW"):
                assert metadata[tag]["vr"] == element["vr"]
                assert metadata[tag].get("Value") == element.get("Value")
        series = await kept.front.ask("GET", one.path.rpartition("/instances/")[0] + "/metadata")
        assert metadata in series.json()


async def test_a_finished_metadata_answer_is_used(kept):
    (pack,) = [blob for blob in kept.record["blobs"] if blob["name"].startswith("packs/")]
    _, _, study, series = pack["name"].split("/")
    version = int(pack["metadata"]["version"])
    async with kept.stores.packs.open(DEFAULT, study, series, version) as opened:
        assert opened is not None
        assert b"".join([chunk async for chunk in opened.chunks]) == base64.b64decode(pack["content"])
    answer = await kept.front.ask("GET", f"/v2/studies/{study}/series/{series}/metadata")
    assert len(answer.json()) == 8


async def test_every_frame_is_found(kept):
    """Rows of the first schema say nothing of frames: their files are read through."""
    counted = []
    for one in kept.instances():
        file = pydicom.dcmread(BytesIO(one.content))
        count = int(file.get("NumberOfFrames") or 1)
        counted.append(count)
        for frame in {1, count // 2 + 1, count}:
            answer = await kept.front.ask("GET", f"{one.path}/frames/{frame}", Accept=OCTETS)
            assert answer.status == 200
            (part,) = naive_parts(answer.content)
            if file.file_meta.TransferSyntaxUID.is_encapsulated:
                assert part.content == f"frame {frame:04d}".encode()
            else:
                size = len(file.PixelData) // count
                assert part.content == file.PixelData[size * (frame - 1) : size * frame]
    assert {2, 3, 300} <= set(counted)


async def test_searches_find_what_was_stored(kept):
    instances = kept.instances()
    studies = {one.uids[0] for one in instances}
    everything = await kept.front.ask("GET", "/v2/studies?limit=100")
    # A study whose delete was begun may be found until the sweep has finished it.
    assert {uid(entry, "0020000D") for entry in everything.json()} - kept.going() == studies
    series = await kept.front.ask("GET", "/v2/series?limit=100")
    known = {uid(entry, "0020000E") for entry in series.json() if uid(entry, "0020000D") not in kept.going()}
    assert known == {one.uids[1] for one in instances}
    every = await kept.front.ask("GET", "/v2/instances?limit=100")
    assert {uid(entry, "00080018") for entry in every.json()} == {one.uids[2] for one in instances}
    for name in NAMES:
        (found,) = (await kept.front.ask("GET", f"/v2/studies?PatientName={name}&StudyDate=20240229")).json()
        assert found["00100010"]["Value"] == [{"Alphabetic": name}]
    (found,) = (
        await kept.front.ask("GET", "/v2/studies?ModalitiesInStudy=MR&fuzzymatching=true&PatientName=rec")
    ).json()
    assert found["00081030"]["Value"] == ["Recorded later"]
    one = instances[0]
    (found,) = (await kept.front.ask("GET", f"/v2/instances?SOPInstanceUID={one.uids[2]}")).json()
    assert uid(found, "0020000E") == one.uids[1]


async def test_the_change_feed_tells_what_was_recorded(kept):
    changes = (await kept.front.ask("GET", "/v1/changefeed?limit=100")).json()
    rows = kept.record["tables"]["feed"]
    assert [(one["sequence"], one["action"].lower(), one["sopInstanceUid"]) for one in changes] == [
        (int(row["RowKey"]), row["action"].lower(), row["instance"]) for row in rows
    ]
    assert {row["action"] for row in rows} == {"Create", "Delete"}
    latest = (await kept.front.ask("GET", "/v2/changefeed/latest")).json()
    assert latest["sequence"] == len(rows)


async def test_a_data_partition_keeps_its_number(azurite, schema):
    async with restored(azurite.connection_string, recorded(schema), data_partitions=True) as found:
        (one,) = found.instances(partition=1)
        path = one.path.replace("/v2/", f"/v2/partitions/{PARTITION}/")
        answer = await found.front.ask("GET", path, Accept=ANY_SYNTAX)
        assert [part.content for part in naive_parts(answer.content)] == [one.content]
        hits = await found.front.ask("GET", f"/v2/partitions/{PARTITION}/studies?PatientName=Recorded^Ward")
        assert [uid(entry, "0020000D") for entry in hits.json()] == [one.uids[0]]
        another = made(columns=8)
        await found.front.ask("POST", "/v2/partitions/other/studies", another.content, Content_Type=DICOM)
        assert await found.stores.partitions.all() == {"Microsoft.Default": 0, PARTITION: 1, "other": 2}


# ---- changing it ----


async def test_the_sweep_finishes_what_was_left(own):
    jobs = [row for row in own.record["tables"]["work"] if row["PartitionKey"] == "delete" and "study" in row]
    found = await own.stores.sweep.run(AT_ONCE, AT_ONCE)
    assert (found.deletes_finished, found.seals_finished, found.events_added) == (len(jobs), 1, 1)
    await own.stores.deletion.settled()
    assert (await own.stores.fsck()).broken == []
    (going,) = own.going()
    assert (await own.front.ask("GET", f"/v2/studies/{going}")).status == 404
    again = await own.stores.sweep.run(AT_ONCE, AT_ONCE)
    assert (again.deletes_finished, again.seals_finished, again.events_added, again.blobs_deleted) == (0, 0, 0, 0)


async def stored(front: Front, content: bytes) -> Answer:
    return await front.ask("POST", "/v2/studies", content, Content_Type=DICOM, Accept="application/dicom+json")


async def test_what_is_stored_joins_it(own):
    """A new instance of a recorded series, which is compressed with that series' dictionary, and a new series."""
    one = next(one for one in own.instances() if b"Recorded^One" in one.content)
    same = await stored(own.front, one.content)
    assert (same.status, failure_reasons(same.json())) == (409, [45070])
    for series in (one.uids[1], None):
        new = made(columns=8, study_uid=one.uids[0], series_uid=series, patient_name="Recorded^Anew", modality="PT")
        assert (await stored(own.front, new.content)).status == 200
        (metadata,) = (await own.front.ask("GET", f"/v2{new.path}/metadata")).json()
        assert uid(metadata, "00080018") == new.sop_instance_uid
    hits = (await own.front.ask("GET", "/v2/studies?PatientName=Recorded^Anew")).json()
    assert [uid(entry, "0020000D") for entry in hits] == [one.uids[0]]
    assert (await own.front.ask("GET", "/v2/studies?PatientName=Recorded^One")).status == 204
    await own.stores.sweep.run(AT_ONCE, AT_ONCE)
    await own.stores.deletion.settled()
    assert (await own.stores.fsck()).broken == []


async def test_all_of_it_can_be_deleted(own):
    await own.stores.sweep.run(AT_ONCE, AT_ONCE)
    instances = own.instances()
    by_study = {one.uids[0]: one for one in instances}
    for place, (study, one) in enumerate(by_study.items()):
        path = (one.path, one.path.rpartition("/instances/")[0], f"/v2/studies/{study}")[place % 3]
        assert (await own.front.ask("DELETE", path)).status == 204
        if place % 3 != 2 and len([each for each in instances if each.uids[0] == study]) > 1:
            assert (await own.front.ask("DELETE", f"/v2/studies/{study}")).status == 204
    assert (await own.front.ask("GET", "/v2/instances")).status == 204
    await own.stores.deletion.settled()
    report = await own.stores.fsck()
    assert (report.broken, report.counts["instances"]) == ([], 1)  # that of the other data partition
