"""Files for the gallery: those that pydicom and pydicom-data ship, and made ones for the other transfer syntaxes."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from shared.dicom.framecut import Cutter, ItemCutter, NativeCutter, native_place
from shared.dicom.frames import FrameTable, frame_table
from shared.dicom.framing import NotDicom
from shared.dicom.inflating import DeflatedReader
from shared.dicom.part10 import Part10Scanner
from shared.dicom.transcoding import file_meta

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_SIDE = 256
_FEED_BYTES = 4096

Samples = NDArray[Any]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file the way the service keeps it: the header and trailer beside the frames.

    Attributes:
        name: of the file.
        transfer_syntax: UID.
        header: the file up to and with the header of its pixel data.
        frames: the stored bytes of each frame; none when frames cannot be told apart.
        trailer: the file after its pixel data.
        made: whether the file is made for the gallery.
    """

    name: str
    transfer_syntax: str
    header: bytes
    frames: tuple[bytes, ...]
    trailer: bytes
    made: bool = False


def read_stored(content: bytes, name: str, *, made: bool = False) -> StoredFile | None:
    """A file taken apart; None when it has no pixel data or cannot be stored at all."""
    scanner = Part10Scanner()
    try:
        scanner.feed(content)
        scanned = scanner.finish()
    except NotDicom:
        return None
    pixels = scanned.pixels
    if pixels is None:
        return None
    start = pixels.offset_bytes
    if start is None:
        content, start = _inflated(content)
    stop = start + pixels.length_bytes
    table = frame_table(scanned)
    value = content[start:stop]
    frames = () if table is None else tuple(_frames(table, value, big=not scanned.little, vr=pixels.vr))
    trailer = content[stop + (8 if pixels.encapsulated else 0) :]
    return StoredFile(name, scanned.transfer_syntax, content[:start], frames, trailer, made)


def _inflated(content: bytes) -> tuple[bytes, int]:
    """The file as if it were not deflated, and where its pixel data's value begins."""
    reader = DeflatedReader()
    pieces = [reader.feed(content[at : at + _FEED_BYTES]) for at in range(0, len(content), _FEED_BYTES)]
    begin = reader.file_meta
    if reader.pixels_at is None:
        raise NotDicom("The deflated data set has lost its pixel data.")
    return begin + b"".join(pieces), len(begin) + reader.pixels_at


def _frames(table: FrameTable, value: bytes, *, big: bool, vr: str) -> Iterator[bytes]:
    for number in range(1, table.count + 1):
        if table.starts:
            cutter: Cutter = ItemCutter(little=True)
            piece = value[table.starts[number - 1] : table.starts[number]]
        else:
            place = native_place(table.frame_bits, number, words=big and vr == "OW")
            cutter = NativeCutter(place)
            piece = value[place.first_byte : place.first_byte + place.size_bytes]
        yield cutter.feed(piece) + cutter.finish()


def shipped_files() -> Iterator[StoredFile]:
    """Every file with pixel data in the two packages, in fixed order."""
    for package, folder in (("pydicom", "data"), ("data_store", "data")):
        spec = find_spec(package)
        places = spec.submodule_search_locations if spec is not None else None
        for place in places or ():
            for path in sorted((Path(place) / folder).rglob("*")):
                stored = read_stored(path.read_bytes(), path.name) if path.is_file() and _is_dicom(path) else None
                if stored is not None:
                    yield stored


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


@dataclass(frozen=True, slots=True)
class Recipe:
    """A file to be made.

    Attributes:
        transfer_syntax: UID.
        photometric: PhotometricInterpretation.
        encode: samples to the stored frame.
        bits: BitsStored; RGB has 8.
        extra: further attributes by keyword.
    """

    transfer_syntax: str
    photometric: str
    encode: Callable[[Samples], bytes]
    bits: int = 12
    extra: dict[str, Any] = field(default_factory=dict)


def _lossless_htj2k(samples: Samples) -> bytes:
    return bytes(imagecodecs.htj2k_encode(samples, reversible=True, rgb=samples.ndim == 3))


def _lossy_htj2k(samples: Samples) -> bytes:
    return bytes(imagecodecs.htj2k_encode(samples, 0.002, reversible=False, rgb=samples.ndim == 3))


def _jpeg_lossless(samples: Samples) -> bytes:
    # Selection value 4, so that it is not process 14 with selection value 1, which has a syntax of its own.
    return bytes(imagecodecs.jpeg8_encode(samples, lossless=True, predictor=4, **_colour_space(samples)))


def _colour_space(samples: Samples) -> dict[str, Any]:
    return {"colorspace": "RGB", "outcolorspace": "RGB"} if samples.ndim == 3 else {}


def _jpeg_xl(samples: Samples) -> bytes:
    return bytes(imagecodecs.jpegxl_encode(samples, lossless=True))


def _lossy_jpeg_xl(samples: Samples) -> bytes:
    return bytes(imagecodecs.jpegxl_encode(samples, distance=0.5))


def _jpeg_in_jpeg_xl(samples: Samples) -> bytes:
    return bytes(imagecodecs.jpegxl_encode_jpeg(imagecodecs.jpeg8_encode(samples, level=90)))


def _deflated(samples: Samples) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(samples.tobytes()) + compressor.flush()


def _plain(samples: Samples) -> bytes:
    return samples.tobytes()


def _jpeg_ls(samples: Samples) -> bytes:
    return bytes(imagecodecs.jpegls_encode(samples))


_JPEG = "1.2.840.10008.1.2.4."
RECIPES = (
    Recipe(f"{_JPEG}57", "MONOCHROME2", _jpeg_lossless),
    Recipe(f"{_JPEG}57", "RGB", _jpeg_lossless),
    Recipe(f"{_JPEG}80", "RGB", _jpeg_ls),
    Recipe(f"{_JPEG}92", "MONOCHROME2", lambda samples: bytes(imagecodecs.jpeg2k_encode(samples, codecformat="j2k"))),
    Recipe(
        f"{_JPEG}93", "MONOCHROME2", lambda samples: bytes(imagecodecs.jpeg2k_encode(samples, 75, codecformat="j2k"))
    ),
    Recipe(f"{_JPEG}110", "MONOCHROME2", _jpeg_xl),
    Recipe(f"{_JPEG}110", "RGB", _jpeg_xl),
    Recipe(f"{_JPEG}111", "YBR_FULL_422", _jpeg_in_jpeg_xl, bits=8),
    Recipe(f"{_JPEG}112", "MONOCHROME2", _lossy_jpeg_xl, bits=8),
    Recipe(f"{_JPEG}112", "XYB", _lossy_jpeg_xl, bits=8),
    Recipe(f"{_JPEG}201", "MONOCHROME2", _lossless_htj2k),
    Recipe(f"{_JPEG}201", "YBR_RCT", _lossless_htj2k),
    Recipe(f"{_JPEG}202", "MONOCHROME2", _lossless_htj2k),
    Recipe(f"{_JPEG}202", "YBR_RCT", _lossless_htj2k),
    Recipe(f"{_JPEG}203", "MONOCHROME2", _lossy_htj2k),
    Recipe(f"{_JPEG}203", "YBR_ICT", _lossy_htj2k),
    Recipe("1.2.840.10008.1.2.8.1", "MONOCHROME2", _deflated),
    Recipe("1.2.840.10008.1.2.1.98", "MONOCHROME2", _plain),
    Recipe("1.2.840.10008.1.2.1.98", "RGB", _plain),
)


def made_files() -> Iterator[StoredFile]:
    """A file of each recipe."""
    for recipe in RECIPES:
        name = f"made, {recipe.photometric}"
        stored = read_stored(make(recipe), name, made=True)
        if stored is None:
            raise NotDicom(f"What was made for {recipe.transfer_syntax} is no file with pixels.")
        yield stored


def make(recipe: Recipe) -> bytes:
    """A valid Part 10 file with one frame."""
    colour = recipe.photometric not in ("MONOCHROME1", "MONOCHROME2")
    samples = _scene(colour=colour, bits=8 if colour else recipe.bits)
    dataset = Dataset()
    dataset.SOPClassUID = _SECONDARY_CAPTURE
    for place, keyword in enumerate(("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"), start=1):
        setattr(dataset, keyword, f"2.25.{place}")
    dataset.PatientID = "GALLERY"
    dataset.Modality = "OT"
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = recipe.photometric
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.Rows = dataset.Columns = _SIDE
    dataset.BitsAllocated = 8 * samples.itemsize
    dataset.BitsStored = 8 if colour else recipe.bits
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = 0
    for keyword, value in recipe.extra.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = encapsulate([recipe.encode(samples)])
    dataset["PixelData"].is_undefined_length = True
    file = BytesIO()
    # pydicom does not know the newest transfer syntaxes, so the begin of the file is made here.
    pydicom.dcmwrite(file, dataset, implicit_vr=False, little_endian=True, force_encoding=True)
    uids = (dataset.SOPClassUID, dataset.SOPInstanceUID)
    meta = [(0x00020002 + place, "UI", _even(uid)) for place, uid in enumerate(uids)]
    return file_meta(bytes(128), meta, recipe.transfer_syntax) + file.getvalue()


def _even(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)


def _scene(*, colour: bool, bits: int) -> Samples:
    """A phantom that shows what goes wrong: a disk with inserts, a grey ramp, fine lines, and a corner to orient by."""
    y, x = np.mgrid[0:_SIDE, 0:_SIDE] / (_SIDE - 1) * 2 - 1
    plane = np.where(x**2 + y**2 < 0.85, 0.35, 0.02)
    for place, shade in enumerate(np.linspace(0.1, 1.0, 6)):
        angle = place * np.pi / 3
        plane = np.where((x - 0.55 * np.cos(angle)) ** 2 + (y - 0.55 * np.sin(angle)) ** 2 < 0.03, shade, plane)
    plane = np.where(np.abs(y) < 0.08, (x + 1) / 2, plane)
    plane = np.where((np.hypot(x, y - 0.35) < 0.12) & (np.arange(_SIDE) % 4 < 2), 0.9, plane)
    plane = np.where((x < -0.85) & (y < -0.85), 1.0, plane)
    if colour:
        plane = np.stack([plane, np.where(x > 0, plane * 0.5, plane), np.where(y > 0, plane, plane * 0.4)], axis=-1)
    samples: Samples = np.rint(plane * ((1 << bits) - 1)).astype(np.uint8 if bits <= 8 else np.uint16)
    return samples
