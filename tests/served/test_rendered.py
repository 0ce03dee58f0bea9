"""Pictures through real HTTP: negotiation, quality, libraries and browsers, refusals (contract C3.5)."""

from __future__ import annotations

import asyncio
from io import BytesIO

import httpx
import numpy as np
import pytest
import requests
from dicomweb_client import DICOMwebClient
from PIL import Image

from tests.served.conftest import kept
from tests.support.clients import Made, made, new_uid
from tests.support.images import data_set, names_of, shipped

pytestmark = [pytest.mark.served, pytest.mark.azurite]

BROWSER = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"


@pytest.fixture(scope="module")
async def colour(client) -> Made:
    return await kept(client, shipped("SC_rgb_jpeg_dcmtk.dcm"))


async def get(
    client: httpx.AsyncClient, version: str, instance: Made, below: str = "/rendered", **headers: str
) -> httpx.Response:
    return await client.get(f"/{version}{instance.path}{below}", headers=headers)


def picture(answer: httpx.Response) -> Image.Image:
    """The picture of an answer, which must be what its Content-Type says."""
    assert answer.status_code == 200, answer.text
    opened = Image.open(BytesIO(answer.content))
    assert f"image/{(opened.format or '').lower()}" == answer.headers["content-type"]
    return opened


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("image/jpeg", "image/jpeg"),
        ("image/png", "image/png"),
        ("IMAGE/PNG", "image/png"),
        ("", "image/jpeg"),
        ("*/*", "image/jpeg"),
        ("image/*", "image/jpeg"),
        (BROWSER, "image/jpeg"),
        ("image/jpeg;q=0.5, image/png", "image/png"),
        ("text/html, image/png;q=0.1", "image/png"),
    ],
)
async def test_the_picture_is_in_the_media_type_that_is_accepted(client, version, enhanced, accept, media_type):
    for below in ("/rendered", "/frames/4/rendered"):
        answer = await get(client, version, enhanced, below, Accept=accept)
        assert answer.headers["content-type"] == media_type
        assert picture(answer).size == (64, 64)
        assert answer.headers["content-length"] == str(len(answer.content))


async def test_the_query_wins_over_the_header(client, version, enhanced):
    multipart = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
    for query, media_type in (("image/jpeg", "image/jpeg"), ("image%2Fpng", "image/png")):
        answer = await get(client, version, enhanced, f"/rendered?accept={query}", Accept=multipart)
        assert answer.headers["content-type"] == media_type


@pytest.mark.parametrize(
    "accept", ["image/gif", "text/html", "application/dicom", 'multipart/related; type="image/jpeg"']
)
async def test_other_media_types_are_406(client, version, enhanced, accept):
    answer = await get(client, version, enhanced, Accept=accept)
    assert answer.status_code == 406
    assert "image/jpeg" in answer.text


async def test_an_instance_is_its_first_frame_and_frames_differ(client, version, enhanced):
    pictures = [
        np.asarray(picture(await get(client, version, enhanced, below, Accept="image/png")))
        for below in ("/rendered", "/frames/1/rendered", "/frames/10/rendered")
    ]
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[1], pictures[2])


async def test_a_colour_picture_looks_like_its_pixels(client, version, colour):
    shown = np.asarray(picture(await get(client, version, colour, Accept="image/png"))).astype(int)
    dataset = data_set(colour.content)
    dataset.decompress()
    assert shown.shape == (100, 100, 3)
    assert np.abs(shown - dataset.pixel_array.astype(int)).max() <= 2


async def test_quality_makes_a_jpeg_smaller_and_changes_no_png(client, version, colour):
    sizes = {}
    for quality in ("", "?quality=100", "?quality=10", "?Quality=1"):
        answer = await get(client, version, colour, f"/rendered{quality}", Accept="image/jpeg")
        picture(answer)
        sizes[quality] = len(answer.content)
    assert sizes[""] == sizes["?quality=100"] > sizes["?quality=10"] > sizes["?Quality=1"]
    low, high = [
        (await get(client, version, colour, f"/rendered?quality={q}", Accept="image/png")).content for q in (1, 100)
    ]
    assert low == high


@pytest.mark.parametrize("quality", ["0", "101", "-1", "", "high", "75.5"])
async def test_a_quality_that_is_none_is_400(client, version, colour, quality):
    for below in ("/rendered", "/frames/1/rendered"):
        answer = await get(client, version, colour, f"{below}?quality={quality}", Accept="image/png")
        assert (answer.status_code, answer.text[:9]) == (400, "quality: ")


async def test_parameters_the_service_does_not_know_change_nothing(client, version, colour):
    plain = await get(client, version, colour)
    answer = await get(client, version, colour, "/rendered?viewport=256,256&window=40,400,linear&iccprofile=yes")
    assert (answer.status_code, answer.content) == (200, plain.content)


@pytest.mark.parametrize("frame", ["0", "-1", "a", "1,2", "1.0", "%20"])
async def test_a_bad_frame_number_is_400(client, version, enhanced, frame):
    answer = await get(client, version, enhanced, f"/frames/{frame}/rendered")
    assert (answer.status_code, answer.text[:7]) == (400, "frame: ")


async def test_what_is_not_there_is_404(client, version, enhanced):
    assert (await get(client, version, enhanced, "/frames/11/rendered")).status_code == 404
    assert (await get(client, version, made())).status_code == 404
    elsewhere = enhanced.path.replace(enhanced.series_uid, new_uid())
    assert (await client.get(f"/{version}{elsewhere}/rendered")).status_code == 404
    bare = await kept(client, made(extra={"PixelData": None}))
    for below in ("/rendered", "/frames/1/rendered"):
        answer = await get(client, version, bare, below)
        assert (answer.status_code, answer.text) == (404, "The instance has no pixel data.")


async def test_what_cannot_be_rendered_is_406(client, version):
    garbage = await kept(client, made(transfer_syntax="1.2.840.10008.1.2.4.90"))
    video = await kept(client, made(transfer_syntax="1.2.840.10008.1.2.4.102", frames=5))
    for instance in (garbage, video):
        for accept in ("image/jpeg", "image/png", "*/*"):
            assert (await get(client, version, instance, Accept=accept)).status_code == 406


async def test_the_python_client_gets_pictures(service, version, enhanced):
    def work() -> list[bytes]:
        session = requests.Session()
        session.trust_env = False
        client = DICOMwebClient(f"{service.url}/{version}", session=session)
        uids = names_of(enhanced)
        return [
            client.retrieve_instance_rendered(*uids),
            client.retrieve_instance_rendered(*uids, media_types=("image/png",)),
            client.retrieve_instance_rendered(*uids, media_types=("image/jpeg",), params={"quality": 50}),
            client.retrieve_instance_frames_rendered(*uids, [3]),
            client.retrieve_instance_frames_rendered(*uids, [3], media_types=("image/png",)),
        ]

    opened = [Image.open(BytesIO(content)) for content in await asyncio.to_thread(work)]
    assert [one.format for one in opened] == ["JPEG", "PNG", "JPEG", "JPEG", "PNG"]
    assert {one.size for one in opened} == {(64, 64)}
