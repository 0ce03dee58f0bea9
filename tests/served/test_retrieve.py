"""Retrieve through real HTTP: negotiation (contract C3.1, C3.2), framing that clients can read, re-encoding, 404s."""

from __future__ import annotations

import asyncio
import warnings

import pytest
from dicomweb_client import DICOMwebClient
from pydicom.uid import (
    JPEG2000,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from tests.support.clients import (
    ANY_PARTS,
    Made,
    ReadPart,
    connected,
    dicom_of,
    email_parts,
    head_of,
    made,
    naive_parts,
    new_uid,
    store,
)

pytestmark = [pytest.mark.served, pytest.mark.azurite]

EXPLICIT = str(ExplicitVRLittleEndian)
SINGLE = f"application/dicom; transfer-syntax={EXPLICIT}"


@pytest.fixture(scope="module")
async def plain(client) -> Made:
    """An instance in explicit VR little endian, alone in its study."""
    return await kept(client, made())


@pytest.fixture(scope="module")
async def implicit(client) -> Made:
    """An instance in implicit VR, alone in its study."""
    return await kept(client, made(transfer_syntax=ImplicitVRLittleEndian))


@pytest.fixture(scope="module")
async def several(client) -> list[Made]:
    """A study: two series, three syntaxes, one instance longer than what is fetched ahead."""
    study, series = new_uid(), [new_uid(), new_uid()]
    instances = [
        made(study_uid=study, series_uid=series[0]),
        made(study_uid=study, series_uid=series[0], transfer_syntax=ImplicitVRLittleEndian),
        made(study_uid=study, series_uid=series[0], pixel_bytes=2_500_000),
        made(study_uid=study, series_uid=series[1], transfer_syntax=JPEG2000Lossless),
        *(made(study_uid=study, series_uid=series[1]) for _ in range(12)),
    ]
    answer = await store(client, "/v2", [one.content for one in instances])
    assert answer.status_code == 202  # implicit VR
    return instances


async def kept(client, instance: Made) -> Made:
    assert (await store(client, "/v2", [instance.content])).status_code in (200, 202)
    return instance


async def get(client, version: str, path: str, accept: str | None, **more: str):
    # An empty Accept is as good as none; without the header the library sends its own.
    headers = {"Accept": accept or "", **more}
    return await client.get(f"/{version}{path}", headers=headers)


def paths(instance: Made) -> dict[str, str]:
    study = f"/studies/{instance.study_uid}"
    return {"study": study, "series": f"{study}/series/{instance.series_uid}", "instance": instance.path}


def check_parts(answer, wanted: list[tuple[str, bytes]]) -> None:
    """A multipart answer that a strict and a naive reader read alike; order does not matter (contract C3.3)."""
    assert answer.status_code == 200, answer.text
    content_type = answer.headers["content-type"]
    assert content_type.startswith('multipart/related; type="application/dicom"; boundary=')
    assert "content-length" not in answer.headers
    parts = naive_parts(answer.content)
    assert email_parts(content_type, answer.content) == parts
    expected = [ReadPart(f"application/dicom; transfer-syntax={syntax}", content) for syntax, content in wanted]
    assert sorted(map(repr, parts)) == sorted(map(repr, expected))


# Accept, and the transfer syntax asked for: "*" as stored.
MULTIPART = [
    ('multipart/related; type="application/dicom"; transfer-syntax=*', "*"),
    ('multipart/related; type="application/dicom"; transfer-syntax="*"', "*"),
    ("multipart/related; type=application/dicom; transfer-syntax=*", "*"),
    ("Multipart/Related;Type=Application/DICOM;Transfer-Syntax=*", "*"),
    (f'multipart/related; type="application/dicom"; transfer-syntax={EXPLICIT}', EXPLICIT),
    (f'multipart/related; transfer-syntax={EXPLICIT}; type="application/dicom"', EXPLICIT),
    ('multipart/related; type="application/dicom"', EXPLICIT),
    ('multipart/related; type="*/*"', "*"),
    ("multipart/related", "*"),
    ("*/*", "*"),
    (
        'multipart/related; type="application/dicom", multipart/related; type="application/dicom"; transfer-syntax=*',
        "*",
    ),
    (
        f'multipart/related; type="application/dicom"; transfer-syntax={JPEG2000}; q=0.1, '
        'multipart/related; type="application/dicom"; transfer-syntax=*; q=0.9',
        "*",
    ),
    ('image/jpeg, multipart/related; type="application/dicom"; transfer-syntax=*; q=0.2', "*"),
    ('multipart/related; type="application/octet-stream"; transfer-syntax=*, */*;q=0.1', "*"),
]


@pytest.mark.parametrize("level", ["study", "series", "instance"])
@pytest.mark.parametrize(("accept", "syntax"), MULTIPART)
async def test_multipart_in_the_syntax_that_is_asked_for(client, version, plain, implicit, level, accept, syntax):
    answer = await get(client, version, paths(plain)[level], accept)
    check_parts(answer, [(EXPLICIT, plain.content)])
    answer = await get(client, version, paths(implicit)[level], accept)
    if syntax == "*":
        check_parts(answer, [(ImplicitVRLittleEndian, implicit.content)])
    else:
        (part,) = naive_parts(answer.content)
        assert part.content_type == SINGLE
        assert dicom_of(part.content).file_meta.TransferSyntaxUID == EXPLICIT


@pytest.mark.parametrize(
    ("accept", "syntax"),
    [
        ("application/dicom", EXPLICIT),
        ("application/dicom; transfer-syntax=*", "*"),
        ('application/dicom; transfer-syntax="*"', "*"),
        ("APPLICATION/DICOM;transfer-syntax=*", "*"),
        (SINGLE, EXPLICIT),
        (f"{SINGLE}, application/dicom; transfer-syntax=*", "*"),
        (f"{SINGLE}; q=1, application/dicom; transfer-syntax=*; q=0.5", EXPLICIT),
    ],
)
async def test_an_instance_alone(client, version, implicit, plain, accept, syntax):
    answer = await get(client, version, plain.path, accept)
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, SINGLE, plain.content)
    assert answer.headers["content-length"] == str(len(plain.content))
    answer = await get(client, version, implicit.path, accept)
    delivered = ImplicitVRLittleEndian if syntax == "*" else EXPLICIT
    assert (answer.status_code, answer.headers["content-type"]) == (
        200,
        f"application/dicom; transfer-syntax={delivered}",
    )
    assert dicom_of(answer.content).file_meta.TransferSyntaxUID == delivered
    assert (answer.content == implicit.content) == (syntax == "*")


async def test_an_accept_that_is_missing_is_anything(service, client, version, plain):
    async with connected(service) as (reader, writer):
        writer.write(head_of(service, f"/{version}{plain.path}", "Connection: close", method="GET"))
        async with asyncio.timeout(15):
            answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200")
    assert plain.content in answer
    check_parts(await get(client, version, plain.path, None), [(EXPLICIT, plain.content)])


@pytest.mark.parametrize("level", ["study", "series", "instance"])
@pytest.mark.parametrize(
    "accept",
    [
        "image/jpeg",
        "application/dicom+json",
        'multipart/related; type="image/jp2"',
        'multipart/related; type="application/octet-stream"; transfer-syntax=*',
        'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.50',
        'multipart/related; type="application/dicom"; transfer-syntax=1.2.3',
        '*/*; q=0, multipart/related; type="application/dicom"; q=0',
        "nonsense",
    ],
)
async def test_what_cannot_be_given_is_406_and_says_what_can(client, version, plain, level, accept):
    answer = await get(client, version, paths(plain)[level], accept)
    assert answer.status_code == 406
    assert "application/dicom" in answer.text


@pytest.mark.parametrize("level", ["study", "series"])
async def test_a_study_or_series_is_never_a_single_part(client, version, plain, level):
    assert (await get(client, version, paths(plain)[level], SINGLE)).status_code == 406


async def test_the_query_wins_over_the_header(client, version, implicit):
    accept = "?accept=application/dicom%3B%20transfer-syntax=*"
    answer = await get(client, version, implicit.path + accept, 'multipart/related; type="application/dicom"')
    assert (answer.headers["content-type"], answer.content) == (
        f"application/dicom; transfer-syntax={ImplicitVRLittleEndian}",
        implicit.content,
    )


async def test_every_instance_of_a_study_and_of_a_series_comes_as_it_is_stored(client, version, several):
    def wanted(instances):
        return [(str(dicom_of(one.content).file_meta.TransferSyntaxUID), one.content) for one in instances]

    check_parts(await get(client, version, paths(several[0])["study"], ANY_PARTS), wanted(several))
    for series in {one.series_uid for one in several}:
        instances = [one for one in several if one.series_uid == series]
        check_parts(await get(client, version, paths(instances[0])["series"], ANY_PARTS), wanted(instances))


@pytest.mark.parametrize("level", ["study", "series"])
@pytest.mark.parametrize("parameter", ["", f"; transfer-syntax={EXPLICIT}"])
async def test_several_instances_in_one_syntax_are_406_with_a_hint(client, version, several, level, parameter):
    accept = f'multipart/related; type="application/dicom"{parameter}'
    answer = await get(client, version, paths(several[-1])[level], accept)
    assert answer.status_code == 406
    assert "transfer-syntax=*" in answer.text


@pytest.mark.parametrize("second", ["*/*", 'multipart/related; type="application/dicom"; transfer-syntax=*'])
async def test_several_instances_come_as_stored_when_that_is_accepted_after_a_syntax(client, version, several, second):
    accept = f'multipart/related; type="application/dicom"; transfer-syntax={EXPLICIT}, {second};q=0.1'
    answer = await get(client, version, paths(several[0])["study"], accept)
    check_parts(answer, [(str(dicom_of(one.content).file_meta.TransferSyntaxUID), one.content) for one in several])


async def test_the_python_client_reads_studies_and_series(service, version, several):
    def work() -> None:
        client = DICOMwebClient(f"{service.url}/{version}")
        any_syntax = (("application/dicom", "*"),)
        study = client.retrieve_study(several[0].study_uid, media_types=any_syntax)
        assert sorted(one.SOPInstanceUID for one in study) == sorted(one.sop_instance_uid for one in several)
        series = client.iter_series(several[0].study_uid, several[0].series_uid, media_types=any_syntax)
        with warnings.catch_warnings():
            # The client leaves its connection to the garbage collector.
            warnings.simplefilter("ignore")
            assert {one.SOPInstanceUID for one in series} == {one.sop_instance_uid for one in several[:3]}

    await asyncio.to_thread(work)


async def test_what_is_not_stored_is_404_at_each_level(client, version, plain):
    for path in paths(made()).values():
        for suffix in ("", "/metadata"):
            answer = await get(client, version, path + suffix, "*/*")
            assert (answer.status_code, answer.headers["content-type"]) == (404, "text/plain; charset=utf-8")
    study = f"/studies/{plain.study_uid}"
    assert (await get(client, version, f"{study}/series/{new_uid()}", "*/*")).status_code == 404
    wrong_study = plain.path.replace(plain.study_uid, new_uid())
    assert (await get(client, version, wrong_study, "*/*")).status_code == 404


async def test_a_prefix_of_a_uid_finds_nothing(client, version, plain):
    shorter = plain.path.replace(plain.study_uid, plain.study_uid[:-1])
    assert (await get(client, version, shorter, "*/*")).status_code == 404
    shorter = f"/studies/{plain.study_uid}/series/{plain.series_uid[:-1]}"
    for suffix in ("", "/metadata"):
        assert (await get(client, version, shorter + suffix, "*/*")).status_code == 404


async def test_the_header_for_the_original_version_changes_nothing_before_there_are_updates(client, version, plain):
    for word in ("true", "TRUE", "false", "whatever"):
        more = {"msdicom-request-original": word}
        check_parts(await get(client, version, plain.path, "*/*", **more), [(EXPLICIT, plain.content)])


async def test_a_trailing_space_in_a_path_uid_is_padding(client, version, plain):
    path = f"/studies/{plain.study_uid}%20/series/{plain.series_uid}%20/instances/{plain.sop_instance_uid}%20%20"
    check_parts(await get(client, version, path, "*/*"), [(EXPLICIT, plain.content)])


async def test_clients_that_leave_in_the_middle_do_not_hurt_the_others(client, version, service, several):
    path = f"/{version}{paths(several[0])['study']}"
    for _ in range(8):
        async with connected(service) as (reader, writer):
            writer.write(head_of(service, path, f"Accept: {ANY_PARTS}", method="GET"))
            async with asyncio.timeout(15):
                await reader.read(1000)
    answers = await asyncio.gather(*(get(client, version, paths(several[0])["study"], ANY_PARTS) for _ in range(3)))
    assert [answer.content.count(b"DICM") for answer in answers] == [len(several)] * 3
    assert "stream failed" not in service.process.last_lines()
