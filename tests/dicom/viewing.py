"""Stored files and what a viewer sees of them, for tests of rendering and recoding."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from shared.dev.gallery.files import StoredFile, read_stored
from shared.dicom.headers import parse_header
from shared.dicom.pixels import describe
from shared.dicom.rendering import render
from tests.support.files import sound_files, synthetic_instance

Picture = NDArray[np.uint8]

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
SIGNED_RAMP = np.arange(-2048, 2048, dtype=np.int16).reshape(64, 64)

# Damaged on purpose: a sequence delimiter where the width of its codestream was.
UNDECODABLE = {"JPEG2000-embedded-sequence-delimiter.dcm"}

# pydicom's decoders give up on wrong numbers in the header of its scan, which were put right in the other file.
SAME_PICTURE = {"JPEG-lossy.dcm": "JPGExtended.dcm"}


@lru_cache(maxsize=1)
def picture_files() -> tuple[Path, ...]:
    """The shipped files with frames that can be decoded."""
    return tuple(path for path in sound_files() if path.name not in UNDECODABLE and _has_frames(path))


def _has_frames(path: Path) -> bool:
    stored = read_stored(path.read_bytes(), path.name)
    return stored is not None and bool(stored.frames)


def stored_file(content: bytes) -> StoredFile:
    """A file taken apart; it must have frames."""
    stored = read_stored(content, "test")
    assert stored is not None
    assert stored.frames
    return stored


def shipped_stored(path: Path) -> StoredFile:
    """One of the shipped files, taken apart."""
    return stored_file(path.read_bytes())


def native_file(samples: NDArray[Any], transfer_syntax: str = ExplicitVRLittleEndian, **attributes: Any) -> StoredFile:
    """A file with these samples as its pixel data: (rows, columns), (rows, columns, 3) or with frames before that."""
    colour = samples.ndim > 2 and samples.shape[-1] == 3
    rows, columns = samples.shape[-3:-1] if colour else samples.shape[-2:]
    frames = samples.size // (rows * columns * (3 if colour else 1))
    bits = samples.itemsize * 8
    value = samples.tobytes()
    module = {
        "Rows": rows,
        "Columns": columns,
        "NumberOfFrames": frames,
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": 1 if samples.dtype.kind == "i" else 0,
        "PixelData": value + b"\0" * (len(value) % 2),
    }
    if colour:
        module["PlanarConfiguration"] = 0
    if samples.dtype.kind == "f":
        module["PixelData"] = None
        module["FloatPixelData" if bits == 32 else "DoubleFloatPixelData"] = value
    return stored_file(synthetic_instance(transfer_syntax=transfer_syntax, extra={**module, **attributes}))


def render_stored(stored: StoredFile, number: int = 1, media_type: str = "image/png", quality: int = 100) -> bytes:
    """A frame through all the steps from the stored bytes to the picture file."""
    header = parse_header(stored.header)
    description = describe(header, stored.transfer_syntax)
    return render(header, description, stored.frames[number - 1], number, media_type, quality)


def look_at(picture: bytes) -> Picture:
    """The pixels of a picture file, by a decoder that is not the service's."""
    with Image.open(BytesIO(picture)) as image:
        return np.asarray(image)


def shown(samples: NDArray[Any], number: int = 1, **attributes: Any) -> Picture:
    """What is seen of samples with these attributes."""
    return look_at(render_stored(native_file(samples, **attributes), number))


def signal_to_noise(wanted: NDArray[Any], got: NDArray[Any]) -> float:
    """Peak signal-to-noise ratio in decibel of pictures with 8 bits; infinite when they are equal."""
    assert wanted.shape == got.shape
    error = np.mean((wanted.astype(np.float64) - got.astype(np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def item(**attributes: Any) -> Dataset:
    """An item of a sequence."""
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def lut_item(entries: list[int], first: int = 0, bits: int = 8, **attributes: Any) -> Dataset:
    """An item of Modality LUT Sequence or VOI LUT Sequence with entries of 16 bits."""
    made = item(LUTDescriptor=[len(entries) % 65536, first, bits], **attributes)
    made["LUTDescriptor"].VR = "SS" if first < 0 else "US"
    made.LUTData = np.array(entries, dtype="<u2").tobytes()
    made["LUTData"].VR = "OW"
    return made
