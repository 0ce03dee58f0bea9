"""The same searches asked of Orthanc and of the service, over the same files."""

from __future__ import annotations

import httpx
import pytest

from tests.peers.made import asked, bytes_of, fill, held_by, listed

UID_OF = {"studies": "0020000D", "series": "0020000E", "instances": "00080018"}
CT = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"
MR = "1.3.6.1.4.1.5962.1.2.4.20040826185059.5457"


@pytest.fixture(scope="module")
def both(orthanc, ours):
    """Bases of two servers that hold the same; what only Orthanc would have is deleted there."""
    mine = f"{ours.url}/v2"
    for one in held_by(orthanc.dicom_web):
        fill(mine, [bytes_of(orthanc.dicom_web, one)])
    here = {one.instance for one in held_by(mine)}
    _delete_others(orthanc, here)
    assert held_by(orthanc.dicom_web) == held_by(mine)
    assert len(here) > 100
    return orthanc.dicom_web, mine


def _delete_others(orthanc, kept: set[str]) -> None:
    for name in asked(f"{orthanc.url}/instances").json():
        told = asked(f"{orthanc.url}/instances/{name}").json()
        if told["MainDicomTags"]["SOPInstanceUID"] not in kept:
            httpx.delete(f"{orthanc.url}/instances/{name}", timeout=60, trust_env=False).raise_for_status()


def found(root: str, question: str) -> set[str]:
    tag = UID_OF[question.partition("?")[0].rpartition("/")[2]]
    return {match[tag]["Value"][0] for match in listed(root, question)}


@pytest.mark.parametrize(
    "question",
    [
        "studies",
        "series",
        "instances",
        "studies?PatientID=1CT1",
        "studies?00100020=1CT1",
        "studies?PatientName=CompressedSamples^CT1",
        "studies?PatientName=compressedsamples^ct1",
        "studies?StudyDate=20040119",
        "studies?StudyDate=20040101-20041231",
        "studies?StudyDate=20100101-",
        "studies?ModalitiesInStudy=MR",
        "studies?AccessionNumber=1",
        "studies?ReferringPhysicianName=ward",
        f"studies?StudyInstanceUID={CT}",
        f"studies?StudyInstanceUID={CT},{MR}",
        "studies?PatientID=nobody",
        "studies?PatientID=1CT1&StudyDate=20040119&ModalitiesInStudy=CT",
        "studies?PatientID=1CT1&StudyDate=20040120",
        "series?Modality=CT",
        "series?Modality=MR&PatientID=4MR1",
        "instances?Modality=CT",
        "instances?SOPInstanceUID=1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322",
        f"studies/{MR}/series",
        f"studies/{MR}/instances",
        "studies?includefield=00081030&PatientID=1CT1",
        "studies?includefield=all&StudyDate=20040101-20041231",
    ],
)
def test_the_same_is_found(both, question):
    theirs, mine = (found(root, question) for root in both)
    assert mine == theirs


@pytest.mark.parametrize("size", [1, 7, 50])
def test_pages_of_any_size_bring_everything_once(both, size):
    for root in both:
        seen: list[str] = []
        while page := _page(root, size, len(seen)):
            seen += page
        assert len(seen) == len(set(seen)) == len(listed(root, "studies"))


def _page(root: str, size: int, offset: int) -> list[str]:
    answer = asked(f"{root}/studies?limit={size}&offset={offset}")
    return [match["0020000D"]["Value"][0] for match in answer.json()] if answer.status_code == 200 else []


@pytest.mark.parametrize("field", ["00081030", "00080090", "00080050", "00100030", "00100040", "00080061"])
def test_included_fields_have_the_same_values(both, field):
    """Where one has the attribute at all; how empty ones are written is every server's own (PS3.18 §F.2.5)."""
    theirs, mine = (
        {
            match["0020000D"]["Value"][0]: sorted(map(str, match[field]["Value"]))
            for match in listed(root, f"studies?includefield={field}&StudyDate=20040101-20041231")
            if match.get(field, {}).get("Value")
        }
        for root in both
    )
    assert theirs
    assert mine == theirs


@pytest.mark.parametrize(
    ("question", "more_of_theirs", "why"),
    [
        ("studies?PatientName=Compressed*", True, "no wildcards, as in the original"),
        ("studies?StudyDate=-19991231", True, "there an empty date lies before every other one"),
        ("studies?StudyDescription=e%2B1", False, "there an encoded plus sign is a space"),
        ("studies?PatientName=compressedsamples&fuzzymatching=true", False, "there is no fuzzy matching there"),
    ],
)
def test_what_is_known_to_be_found_otherwise(both, question, more_of_theirs, why):
    theirs, mine = (found(root, question) for root in both)
    assert (mine < theirs) if more_of_theirs else (theirs < mine), why


@pytest.mark.parametrize(
    "question",
    [
        "studies?nonsense=1",
        "studies?StudyDate=2004",
        "studies?PatientName=",
        "studies?StudyTime=12",
    ],
)
def test_what_is_refused_here_and_guessed_there(both, question):
    theirs, mine = (asked(f"{root}/{question}").status_code for root in both)
    assert (theirs, mine) == (200, 400)
