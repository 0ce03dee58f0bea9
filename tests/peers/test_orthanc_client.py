"""Orthanc as a client of the service: its DICOMweb plugin searches, retrieves, stores and deletes, unchanged."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from shared.dev.peers.orthanc import running_orthanc
from tests.peers.made import CHUNKED, PLAIN, bytes_of, fill, held_by
from tests.support.clients import VERSIONS, made
from tests.support.files import shipped_file
from tests.support.served import started
from tests.support.storage import fresh_account

REAL = (
    *("CT_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm", "JPEG-lossy.dcm", "US1_J2KR.dcm", "rtplan.dcm"),
    "SC_rgb_small_odd.dcm",
)
"""Uncompressed, compressed in four ways, without pixels, and in colour; every version takes them."""

CT_STUDY = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"


@pytest.fixture(scope="module")
def filled(ours):
    """The service with those files."""
    contents = kinds()
    assert fill(f"{ours.url}/v2", contents) == contents
    return ours


def kinds() -> list[bytes]:
    """A file of each kind."""
    real = [shipped_file(name).read_bytes() for name in REAL]
    others = (ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
    return [*real, *(made(transfer_syntax=syntax).content for syntax in others)]


def tell(orthanc, server: str, what: str, **body: Any) -> httpx.Response:
    """Have Orthanc ask a server of its list."""
    return httpx.post(f"{orthanc.dicom_web}/servers/{server}/{what}", json=body, timeout=60, trust_env=False)


def local_files(orthanc) -> dict[str, bytes]:
    """What Orthanc holds: files by SOPInstanceUID."""
    with httpx.Client(base_url=orthanc.url, timeout=60, trust_env=False) as client:
        names = client.get("/instances").json()
        return {
            client.get(f"/instances/{name}").json()["MainDicomTags"]["SOPInstanceUID"]: client.get(
                f"/instances/{name}/file"
            ).content
            for name in names
        }


def emptied(orthanc) -> None:
    with httpx.Client(base_url=orthanc.url, timeout=60, trust_env=False) as client:
        for name in client.get("/patients").json():
            client.delete(f"/patients/{name}").raise_for_status()


@pytest.mark.parametrize("label", VERSIONS)
def test_it_finds_what_is_there(client, filled, label):
    told = tell(client, f"{label}-{PLAIN}", "qido", Uri="/studies", Arguments={"limit": "100"})
    assert told.status_code == 200, told.text
    found = {match["0020000D"]["Value"] for match in told.json()}
    assert found == {one.study for one in held_by(f"{filled.url}/v2")}


@pytest.mark.parametrize("label", VERSIONS)
def test_it_finds_by_keys(client, filled, label):
    arguments = {"00100020": "1CT1", "StudyDate": "20040101-20041231", "includefield": "00081030"}
    told = tell(client, f"{label}-{PLAIN}", "qido", Uri="/studies", Arguments=arguments)
    assert [match["0020000D"]["Value"] for match in told.json()] == [CT_STUDY]


def test_nothing_found_is_a_failure_to_it(client, filled):
    """204 is what a search without matches answers (§10.6.3.1); Orthanc reads its missing body as a broken one."""
    told = tell(client, f"v2-{PLAIN}", "qido", Uri="/studies", Arguments={"00100020": "nobody"})
    assert told.status_code == 400
    assert "Bad file format" in told.text or "parse" in client.process.last_lines()


@pytest.mark.parametrize("label", VERSIONS)
def test_it_retrieves_studies_byte_for_byte(client, filled, label):
    emptied(client)
    held = held_by(f"{filled.url}/v2")
    for study in {one.study for one in held}:
        told = tell(client, f"{label}-{PLAIN}", "retrieve", Resources=[{"Study": study}], Synchronous=True)
        assert told.status_code == 200, told.text
    got = local_files(client)
    assert got == {one.instance: bytes_of(f"{filled.url}/v2", one) for one in held}


@pytest.mark.parametrize("label", VERSIONS)
def test_it_retrieves_series_and_instances(client, filled, label):
    for one in held_by(f"{filled.url}/v2")[:3]:
        for more in ({}, {"Instance": one.instance}):
            emptied(client)
            asked_for = {"Study": one.study, "Series": one.series, **more}
            told = tell(client, f"{label}-{PLAIN}", "retrieve", Resources=[asked_for], Synchronous=True)
            assert told.status_code == 200, told.text
            assert one.instance in local_files(client)


@pytest.mark.parametrize("label", VERSIONS)
def test_it_reads_metadata_and_pictures(client, filled, label):
    one = next(one for one in held_by(f"{filled.url}/v2") if one.study == CT_STUDY)
    headers = {"Accept": "application/dicom+json"}
    told = tell(client, f"{label}-{PLAIN}", "get", Uri=f"/studies/{one.study}/metadata", HttpHeaders=headers)
    assert told.json()[0]["00080018"]["Value"] == [one.instance]
    picture = tell(client, f"{label}-{PLAIN}", "get", Uri=f"/{one.path}/rendered", HttpHeaders={"Accept": "image/png"})
    assert picture.content.startswith(b"\x89PNG")


@pytest.mark.parametrize("way", [CHUNKED, PLAIN])
@pytest.mark.parametrize("label", VERSIONS)
def test_it_stores_byte_for_byte(azurite, label, way):
    """Its boundary has 73 characters, where RFC 2046 §5.1.1 allows 70."""
    with started({"DICOM_STORAGE": fresh_account(azurite.connection_string)}) as fresh:
        server = {"Url": f"{fresh.url}/{label}/", "ChunkedTransfers": way == CHUNKED}
        with running_orthanc({"ours": server}) as orthanc:
            taken = fill(orthanc.dicom_web, kinds())
            studies = httpx.get(f"{orthanc.url}/studies", timeout=60, trust_env=False).json()
            told = tell(orthanc, "ours", "stow", Resources=studies, Synchronous=True)
            assert told.status_code == 200, (told.text, orthanc.process.last_lines())
            sent = local_files(orthanc)
        assert len(sent) == len(taken) == len(REAL) + 2
        held = held_by(f"{fresh.url}/v2")
        assert {one.instance: bytes_of(f"{fresh.url}/v2", one) for one in held} == sent


def test_what_is_there_already_is_a_failure_to_it(client, ours):
    """An instance that is there answers 409 in every version; Orthanc takes its job for failed, and loses nothing."""
    instance = made()
    httpx.post(f"{client.url}/instances", content=instance.content, timeout=60, trust_env=False).raise_for_status()
    name = httpx.post(f"{client.url}/tools/lookup", content=instance.sop_instance_uid, trust_env=False).json()[0]["ID"]
    body = {"Resources": [name], "Synchronous": True}
    assert tell(client, f"v2-{PLAIN}", "stow", **body).status_code == 200
    assert tell(client, f"v2-{PLAIN}", "stow", **body).status_code == 500
    assert "409 (Conflict)" in client.process.last_lines()
    assert instance.sop_instance_uid in {one.instance for one in held_by(f"{ours.url}/v2")}


@pytest.mark.parametrize("label", VERSIONS)
def test_it_deletes(client, ours, label):
    instance = made()
    httpx.post(
        f"{ours.url}/{label}/studies",
        content=instance.content,
        headers={"Content-Type": "application/dicom"},
        timeout=60,
        trust_env=False,
    ).raise_for_status()
    told = tell(client, f"{label}-{PLAIN}", "delete", Level="Study", StudyInstanceUID=instance.study_uid)
    assert told.status_code == 200, told.text
    assert instance.study_uid not in {one.study for one in held_by(f"{ours.url}/v2")}
