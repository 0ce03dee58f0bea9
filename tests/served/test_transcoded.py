"""Instances in another transfer syntax than their own, through real HTTP (contract C3.2)."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from tests.served.test_retrieve import EXPLICIT, SINGLE, check_parts, get, kept, paths
from tests.support.clients import ANY_PARTS, VERSIONS, Made, dicom_of, made, naive_parts
from tests.support.images import shipped

pytestmark = [pytest.mark.served, pytest.mark.azurite]


@pytest.fixture(scope="module")
async def plain(client) -> Made:
    """An instance in explicit VR little endian, alone in its study."""
    return await kept(client, made())


@pytest.fixture(scope="module")
async def compressed(client) -> Made:
    """An instance with compressed pixel data, alone in its study."""
    return await kept(client, made(transfer_syntax=JPEG2000Lossless))


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
    ids=lambda uid: uid.keyword,
)
@pytest.mark.parametrize("multipart", [False, True], ids=["single", "multipart"])
async def test_uncompressed_syntaxes_become_explicit_little_endian_with_the_same_pixels(client, syntax, multipart):
    instance = await kept(client, made(transfer_syntax=syntax, frames=2))
    accept = 'multipart/related; type="application/dicom"' if multipart else "application/dicom"
    for version in VERSIONS:
        answer = await get(client, version, instance.path, accept)
        content = naive_parts(answer.content)[0].content if multipart else answer.content
        source, got = dicom_of(instance.content), dicom_of(content)
        assert got.file_meta.TransferSyntaxUID == EXPLICIT
        assert np.array_equal(got.pixel_array, source.pixel_array)
        assert [element for element in got if element.keyword != "PixelData"] == [
            element for element in source if element.keyword != "PixelData"
        ]


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, RLELossless], ids=lambda uid: uid.keyword)
async def test_pixels_that_no_codec_reads_are_given_as_they_are_or_not_at_all(client, version, syntax):
    instance = await kept(client, made(transfer_syntax=syntax))
    for level, path in paths(instance).items():
        check_parts(await get(client, version, path, ANY_PARTS), [(str(syntax), instance.content)])
        accept = SINGLE if level == "instance" else 'multipart/related; type="application/dicom"'
        answer = await get(client, version, path, accept)
        assert answer.status_code == 406
        assert "transfer-syntax=*" in answer.text


COMPRESSED = [
    "MR_small_RLE.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "SC_rgb_rle_16bit_2frame.dcm",
    "emri_small_jpeg_2k_lossless.dcm",
]


@pytest.mark.parametrize("name", COMPRESSED)
async def test_compressed_pixels_become_those_of_pydicom(client, version, name):
    instance = await kept(client, shipped(name))
    wanted = dicom_of(instance.content)
    wanted.decompress(generate_instance_uid=False)
    for level, path in paths(instance).items():
        accept = SINGLE if level == "instance" else 'multipart/related; type="application/dicom"'
        answer = await get(client, version, path, accept)
        assert answer.status_code == 200, answer.text
        content = answer.content if level == "instance" else naive_parts(answer.content)[0].content
        got = dicom_of(content)
        assert got.file_meta.TransferSyntaxUID == EXPLICIT
        assert got.PixelData == wanted.PixelData
        for keyword in ("PhotometricInterpretation", "PlanarConfiguration", "BitsStored", "SOPInstanceUID"):
            assert got.get(keyword) == wanted.get(keyword), keyword


@pytest.mark.parametrize(
    "name", ["MR_small.dcm", "MR_small_bigendian.dcm", "emri_small_RLE.dcm", "MR_small_implicit.dcm"]
)
async def test_any_picture_becomes_lossless_jpeg_2000(client, version, name):
    instance = await kept(client, shipped(name))
    wanted = f"application/dicom; transfer-syntax={JPEG2000Lossless}"
    answer = await get(client, version, instance.path, wanted)
    assert (answer.status_code, answer.headers["content-type"]) == (200, wanted)
    got, source = dicom_of(answer.content), dicom_of(instance.content)
    assert got.file_meta.TransferSyntaxUID == JPEG2000Lossless
    assert np.array_equal(got.pixel_array, source.pixel_array)
    answer = await get(client, version, instance.path, f'multipart/related; type="application/dicom"; {wanted[19:]}')
    check_parts(answer, [(str(JPEG2000Lossless), naive_parts(answer.content)[0].content)])


async def test_what_is_stored_as_asked_is_not_made_again(client, version, compressed):
    answer = await get(client, version, compressed.path, f"application/dicom; transfer-syntax={JPEG2000Lossless}")
    assert (answer.status_code, answer.content) == (200, compressed.content)


async def test_lossy_jpeg_2000_is_no_target(client, version, plain):
    assert (await get(client, version, plain.path, f"application/dicom; transfer-syntax={JPEG2000}")).status_code == 406


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000], ids=lambda uid: uid.keyword)
async def test_without_pixel_data_only_the_name_of_the_syntax_changes(client, version, syntax):
    instance = await kept(client, made(transfer_syntax=syntax, extra={"PixelData": None}))
    answer = await get(client, version, instance.path, SINGLE)
    got, source = dicom_of(answer.content), dicom_of(instance.content)
    assert got.file_meta.TransferSyntaxUID == EXPLICIT
    assert list(got) == list(source)
    lossless = f"application/dicom; transfer-syntax={JPEG2000Lossless}"
    assert (await get(client, version, instance.path, lossless)).status_code == 406
