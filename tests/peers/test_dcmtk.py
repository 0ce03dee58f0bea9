"""dcmtk: reads what comes out of the service, and sends by C-STORE what goes in."""

from __future__ import annotations

import subprocess
from pathlib import Path

import httpx
import pydicom
import pytest

from shared.dev.peers import programs
from shared.dev.peers.orthanc import AE_TITLE, running_orthanc
from tests.peers.made import asked, bytes_of, fill, held_by
from tests.support.clients import VERSIONS
from tests.support.files import shipped_file

REAL = ("CT_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm", "693_J2KI.dcm", "rtplan.dcm", "SC_rgb_jpeg_dcmtk.dcm")
EXPLICIT = "1.2.840.10008.1.2.1"


def run(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [programs.program(name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=60)


@pytest.fixture(scope="module")
def filled(ours):
    contents = [shipped_file(name).read_bytes() for name in REAL]
    assert fill(f"{ours.url}/v2", contents) == contents
    return ours


@pytest.mark.parametrize("label", VERSIONS)
def test_it_reads_every_file_as_it_reads_the_one_that_was_stored(filled, label, tmp_path):
    held = {one.instance: one for one in held_by(f"{filled.url}/v2")}
    for name in REAL:
        stored = shipped_file(name)
        file = tmp_path / stored.name
        file.write_bytes(bytes_of(f"{filled.url}/{label}", held[pydicom.dcmread(stored).SOPInstanceUID]))
        assert run("dcmftest", file).stdout.startswith("yes:"), name
        before, after = run("dcmdump", stored), run("dcmdump", file)
        assert (after.returncode, after.stdout) == (0, before.stdout), name


def test_it_reads_what_was_decoded_for_it(filled, tmp_path):
    """Asked for as explicit little endian; the frames are what the dumps of dcmtk's own conversion show."""
    for number, one in enumerate(held_by(f"{filled.url}/v2")):
        answer = asked(f"{filled.url}/v2/{one.path}", f"application/dicom; transfer-syntax={EXPLICIT}")
        assert answer.status_code == 200, answer.text
        file = tmp_path / f"{number}.dcm"
        file.write_bytes(answer.content)
        assert run("dcmftest", file).stdout.startswith("yes:")
        dumped = run("dcmdump", "+P", "0002,0010", "+P", "0008,0018", "--print-short", file)
        assert dumped.returncode == 0, dumped.stderr
        assert "=LittleEndianExplicit" in dumped.stdout
        assert one.instance in dumped.stdout


def test_what_is_sent_by_c_store_arrives_by_stow(ours, tmp_path: Path):
    """storescu to Orthanc, and from there by its DICOMweb client: how a modality reaches the service today."""
    sent = pydicom.dcmread(shipped_file("CT_small.dcm"))
    sent.StudyInstanceUID, sent.SOPInstanceUID = "2.25.4711", "2.25.4712"
    sent.file_meta.MediaStorageSOPInstanceUID = sent.SOPInstanceUID
    sent.save_as(tmp_path / "sent.dcm")
    with running_orthanc({"ours": {"Url": f"{ours.url}/v2/"}}) as orthanc:
        told = run("storescu", "-aec", AE_TITLE, "127.0.0.1", orthanc.dicom_port, tmp_path / "sent.dcm")
        assert told.returncode == 0, told.stderr
        with httpx.Client(timeout=60, trust_env=False) as client:
            studies = client.get(f"{orthanc.url}/studies").json()
            body = {"Resources": studies, "Synchronous": True}
            answer = client.post(f"{orthanc.dicom_web}/servers/ours/stow", json=body)
        assert answer.status_code == 200, orthanc.process.last_lines()
    (held,) = [one for one in held_by(f"{ours.url}/v2") if one.instance == sent.SOPInstanceUID]
    (tmp_path / "got.dcm").write_bytes(bytes_of(f"{ours.url}/v2", held))
    got = pydicom.dcmread(tmp_path / "got.dcm")
    different = {element.keyword for element in sent if got.get(element.tag) != element}
    # storescu leaves out what only fills a file up.
    assert different <= {"DataSetTrailingPadding"}
    assert got.PixelData == sent.PixelData
