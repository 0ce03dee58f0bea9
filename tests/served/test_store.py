"""Store through real HTTP: what versions do differently (contract D3-D11), the report, and the forms clients send."""

from __future__ import annotations

import asyncio
import re
import warnings
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydicom import config
from pydicom.uid import ImplicitVRLittleEndian

from tests.support.clients import (
    ANY_PARTS,
    BOUNDARY,
    DICOM_JSON,
    FileClient,
    Made,
    comments,
    dicom_of,
    failed_items,
    failure_reasons,
    made,
    new_uid,
    related,
    related_type,
    store,
    stored_items,
    stored_uids,
    warning_reasons,
)
from tests.support.versions import behaves, warned_status

pytestmark = [pytest.mark.served, pytest.mark.azurite]

STORED = "00081199"
FAILED_ATTRIBUTES = "00741048"


def odd(**options: object) -> Made:
    """An instance with values that pydicom itself would not write."""
    with warnings.catch_warnings(), config.disable_value_validation():
        warnings.simplefilter("ignore")
        return made(**options)


def named(item: dict[str, object]) -> list[str]:
    """Tags that an item's FailedAttributesSequence names."""
    found = [re.fullmatch(r"DICOM100: \(([0-9a-f]{4},[0-9a-f]{4})\) - .+", text) for text in comments(item)]
    return [match[1] for match in found if match]


async def metadata_of(client: httpx.AsyncClient, version: str, instance: Made) -> dict[str, Any]:
    answer = await client.get(f"/{version}{instance.path}/metadata")
    assert answer.status_code == 200
    (members,) = answer.json()
    return dict(members)


async def file_of(client: httpx.AsyncClient, version: str, instance: Made) -> bytes:
    answer = await client.get(f"/{version}{instance.path}", headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert answer.status_code == 200
    return answer.content


async def test_a_good_instance_is_200_with_its_item(client, service, version):
    instance = made()
    answer = await store(client, f"/{version}", [instance.content])
    assert (answer.status_code, answer.headers["content-type"]) == (200, DICOM_JSON)
    item = {
        "00081150": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
        "00081155": {"vr": "UI", "Value": [instance.sop_instance_uid]},
        "00081190": {"vr": "UR", "Value": [f"{service.url}/{version}{instance.path}"]},
    }
    if behaves(version, stored_item_attributes="always"):
        item[FAILED_ATTRIBUTES] = {"vr": "SQ"}  # D6: always there, without items
    assert answer.json() == {STORED: {"vr": "SQ", "Value": [item]}}


async def test_an_invalid_searchable_value_fails_before_version_2_and_is_dropped_in_it(client, version):
    """D3, D5, D7, D13."""
    instance = odd(extra={"PatientBirthDate": "NotADate"})
    answer = await store(client, f"/{version}", [instance.content])
    if behaves(version, invalid_searchable_value="warn"):
        assert (answer.status_code, warning_reasons(answer.json())) == (warned_status(version), [1])
        assert named(stored_items(answer.json())[0]) == ["0010,0030"]
        members = await metadata_of(client, version, instance)
        assert "00100030" not in members
        assert "00100020" in members
        assert await file_of(client, version, instance) == instance.content
    else:
        assert (answer.status_code, failure_reasons(answer.json())) == (409, [43264])
        assert named(failed_items(answer.json())[0]) == ["0010,0030"]
        assert (await client.get(f"/{version}{instance.path}")).status_code == 404


async def test_another_invalid_value_is_ignored_before_version_2_and_dropped_in_it(client, version):
    """D4, D5, D7, D13."""
    instance = odd(extra={"StudyTime": "99:99", "BodyPartExamined": "lower case"})
    answer = await store(client, f"/{version}", [instance.content])
    members = await metadata_of(client, version, instance)
    if behaves(version, invalid_other_value="warn"):
        assert (answer.status_code, warning_reasons(answer.json())) == (warned_status(version), [1])
        assert named(stored_items(answer.json())[0]) == ["0008,0030", "0018,0015"]
        assert not {"00080030", "00180015"} & members.keys()
    else:
        assert (answer.status_code, warning_reasons(answer.json())) == (200, [None])
        assert FAILED_ATTRIBUTES not in stored_items(answer.json())[0]
        assert members["00080030"] == {"vr": "TM", "Value": ["99:99"]}
        assert members["00180015"] == {"vr": "CS", "Value": ["lower case"]}


async def test_an_empty_patient_id_fails_before_version_2_and_is_kept_in_it(client, version):
    """D8."""
    instance = made(patient_id="")
    answer = await store(client, f"/{version}", [instance.content])
    if behaves(version, patient_id="must_be_present"):
        assert (answer.status_code, warning_reasons(answer.json())) == (warned_status(version), [1])
        assert named(stored_items(answer.json())[0]) == ["0010,0020"]
        assert (await metadata_of(client, version, instance))["00100020"] == {"vr": "LO"}
    else:
        assert (answer.status_code, failure_reasons(answer.json())) == (409, [43264])


@pytest.mark.parametrize("patient_id", ["x" * 65, "a\x01b"])
async def test_a_patient_id_that_breaks_its_rule_fails_in_every_version(client, version, patient_id):
    answer = await store(client, f"/{version}", [odd(patient_id=patient_id).content])
    assert (answer.status_code, failure_reasons(answer.json())) == (409, [43264])
    assert named(failed_items(answer.json())[0]) == ["0010,0020"]


def nul_padded() -> Made:
    """PatientID `SYN-1` and AccessionNumber padded with NUL, as some writers do."""
    instance = made(patient_id="SYN-1x", extra={"AccessionNumber": "ACC-1x"})
    content = instance.content.replace(b"SYN-1x", b"SYN-1\0").replace(b"ACC-1x", b"ACC-1\0")
    return Made(instance.study_uid, instance.series_uid, instance.sop_instance_uid, content)


async def test_values_padded_with_nul_fail_before_version_2_and_are_kept_as_they_are_in_it(client, version):
    """D9."""
    instance = nul_padded()
    answer = await store(client, f"/{version}", [instance.content])
    if behaves(version, nul_padding="trimmed"):
        assert (answer.status_code, warning_reasons(answer.json())) == (200, [None])
        members = await metadata_of(client, version, instance)
        assert members["00100020"] == {"vr": "LO", "Value": ["SYN-1\0"]}
        assert await file_of(client, version, instance) == instance.content
    else:
        assert (answer.status_code, failure_reasons(answer.json())) == (409, [43264])
        assert named(failed_items(answer.json())[0]) == ["0008,0050", "0010,0020"]


async def test_a_warning_header_says_that_only_one_value_is_indexed(client, version):
    """D10: any searchable attribute before version 2, only PatientID in it."""
    names = await store(client, f"/{version}", [odd(extra={"ReferringPhysicianName": ["A^B", "C^D"]}).content])
    ids = await store(client, f"/{version}", [odd(extra={"PatientID": ["one", "two"]}).content])
    assert (names.status_code, ids.status_code) == (200, 200)
    any_searchable = behaves(version, multiple_value_notice="any_searchable")
    assert ("ReferringPhysicianName" in names.headers.get("warning", "")) == any_searchable
    assert "PatientID" in ids.headers["warning"]
    assert ids.headers["warning"].startswith('299 127.0.0.1: "')
    assert "warning" not in (await store(client, f"/{version}", [made().content])).headers


async def test_a_uid_component_with_a_leading_zero_is_a_warning_in_version_2_only(client, version):
    """D11."""
    instance = odd(series_uid=f"{new_uid()}.007")
    answer = await store(client, f"/{version}", [instance.content])
    warned = behaves(version, invalid_other_value="warn")
    assert answer.status_code == (warned_status(version) if warned else 200)
    assert warning_reasons(answer.json()) == [1 if warned else None]
    assert await file_of(client, version, instance) == instance.content
    assert (await metadata_of(client, version, instance))["0020000E"]["Value"] == [instance.series_uid]


async def test_implicit_vr_is_stored_with_45063(client, version):
    """D5: and 45063 wins over 1 in version 2."""
    plain = made(transfer_syntax=ImplicitVRLittleEndian)
    twice = odd(transfer_syntax=ImplicitVRLittleEndian, extra={"BodyPartExamined": "lower case"})
    for instance in (plain, twice):
        answer = await store(client, f"/{version}", [instance.content])
        assert answer.status_code == warned_status(version)
        assert warning_reasons(answer.json()) == [45063]
        assert await file_of(client, version, instance) == instance.content


async def test_the_study_in_the_url_is_in_the_report_when_something_was_stored(client, service, version):
    one, other = made(), made()
    answer = await store(client, f"/{version}", [one.content, other.content], one.study_uid)
    assert answer.status_code == 202
    assert answer.json()["00081190"] == {"vr": "UR", "Value": [f"{service.url}/{version}/studies/{one.study_uid}"]}
    assert stored_uids(answer.json()) == [one.sop_instance_uid]
    assert failure_reasons(answer.json()) == [43264]


async def test_a_second_copy_is_45070_in_one_request_and_in_the_next(client, version):
    instance = made()
    answer = await store(client, f"/{version}", [instance.content, instance.content])
    assert answer.status_code == 202
    assert (len(stored_items(answer.json())), failure_reasons(answer.json())) == (1, [45070])
    again = await store(client, f"/{version}", [instance.content])
    assert (again.status_code, failure_reasons(again.json())) == (409, [45070])
    (item,) = failed_items(again.json())
    assert item["00081155"]["Value"] == [instance.sop_instance_uid]
    assert FAILED_ATTRIBUTES not in item
    assert "00081190" not in again.json()


async def test_a_copy_with_other_content_does_not_replace_the_first(client, version):
    first = made()
    uids = {"study_uid": first.study_uid, "series_uid": first.series_uid, "sop_instance_uid": first.sop_instance_uid}
    other = made(**uids, patient_name="Somebody^Else")
    await store(client, f"/{version}", [first.content])
    assert failure_reasons((await store(client, f"/{version}", [other.content])).json()) == [45070]
    assert await file_of(client, version, first) == first.content


async def test_what_one_version_stored_the_others_know(client):
    instance = made()
    assert (await store(client, "/v1", [instance.content])).status_code == 200
    for version in ("v1.0-prerelease", "v2"):
        assert failure_reasons((await store(client, f"/{version}", [instance.content])).json()) == [45070]
        assert await file_of(client, version, instance) == instance.content


async def test_sixteen_stores_of_one_instance_at_once_leave_exactly_one(client, version):
    uids = {"study_uid": new_uid(), "series_uid": new_uid(), "sop_instance_uid": new_uid()}
    copies = [made(**uids, patient_name=f"Copy^{number}") for number in range(16)]
    answers = await asyncio.gather(*(store(client, f"/{version}", [copy.content]) for copy in copies))
    winners = [copy for copy, answer in zip(copies, answers, strict=True) if answer.status_code == 200]
    losers = [answer for answer in answers if answer.status_code != 200]
    assert len(winners) == 1
    assert {answer.status_code for answer in losers} == {409}
    assert {reason for answer in losers for reason in failure_reasons(answer.json())} <= {45070, 45071}
    study = await client.get(f"/{version}/studies/{uids['study_uid']}", headers={"Accept": ANY_PARTS})
    assert study.content.count(b"DICM") == 1
    assert winners[0].content in study.content


async def test_many_stores_into_one_series_at_once_lose_nothing(client, version):
    uids = {"study_uid": new_uid(), "series_uid": new_uid()}
    instances = [made(**uids) for _ in range(40)]
    answers = await asyncio.gather(
        *(
            store(client, f"/{version}", [one.content for one in instances[start : start + 4]])
            for start in range(0, len(instances), 4)
        )
    )
    assert [answer.status_code for answer in answers] == [200] * 10
    metadata = await client.get(f"/{version}/studies/{uids['study_uid']}/metadata")
    assert sorted(members["00080018"]["Value"][0] for members in metadata.json()) == sorted(
        one.sop_instance_uid for one in instances
    )


async def test_more_instances_than_one_transaction_takes_are_all_stored(client, version):
    uids = {"study_uid": new_uid(), "series_uid": new_uid()}
    instances = [made(**uids, columns=2) for _ in range(120)]
    answer = await store(client, f"/{version}", [one.content for one in instances])
    assert answer.status_code == 200
    assert stored_uids(answer.json()) == [one.sop_instance_uid for one in instances]
    study = await client.get(f"/{version}/studies/{uids['study_uid']}", headers={"Accept": ANY_PARTS})
    assert all(one.content in study.content for one in instances)


def form(name: str, first: bytes, second: bytes) -> tuple[str, bytes]:
    """Content-Type and body as a client writes them."""
    heads = [b"Content-Type: application/dicom"] * 2
    match name:
        case "curl":
            # `curl -F` with the outer type replaced: form-data headers in each part, no type parameter.
            heads = [
                b'Content-Disposition: form-data; name="file%d"; filename="a.dcm"\r\nContent-Type: application/dicom'
                % n
                for n in (1, 2)
            ]
            boundary = "------------------------d74496d66958873e"
            body = related([first, second], boundary, heads).removeprefix(b"\r\n") + b"\r\n"
            return f"multipart/related; boundary={boundary}", body
        case "dcmjs":
            boundary = "1f2e3d4c-5b6a-7988-a7b6-c5d4e3f2a1b0"
            body = related([first, second], boundary, heads) + b"\r\n"
            return f"multipart/related; type=application/dicom; boundary={boundary}", body
        case "OHIF":
            boundary = "0.8421684218.x y"
            return f'multipart/related; type="application/dicom"; boundary="{boundary}"', related(
                [first, second], boundary, heads
            )
        case "httpclient":
            boundary = "=_MIME_1"
            heads = [b"MIME-Version: 1.0\r\nContent-Type: application/dicom\r\nContent-ID: <1>"] * 2
            kind = f'Multipart/Related;boundary="{boundary}";TYPE=application/dicom;charset=utf-8'
            return kind, b"preamble\r\n" + related([first, second], boundary, heads) + b"\r\nepilogue"
        case "with syntax":
            heads = [b"content-type: application/dicom; transfer-syntax=1.2.840.10008.1.2.1"] * 2
            return related_type(), related([first, second], heads=heads)
        case _:
            return related_type(), related([first, second])


@pytest.mark.parametrize("name", ["curl", "dcmjs", "OHIF", "httpclient", "with syntax", "dicomweb-client"])
@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
async def test_forms_that_clients_send_are_stored_as_they_are(client, version, name, chunked):
    instances = [made(pixel_bytes=20_000), made()]
    content_type, body = form(name, *(one.content for one in instances))

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1337):
            yield body[start : start + 1337]

    headers = {"Content-Type": content_type, "Accept": "*/*"}
    answer = await client.post(f"/{version}/studies", content=pieces() if chunked else body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, DICOM_JSON)
    assert stored_uids(answer.json()) == [one.sop_instance_uid for one in instances]
    for instance in instances:
        assert await file_of(client, version, instance) == instance.content


@pytest.mark.parametrize("content_type", ["application/dicom", "Application/DICOM", "application/dicom; q=1"])
async def test_one_file_alone_is_stored(client, version, content_type):
    instance = made()
    headers = {"Content-Type": content_type, "Accept": DICOM_JSON}
    answer = await client.post(f"/{version}/studies", content=instance.content, headers=headers)
    assert stored_uids(answer.json()) == [instance.sop_instance_uid]
    assert await file_of(client, version, instance) == instance.content


@pytest.mark.parametrize("accept", [DICOM_JSON, "application/json", "*/*", "application/*", None])
async def test_the_report_comes_in_the_json_that_was_asked_for(client, version, accept):
    headers = {"Content-Type": "application/dicom"} | ({"Accept": accept} if accept else {"Accept": ""})
    answer = await client.post(f"/{version}/studies", content=made().content, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == ("application/json" if accept == "application/json" else DICOM_JSON)


async def test_the_python_client_reads_the_report_and_gets_the_same_data_set(service, version):
    instance = made()

    def work() -> None:
        client = FileClient(f"{service.url}/{version}")
        report = client.store_instances([dicom_of(instance.content)])
        assert report.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == instance.sop_instance_uid
        uids = (instance.study_uid, instance.series_uid, instance.sop_instance_uid)
        assert client.retrieve_instance(*uids) == dicom_of(instance.content)
        assert client.retrieve_instance(*uids, media_types=(("application/dicom", "1.2.840.10008.1.2.1"),))
        assert len(client.retrieve_series(*uids[:2])) == 1

    await asyncio.to_thread(work)


async def test_a_large_instance_goes_in_blocks_and_comes_back(client, version):
    instance = made(pixel_bytes=11_000_000)
    answer = await store(client, f"/{version}", [instance.content])
    assert answer.status_code == 200
    assert await file_of(client, version, instance) == instance.content


async def test_an_instance_of_a_study_is_where_its_names_say_and_nowhere_else(client, version):
    instance = made()
    await store(client, f"/{version}", [instance.content])
    other = f"/studies/{instance.study_uid}/series/{new_uid()}/instances/{instance.sop_instance_uid}"
    assert (await client.get(f"/{version}{other}")).status_code == 404
    assert BOUNDARY not in (await file_of(client, version, instance)).decode("latin-1")
