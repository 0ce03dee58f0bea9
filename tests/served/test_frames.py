"""Frames through real HTTP: what viewers and libraries send, what they read, and what is refused (contract C3)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import httpx
import pytest
import requests
from dicomweb_client import DICOMwebClient

from tests.served.conftest import kept
from tests.support.clients import Made, ReadPart, email_parts, made, naive_parts, new_uid
from tests.support.images import (
    data_set,
    decoded_jpeg_2000,
    decompressed,
    frames_of,
    jpeg_2000_claiming,
    jpeg_claiming,
    names_of,
    shipped,
)

pytestmark = [pytest.mark.served, pytest.mark.azurite]

EXPLICIT = "1.2.840.10008.1.2.1"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
OCTETS = "application/octet-stream"
AS_STORED = f'multipart/related; type="{OCTETS}"; transfer-syntax=*'
NATIVE = f'multipart/related; type="{OCTETS}"'


@pytest.fixture(scope="module")
async def native(client) -> Made:
    """Three frames, not compressed."""
    return await kept(client, made(frames=3, columns=20))


@pytest.fixture(scope="module")
async def jpeg(client) -> Made:
    """One frame of JPEG Baseline."""
    return await kept(client, shipped("SC_rgb_jpeg_dcmtk.dcm"))


async def get(
    client: httpx.AsyncClient, version: str, instance: Made, frames: str, accept: str, query: str = ""
) -> httpx.Response:
    return await client.get(f"/{version}{instance.path}/frames/{frames}{query}", headers={"Accept": accept})


def check_parts(answer: httpx.Response, content_type: str, contents: Sequence[bytes]) -> None:
    """A multipart answer that a strict and a naive reader read alike, in order."""
    assert answer.status_code == 200, answer.text
    payload = content_type.partition(";")[0]
    assert answer.headers["content-type"].startswith(f'multipart/related; type="{payload}"; boundary=')
    parts = naive_parts(answer.content)
    assert parts == email_parts(answer.headers["content-type"], answer.content)
    assert parts == [ReadPart(content_type, content) for content in contents]


def library(service, version: str) -> DICOMwebClient:
    session = requests.Session()
    session.trust_env = False
    return DICOMwebClient(f"{service.url}/{version}", session=session)


# The literal headers of OHIF 3 and of cornerstone's image loader, with and without quotes.
VIEWERS = [
    'multipart/related; type="application/octet-stream"; transfer-syntax="*"',
    'multipart/related; type="application/octet-stream"; transfer-syntax=*',
    "multipart/related; type=application/octet-stream; transfer-syntax=*",
    "*/*",
]


def cornerstone_frame(body: bytes, response_type: str) -> tuple[str, bytes]:
    """A part as cornerstone's image loader takes it: the first blank line ends the head, the head's first line that
    begins with two hyphens is the boundary, and `Content-Type:` is searched in exactly this spelling.
    """
    if "multipart/related" not in response_type:
        return response_type, body
    head_end = body.index(b"\r\n\r\n")
    lines = body[:head_end].decode("latin-1").split("\r\n")
    boundary = next(line.strip() for line in lines if line.startswith("--"))
    end = body.index(boundary.encode(), head_end + 4)
    found = next(line for line in lines if line[:13] == "Content-Type:")
    return found[13:].strip(), body[head_end + 4 : end - 2]


@pytest.mark.parametrize("accept", VIEWERS)
async def test_viewers_get_the_stored_bytes_and_their_syntax(client, version, enhanced, accept):
    answer = await get(client, version, enhanced, "3", accept)
    assert cornerstone_frame(answer.content, answer.headers["content-type"]) == (
        f"{OCTETS}; transfer-syntax={JPEG_2000_LOSSLESS}",
        frames_of(enhanced.content)[2],
    )


async def test_a_viewer_that_asks_for_a_single_part_first_gets_one(client, version, enhanced):
    answer = await get(client, version, enhanced, "3", f"{OCTETS}; transfer-syntax=*, {AS_STORED}")
    assert cornerstone_frame(answer.content, answer.headers["content-type"]) == (
        f"{OCTETS}; transfer-syntax={JPEG_2000_LOSSLESS}",
        frames_of(enhanced.content)[2],
    )
    assert answer.headers["content-length"] == str(len(answer.content))


async def test_the_python_client_gets_frames_as_they_are_stored(service, version, enhanced):
    def work() -> list[bytes]:
        client = library(service, version)
        return client.retrieve_instance_frames(*names_of(enhanced), [1, 10, 4], media_types=((OCTETS, "*"),))

    stored = frames_of(enhanced.content)
    assert await asyncio.to_thread(work) == [stored[0], stored[9], stored[3]]


@pytest.mark.parametrize("media_types", [(OCTETS,), ((OCTETS, EXPLICIT),)], ids=["by default", "by name"])
async def test_the_python_client_gets_native_frames(service, version, enhanced, media_types):
    def work() -> list[bytes]:
        client = library(service, version)
        return client.retrieve_instance_frames(*names_of(enhanced), [2, 1], media_types=media_types)

    frames = decompressed(enhanced.content)
    assert await asyncio.to_thread(work) == [frames[1], frames[0]]


async def test_the_python_client_gets_jpeg_frames_as_images(service, version, jpeg):
    def work(media_types) -> list[bytes]:
        client = library(service, version)
        return client.retrieve_instance_frames(*names_of(jpeg), [1], media_types=media_types)

    stored = frames_of(jpeg.content)
    for media_types in (("image/jpeg",), (("image/jpeg", JPEG_BASELINE),), ("image/jls", "image/jpeg")):
        assert await asyncio.to_thread(work, media_types) == stored


async def test_order_and_repeats_of_the_list_are_kept(client, version, native):
    stored = frames_of(native.content)
    wanted = [stored[2], stored[0], stored[2], stored[1], stored[2]]
    for frames in ("3,1,3,2,3", "3%2C1%2C3%2c2,3", "3,%201,+3,02,3"):
        check_parts(
            await get(client, version, native, frames, AS_STORED), f"{OCTETS}; transfer-syntax={EXPLICIT}", wanted
        )


@pytest.mark.parametrize(
    "name",
    [
        "MR_small_RLE.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "MR_small_jp2klossless.dcm",
        "SC_rgb_jpeg_gdcm.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "SC_rgb_rle_16bit_2frame.dcm",
        "emri_small_RLE.dcm",
    ],
)
async def test_compressed_frames_become_native(client, version, name):
    instance = await kept(client, shipped(name))
    frames = decompressed(instance.content)
    numbers = ",".join(map(str, range(1, len(frames) + 1)))
    content_type = f"{OCTETS}; transfer-syntax={EXPLICIT}"
    for accept in (NATIVE, f"{NATIVE}; transfer-syntax={EXPLICIT}"):
        check_parts(await get(client, version, instance, numbers, accept), content_type, frames)
    alone = await get(client, version, instance, "1", OCTETS)
    assert (alone.status_code, alone.headers["content-type"], alone.content) == (200, content_type, frames[0])
    assert alone.headers["content-length"] == str(len(frames[0]))


@pytest.mark.parametrize(
    ("name", "stored_as", "delivered"),
    [
        ("MR_small_implicit.dcm", "1.2.840.10008.1.2", "1.2.840.10008.1.2"),
        ("MR_small.dcm", EXPLICIT, EXPLICIT),
        ("MR_small_bigendian.dcm", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.2"),
        # Deflated is a file; its frames are not.
        ("image_dfl.dcm", "1.2.840.10008.1.2.1.99", EXPLICIT),
    ],
)
async def test_native_frames_are_labelled_with_what_they_are(client, version, name, stored_as, delivered):
    instance = await kept(client, shipped(name))
    dataset = data_set(instance.content)
    assert dataset.file_meta.TransferSyntaxUID == stored_as
    (stored,) = frames_of(instance.content)
    check_parts(
        await get(client, version, instance, "1", AS_STORED), f"{OCTETS}; transfer-syntax={delivered}", [stored]
    )
    little = dataset.pixel_array.astype(dataset.pixel_array.dtype.newbyteorder("<")).tobytes()
    check_parts(await get(client, version, instance, "1", NATIVE), f"{OCTETS}; transfer-syntax={EXPLICIT}", [little])


async def test_any_frame_becomes_lossless_jpeg_2000(client, version, jpeg):
    for instance in (await kept(client, shipped("MR_small.dcm")), jpeg):
        answer = await get(client, version, instance, "1", 'multipart/related; type="image/jp2"')
        assert answer.status_code == 200
        (part,) = naive_parts(answer.content)
        assert part.content_type == f"image/jp2; transfer-syntax={JPEG_2000_LOSSLESS}"
        assert decoded_jpeg_2000(part.content, instance) == decompressed(instance.content)[0]


async def test_jpeg_2000_that_is_stored_is_not_made_again(client, version, enhanced):
    stored = frames_of(enhanced.content)
    for accept in ('multipart/related; type="image/jp2"', 'multipart/related; type="image/jp2"; transfer-syntax=*'):
        answer = await get(client, version, enhanced, "1,2", accept)
        check_parts(answer, f"image/jp2; transfer-syntax={JPEG_2000_LOSSLESS}", stored[:2])


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("SC_rgb_jpeg_dcmtk.dcm", "image/jpeg"),
        ("SC_rgb_jpeg_gdcm.dcm", "image/jpeg"),
        ("MR_small_jpeg_ls_lossless.dcm", "image/jls"),
        ("MR_small_jpeg_ls_lossless.dcm", "image/x-jls"),
        ("MR_small_RLE.dcm", "image/dicom-rle"),
        ("MR_small_RLE.dcm", "image/x-dicom-rle"),
        ("JPEG2000.dcm", "image/jp2"),
    ],
)
async def test_frames_are_given_under_their_own_image_type(client, version, name, media_type):
    instance = await kept(client, shipped(name))
    syntax = str(data_set(instance.content).file_meta.TransferSyntaxUID)
    (stored,) = frames_of(instance.content)
    content_type = f"{media_type}; transfer-syntax={syntax}"
    for parameter in ("; transfer-syntax=*", f"; transfer-syntax={syntax}"):
        accept = f'multipart/related; type="{media_type}"{parameter}'
        check_parts(await get(client, version, instance, "1", accept), content_type, [stored])
        alone = await get(client, version, instance, "1", f"{media_type}{parameter}")
        assert (alone.headers["content-type"], alone.content) == (content_type, stored)


async def test_of_several_acceptable_types_the_first_that_can_be_given_is(client, version, jpeg, native):
    accept = 'multipart/related; type="image/jls", multipart/related; type="image/jpeg", ' + NATIVE
    answer = await get(client, version, jpeg, "1", accept)
    check_parts(answer, f"image/jpeg; transfer-syntax={JPEG_BASELINE}", frames_of(jpeg.content))
    answer = await get(client, version, native, "1", accept)
    check_parts(answer, f"{OCTETS}; transfer-syntax={EXPLICIT}", frames_of(native.content)[:1])


async def test_the_query_wins_over_the_header(client, version, jpeg):
    answer = await get(client, version, jpeg, "1", AS_STORED, "?accept=image/jpeg")
    assert answer.headers["content-type"] == f"image/jpeg; transfer-syntax={JPEG_BASELINE}"


@pytest.mark.parametrize("frames", ["0", "-1", "1,0", "a", "1,a", "1,,2", ",", "1,", "1.5", "%20", "1-2", "1;2", "0x1"])
async def test_a_bad_list_is_400(client, version, native, frames):
    for accept in (AS_STORED, NATIVE, OCTETS):
        answer = await get(client, version, native, frames, accept)
        assert (answer.status_code, answer.text[:8]) == (400, "frames: ")


async def test_several_frames_as_a_single_part_are_400(client, version, native):
    for accept in (OCTETS, f"{OCTETS}; transfer-syntax=*", "image/jpeg"):
        for frames in ("1,2", "1,1", "1,99"):
            assert (await get(client, version, native, frames, accept)).status_code == 400
    # Who takes parts as well gets parts.
    answer = await get(client, version, native, "1,2", f"{OCTETS}, {AS_STORED};q=0.5")
    assert len(naive_parts(answer.content)) == 2


async def test_frames_beyond_the_last_are_404(client, version, native, enhanced):
    for instance, last in ((native, 3), (enhanced, 10)):
        for accept in (AS_STORED, NATIVE, OCTETS):
            for frames in (str(last + 1), "999999999999999999"):
                assert (await get(client, version, instance, frames, accept)).status_code == 404
        assert (await get(client, version, instance, f"1,{last + 1},2", AS_STORED)).status_code == 404


async def test_what_is_not_stored_is_404_and_a_bad_uid_400(client, version, native):
    assert (await get(client, version, made(), "1", AS_STORED)).status_code == 404
    elsewhere = native.path.replace(native.series_uid, new_uid())
    assert (await client.get(f"/{version}{elsewhere}/frames/1", headers={"Accept": AS_STORED})).status_code == 404
    wrong = native.path.replace(native.study_uid, "1.2.a")
    assert (await client.get(f"/{version}{wrong}/frames/1", headers={"Accept": AS_STORED})).status_code == 400


async def test_an_instance_without_pixel_data_has_no_frames(client, version):
    instance = await kept(client, made(extra={"PixelData": None}))
    for accept in (AS_STORED, NATIVE, 'multipart/related; type="image/jp2"'):
        answer = await get(client, version, instance, "1", accept)
        assert (answer.status_code, answer.text) == (404, "The instance has no pixel data.")


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.107"])
async def test_frames_of_a_video_are_406(client, version, syntax):
    video = await kept(client, made(transfer_syntax=syntax, frames=5))
    answer = await get(client, version, video, "1", AS_STORED)
    assert answer.status_code == 406
    assert "whole instance" in answer.text


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "image/png",
        "image/*",
        f"{OCTETS}; transfer-syntax={JPEG_2000_LOSSLESS}",
        'multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.2',
        'multipart/related; type="image/jpeg"',
        'multipart/related; type="image/jp2"; transfer-syntax=1.2.840.10008.1.2.4.91',
        'multipart/related; type="image/jls"; transfer-syntax=1.2.840.10008.1.2.4.80',
    ],
)
async def test_what_cannot_be_given_is_406_and_says_what_can(client, version, native, accept):
    answer = await get(client, version, native, "1", accept)
    assert answer.status_code == 406
    assert OCTETS in answer.text


async def test_a_frame_that_no_codec_reads_is_406_but_given_as_it_is(client, version):
    instance = await kept(client, made(transfer_syntax=JPEG_2000_LOSSLESS, frames=2))
    for accept in (NATIVE, OCTETS, f"{NATIVE}; transfer-syntax={EXPLICIT}"):
        answer = await get(client, version, instance, "1", accept)
        assert answer.status_code == 406
        assert "transfer-syntax=*" in answer.text
    answer = await get(client, version, instance, "1,2", AS_STORED)
    assert [part.content for part in naive_parts(answer.content)] == frames_of(instance.content)


BOMBS = {
    "a JPEG that says it is larger than its data set does": lambda: shipped(
        "SC_rgb_jpeg_dcmtk.dcm", [jpeg_claiming(65_500, 65_500)]
    ),
    "a JPEG as large as its data set says": lambda: shipped(
        "SC_rgb_jpeg_dcmtk.dcm", [jpeg_claiming(65_500, 65_500)], Rows=65_500, Columns=65_500
    ),
    "a JPEG 2000 of 100,000 by 100,000": lambda: shipped(
        "emri_small_jpeg_2k_lossless.dcm", [jpeg_2000_claiming(100_000, 100_000)]
    ),
    "a small JPEG in a huge data set": lambda: shipped("SC_rgb_jpeg_dcmtk.dcm", Rows=65_535, Columns=65_535),
    "a small RLE in a huge data set": lambda: shipped("MR_small_RLE.dcm", Rows=65_535, Columns=65_535),
    "few native pixels in a huge data set": lambda: shipped("MR_small.dcm", Rows=65_535, Columns=65_535),
}


@pytest.mark.parametrize("bomb", BOMBS)
async def test_a_decode_bomb_is_406_at_once(client, version, bomb):
    instance = await kept(client, BOMBS[bomb]())
    stored_as = data_set(instance.content).file_meta.TransferSyntaxUID
    started = time.perf_counter()
    asked = [("/frames/1", NATIVE), ("/frames/1", OCTETS), ("/rendered", "*/*"), ("/frames/1/rendered", "image/png")]
    if stored_as != EXPLICIT:
        asked += [("", f"application/dicom; transfer-syntax={EXPLICIT}")]
    if stored_as != JPEG_2000_LOSSLESS:
        asked += [("", f"application/dicom; transfer-syntax={JPEG_2000_LOSSLESS}"), ("/frames/1", "image/jp2")]
    for path, accept in asked:
        answer = await client.get(f"/{version}{instance.path}{path}", headers={"Accept": accept})
        assert (path, accept, answer.status_code) == (path, accept, 406)
    assert time.perf_counter() - started < 10
