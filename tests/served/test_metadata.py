"""Metadata through real HTTP: content, negotiation, ETags, compression, and packs that follow what is stored."""

from __future__ import annotations

import asyncio
import zlib

import pytest
from dicomweb_client import DICOMwebClient
from pydicom.dataset import Dataset

from tests.support.clients import (
    DICOM_JSON,
    Made,
    connected,
    dicom_of,
    head_of,
    made,
    new_uid,
    raw_answer,
    store,
)
from tests.wire.test_dicomjson import agree, reference

pytestmark = [pytest.mark.served, pytest.mark.azurite]

IN_A_PACK = 12


def levels(instance: Made) -> list[str]:
    study = f"/studies/{instance.study_uid}"
    return [f"{study}/metadata", f"{study}/series/{instance.series_uid}/metadata", f"{instance.path}/metadata"]


async def series_of(client, version: str, count: int) -> list[Made]:
    uids = {"study_uid": new_uid(), "series_uid": new_uid()}
    instances = [made(**uids, columns=2) for _ in range(count)]
    assert (await store(client, f"/{version}", [one.content for one in instances])).status_code == 200
    return instances


def uids_of(answer) -> list[str]:
    return sorted(members["00080018"]["Value"][0] for members in answer.json())


async def packed(client, path: str) -> None:
    """Read until the series' pack is there: only an answer that comes from it is compressed."""
    for _ in range(200):
        if (await client.get(path)).headers.get("content-encoding") == "gzip":
            return
        await asyncio.sleep(0.02)
    raise AssertionError("there is no pack")


async def test_it_is_what_pydicom_makes_of_the_file_without_bulk_data(client, version):
    item = Dataset()
    item.CodeMeaning = "Größe"
    item.EncapsulatedDocument = b"1234"
    extra = {
        "ConceptNameCodeSequence": [item],
        "PixelSpacing": [0.5, 0.25],
        "ImageComments": '日本 {}"\\',
        "PatientComments": "",
    }
    instance = made(extra=extra)
    await store(client, f"/{version}", [instance.content])
    for path in levels(instance):
        answer = await client.get(f"/{version}{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, DICOM_JSON)
        (members,) = answer.json()
        agree(members, reference(dicom_of(instance.content)), path)
        assert members["00280030"]["Value"] == [0.5, 0.25]
        assert members["00200013"]["Value"] == [1]
        assert not {"00020010", "7FE00010"} & members.keys()
        assert members["0040A043"]["Value"] == [{"00080104": {"vr": "LO", "Value": ["Größe"]}}]


async def test_every_instance_of_a_series_and_a_study_is_in_it(client, version):
    instances = await series_of(client, version, 30)
    other = made(study_uid=instances[0].study_uid)
    await store(client, f"/{version}", [other.content])
    study, series, _ = levels(instances[0])
    assert uids_of(await client.get(f"/{version}{series}")) == sorted(one.sop_instance_uid for one in instances)
    everyone = sorted(one.sop_instance_uid for one in [*instances, other])
    assert uids_of(await client.get(f"/{version}{study}")) == everyone


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (DICOM_JSON, DICOM_JSON),
        ("application/json", "application/json"),
        ("*/*", DICOM_JSON),
        ("application/*", DICOM_JSON),
        ("", DICOM_JSON),
        ("application/dicom+json, application/json", DICOM_JSON),
        ("application/dicom+json; charset=utf-8", DICOM_JSON),
        # OHIF: with the slash unquoted, which a strict reader refuses.
        ("application/dicom+json, multipart/related; type=application/octet-stream; transfer-syntax=*", DICOM_JSON),
        ("multipart/related; type=application/dicom+xml, application/json;q=0.5", "application/json"),
    ],
)
async def test_json_is_given_to_everybody_who_takes_some(client, version, accept, content_type):
    instance = made()
    await store(client, f"/{version}", [instance.content])
    for path in levels(instance):
        answer = await client.get(f"/{version}{path}", headers={"Accept": accept})
        assert (answer.status_code, answer.headers["content-type"]) == (200, content_type)


@pytest.mark.parametrize("accept", ["application/dicom", "application/dicom+xml", "image/*", "text/html"])
async def test_nothing_else_is_given(client, version, accept):
    instance = made()
    await store(client, f"/{version}", [instance.content])
    for path in levels(instance):
        assert (await client.get(f"/{version}{path}", headers={"Accept": accept})).status_code == 406


async def test_an_etag_that_is_still_true_is_304_in_every_form(client, version):
    instance = made()
    await store(client, f"/{version}", [instance.content])
    for path in levels(instance):
        etag = (await client.get(f"/{version}{path}")).headers["etag"]
        assert etag.strip('"') == etag  # clients of the original compare the bare text (contract E35)
        for form in (etag, f'"{etag}"', f'W/"{etag}"', f'"other", "{etag}"', f"x, {etag}", "*"):
            answer = await client.get(f"/{version}{path}", headers={"If-None-Match": form})
            assert (answer.status_code, answer.content) == (304, b""), form
            assert answer.headers["vary"] == "Accept, Accept-Encoding, msdicom-request-original"
        for form in ("other", f"{etag}0", f"0{etag}", '""', "W/"):
            answer = await client.get(f"/{version}{path}", headers={"If-None-Match": form})
            assert answer.status_code == 200, form


async def test_an_etag_of_another_resource_is_no_match(client, version):
    one, other = made(), made()
    await store(client, f"/{version}", [one.content])
    await store(client, f"/{version}", [other.content])
    etag = (await client.get(f"/{version}{one.path}/metadata")).headers["etag"]
    answer = await client.get(f"/{version}{other.path}/metadata", headers={"If-None-Match": etag})
    assert answer.status_code == 200


@pytest.mark.parametrize("count", [2, IN_A_PACK], ids=["from rows", "from a pack"])
async def test_a_further_store_changes_etag_and_content(client, version, count):
    instances = await series_of(client, version, count)
    study, series, single = levels(instances[0])
    if count == IN_A_PACK:
        await packed(client, f"/{version}{series}")
    before = {path: (await client.get(f"/{version}{path}")).headers["etag"] for path in (study, series, single)}
    late = made(study_uid=instances[0].study_uid, series_uid=instances[0].series_uid)
    assert (await store(client, f"/{version}", [late.content])).status_code == 200
    everyone = sorted(one.sop_instance_uid for one in [*instances, late])
    for path in (study, series):
        answer = await client.get(f"/{version}{path}", headers={"If-None-Match": before[path]})
        assert (answer.status_code, uids_of(answer)) == (200, everyone)
        assert answer.headers["etag"] != before[path]
    unchanged = await client.get(f"/{version}{single}", headers={"If-None-Match": before[single]})
    assert unchanged.status_code == 304


async def test_a_refused_duplicate_leaves_the_etag_as_it_was(client, version):
    instance = made()
    await store(client, f"/{version}", [instance.content])
    path = f"/{version}{levels(instance)[1]}"
    etag = (await client.get(path)).headers["etag"]
    assert (await store(client, f"/{version}", [instance.content])).status_code == 409
    assert (await client.get(path)).headers["etag"] == etag


async def test_a_pack_reads_the_same_zipped_unzipped_and_from_rows(client, service, version):
    instances = await series_of(client, version, IN_A_PACK)
    path = f"/{version}{levels(instances[0])[1]}"
    from_rows = await client.get(path)
    assert "content-encoding" not in from_rows.headers
    await packed(client, path)
    zipped = await client.get(path)
    assert "Accept-Encoding" in zipped.headers["vary"]
    assert zipped.json() == from_rows.json()
    for coding in ("identity", "gzip;q=0", "br"):
        plain = await client.get(path, headers={"Accept-Encoding": coding})
        assert "content-encoding" not in plain.headers
        assert plain.content == zipped.content
    async with connected(service) as (reader, writer):
        writer.write(head_of(service, path, "Accept-Encoding: gzip", method="GET"))
        async with asyncio.timeout(15):
            wire = await raw_answer(reader)
    assert wire.headers["content-encoding"] == "gzip"
    assert zlib.decompress(wire.body, wbits=31) == zipped.content
    assert len(wire.body) < len(zipped.content) / 4


async def test_the_python_client_reads_all_three_levels(service, client, version):
    instances = await series_of(client, version, IN_A_PACK)

    def work() -> None:
        opened = DICOMwebClient(f"{service.url}/{version}")
        study, series = instances[0].study_uid, instances[0].series_uid
        for found in (opened.retrieve_study_metadata(study), opened.retrieve_series_metadata(study, series)):
            names = [Dataset.from_json(members).SOPInstanceUID for members in found]
            assert sorted(names) == sorted(one.sop_instance_uid for one in instances)
        one = opened.retrieve_instance_metadata(study, series, instances[0].sop_instance_uid)
        assert Dataset.from_json(one).PatientName == "Synthetic^Instance"

    await asyncio.to_thread(work)


async def test_readers_during_stores_see_whole_instances_and_never_fewer(client, version):
    uids = {"study_uid": new_uid(), "series_uid": new_uid()}
    path = f"/{version}/studies/{uids['study_uid']}/series/{uids['series_uid']}/metadata"
    await store(client, f"/{version}", [made(**uids).content for _ in range(8)])
    seen = []

    async def write() -> None:
        for _ in range(6):
            assert (await store(client, f"/{version}", [made(**uids).content for _ in range(3)])).status_code == 200

    writing = asyncio.create_task(write())
    while not writing.done():
        seen.append(len((await client.get(path)).json()))
    await writing
    seen.append(len((await client.get(path)).json()))
    assert seen == sorted(seen)
    assert seen[-1] == 26
