"""Pictures for the tests of codecs, encoders for them, and the same frame in pydicom's hands."""

from __future__ import annotations

import zlib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from shared.dev.quiet import quiet
from shared.dicom.pixels import PixelDescription, output_attributes
from tests.support.files import readable_files

ROWS, COLUMNS = 61, 83  # primes: neither fits into blocks, tiles or bytes of bits

RLE = "1.2.840.10008.1.2.5"
BASELINE = "1.2.840.10008.1.2.4.50"
EXTENDED = "1.2.840.10008.1.2.4.51"
LOSSLESS = "1.2.840.10008.1.2.4.57"
LOSSLESS_SV1 = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_LS_NEAR = "1.2.840.10008.1.2.4.81"
J2K_LOSSLESS = "1.2.840.10008.1.2.4.90"
J2K = "1.2.840.10008.1.2.4.91"
HTJ2K_LOSSLESS = "1.2.840.10008.1.2.4.201"
HTJ2K_RPCL = "1.2.840.10008.1.2.4.202"
HTJ2K = "1.2.840.10008.1.2.4.203"
JPEG_XL_LOSSLESS = "1.2.840.10008.1.2.4.110"
JPEG_XL_RECOMPRESSED = "1.2.840.10008.1.2.4.111"
JPEG_XL = "1.2.840.10008.1.2.4.112"
DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
UNCOMPRESSED_FRAMES = "1.2.840.10008.1.2.1.98"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"

# What is used beside our codec, two where there are two.
ORACLES = {
    RLE: ("pydicom", "pylibjpeg"),
    BASELINE: ("gdcm", "pylibjpeg"),
    EXTENDED: ("pylibjpeg",),
    LOSSLESS: ("gdcm", "pylibjpeg"),
    LOSSLESS_SV1: ("gdcm", "pylibjpeg"),
    JPEG_LS: ("gdcm", "pylibjpeg"),
    JPEG_LS_NEAR: ("gdcm", "pylibjpeg"),
    J2K_LOSSLESS: ("gdcm", "pylibjpeg"),
    J2K: ("gdcm", "pylibjpeg"),
    HTJ2K_LOSSLESS: ("pylibjpeg",),
    HTJ2K_RPCL: ("pylibjpeg",),
    HTJ2K: ("pylibjpeg",),
}

EXTREMES = 7  # pixels at the start that hold the lowest and the highest value by turns


def describing(transfer_syntax: str, **attributes: Any) -> PixelDescription:
    """A description of a grey picture of 8 bits; `attributes` are what is different."""
    bits = attributes.get("bits_stored", 8)
    allocated = attributes.get("bits_allocated", 8 if bits <= 8 else 16)
    usual = PixelDescription(
        transfer_syntax=transfer_syntax,
        keyword="PixelData",
        vr="OB" if transfer_syntax not in (EXPLICIT, BIG_ENDIAN) or allocated <= 8 else "OW",
        little=transfer_syntax != BIG_ENDIAN,
        rows=ROWS,
        columns=COLUMNS,
        samples=1,
        bits_allocated=allocated,
        bits_stored=bits,
        high_bit=bits - 1,
        signed=False,
        photometric="RGB" if attributes.get("samples") == 3 else "MONOCHROME2",
        planar=0,
        frames=1,
    )
    return replace(usual, **attributes)


@lru_cache(maxsize=64)
def picture(bits: int, *, signed: bool = False, samples: int = 1) -> np.ndarray[Any, Any]:
    """Waves with a little noise over the whole range, the same ones each time."""
    down, across = np.mgrid[0:ROWS, 0:COLUMNS]
    wave = (np.sin(across / 9) + np.cos(down / 7) + 2) / 4
    noise = np.random.default_rng(bits).normal(0, 1 / 128, wave.shape)
    values = np.clip((wave + noise) * (2**bits - 1), 0, 2**bits - 1).astype("i8")
    values[0, :EXTREMES] = [0, 2**bits - 1, 0, 2**bits - 1, 0, 2**bits - 1, 0]
    if signed:
        values -= 2 ** (bits - 1)
    if samples == 3:
        values = np.stack([values, values[::-1], values[:, ::-1]], axis=-1)
    width = next(width for width in (8, 16, 32, 64) if bits <= width)
    made = np.ascontiguousarray(values.astype(f"{'i' if signed else 'u'}{width // 8}"))
    made.flags.writeable = False
    return made


def deflated(content: bytes) -> bytes:
    """Raw deflate, as PS3.5 annex A.4.11 has it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def rle(samples: np.ndarray[Any, Any]) -> bytes:
    """RLE, the most significant bytes of the first sample first (PS3.5 annex G.2)."""
    planes = samples.reshape(ROWS, COLUMNS, -1)
    segments = b""
    offsets = []
    for sample in range(planes.shape[2]):
        words = np.ascontiguousarray(planes[:, :, sample]).astype(samples.dtype.newbyteorder(">"))
        for place in range(samples.dtype.itemsize):
            plane = words.view("u1").reshape(ROWS, COLUMNS, -1)[:, :, place]
            packed = b"".join(imagecodecs.packbits_encode(row.tobytes()) for row in plane)
            offsets.append(64 + len(segments))
            segments += packed + b"\0" * (len(packed) % 2)
    return np.array([len(offsets), *offsets, *[0] * (15 - len(offsets))], "<u4").tobytes() + segments


def jpeg(samples: Any, **options: Any) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(samples, **options))


def jpeg_2000(samples: Any, bits: int, *, transform: bool = False, level: int = 0) -> bytes:
    options: dict[str, Any] = {"codecformat": "J2K", "bitspersample": bits, "mct": transform, "level": level}
    return bytes(imagecodecs.jpeg2k_encode(samples, reversible=not level, **options))


def dataset_of(description: PixelDescription, frame: bytes) -> Dataset:
    """The frame as the only one of a data set that pydicom can decode."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(description.transfer_syntax)
    dataset.Rows, dataset.Columns = description.rows, description.columns
    dataset.SamplesPerPixel = description.samples
    dataset.PhotometricInterpretation = description.photometric
    if description.samples > 1:
        dataset.PlanarConfiguration = description.planar
    dataset.BitsAllocated, dataset.BitsStored = description.bits_allocated, description.bits_stored
    dataset.HighBit, dataset.PixelRepresentation = description.high_bit, int(description.signed)
    encapsulated = UID(description.transfer_syntax).is_encapsulated
    value = encapsulate([frame]) if encapsulated else frame + b"\0" * (len(frame) % 2)
    dataset[description.keyword] = DataElement(description.keyword, description.vr, value)
    dataset[description.keyword].is_undefined_length = encapsulated
    return dataset


def by_pydicom(dataset: Dataset, plugin: str = "", index: int = 0) -> np.ndarray[Any, Any]:
    """The frame as pydicom's decoder gives it, in the byte order of this machine."""
    with quiet():
        found = get_decoder(dataset.file_meta.TransferSyntaxUID).as_array(dataset, index=index, decoding_plugin=plugin)[
            0
        ]
    return found.astype(found.dtype.newbyteorder("="), copy=False)


def stored_frame(dataset: Dataset, description: PixelDescription, index: int) -> bytes:
    """One frame of a real file as it is stored."""
    value = dataset[description.keyword].value
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return get_frame(value, index, number_of_frames=description.frames)
    size = description.native_frame_bytes
    return bytes(value[index * size : (index + 1) * size])


@lru_cache(maxsize=1)
def files_with_pixels() -> tuple[Path, ...]:
    """Every readable file that has pixel data."""
    with quiet():
        return tuple(path for path in readable_files() if _has_pixels(path))


def _has_pixels(path: Path) -> bool:
    dataset = pydicom.dcmread(path, defer_size=1024)
    return "Rows" in dataset and any(
        keyword in dataset for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
    )


def assert_near(samples: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any], tolerance: float = 0) -> None:
    assert samples.shape == wanted.shape
    assert samples.dtype == wanted.dtype
    if tolerance:
        assert np.abs(samples.astype("f8") - wanted.astype("f8")).max() <= tolerance
    else:
        assert np.array_equal(samples, wanted)


def in_target(description: PixelDescription, target: str) -> PixelDescription:
    """The description of frames that were put into another transfer syntax."""
    out = output_attributes(description, target)
    return replace(
        description,
        transfer_syntax=target,
        vr=out.vr,
        little=True,
        photometric=out.photometric,
        planar=out.planar or 0,
        bits_allocated=out.bits_allocated,
        bits_stored=out.bits_stored,
        high_bit=out.high_bit,
    )
