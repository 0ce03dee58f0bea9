"""Which files the table of transfer syntaxes is made of: shipped ones, made ones where none is shipped, and videos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from shared.dev.gallery.files import RECIPES, Recipe, make
from shared.dicom.framing import NotDicom

# Those that end in the middle of an element, and are refused when they are stored.
_CUT_OFF = frozenset({"MR_truncated.dcm", "emri_small_jpeg_2k_lossless_too_short.dcm"})
# Beside the best file of each kind: one that pydicom can compare, one that no decoder reads, and one whose
# NumberOfFrames is no number.
_ALSO = frozenset({"JPGExtended.dcm", "JPEG2000-embedded-sequence-delimiter.dcm", "badVR.dcm"})
# Enough to have several frames, little enough to be quick.
_GOOD_BYTES = 250_000
# A file above this is taken only when its syntax has no other one of its photometric interpretation.
_MOST_BYTES = 1_000_000

_JPEG = "1.2.840.10008.1.2.4."
_FRAGMENTABLE = ("100", "101", "102", "103", "104", "105", "106")
_VIDEOS = tuple(
    _JPEG + number
    for number in (*_FRAGMENTABLE, *(f"{number}.1" for number in _FRAGMENTABLE), "107", "108")
)  # fmt: skip
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_VIDEO_STORAGE = "1.2.840.10008.5.1.4.1.1.77.1.1.1"

Samples = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Specimen:
    """A file that stands for its transfer syntax and kind of pixels.

    Attributes:
        name: of the file.
        content: the file.
        transfer_syntax: UID.
        image: what its Image Pixel attributes say, PixelData left out.
        source: the samples it was made from; None when it was not made here.
        video: whether its pixel data is a video.
    """

    name: str
    content: bytes
    transfer_syntax: str
    image: Dataset
    source: Samples | None = None
    video: bool = False

    @property
    def frames(self) -> int:
        """How many frames it has."""
        try:
            return int(self.image.get("NumberOfFrames") or 1)
        except ValueError:
            return 1  # one file has a letter in it

    @property
    def samples(self) -> int:
        """How many samples all of its frames have."""
        return prod((self.image.Rows, self.image.Columns, self.image.SamplesPerPixel, self.frames))

    @property
    def uids(self) -> tuple[str, str, str]:
        """Study, series and instance."""
        return self.image.StudyInstanceUID, self.image.SeriesInstanceUID, self.image.SOPInstanceUID

    @property
    def order(self) -> tuple[list[int], str, int, str]:
        """Where its row stands in the table."""
        image = self.image
        syntax = [int(part) for part in self.transfer_syntax.split(".")]
        return syntax, image.PhotometricInterpretation, image.BitsStored, self.name


def specimens() -> list[Specimen]:
    """All of them, in the order of the table."""
    found = [*_shipped(), *_made(), *(_video(uid, place) for place, uid in enumerate(_VIDEOS))]
    return sorted(found, key=lambda specimen: specimen.order)


def _shipped() -> list[Specimen]:
    """Of pydicom and pydicom-data: the best file for each transfer syntax and kind of pixels."""
    kinds: dict[tuple[object, ...], list[tuple[Path, Dataset]]] = {}
    also = []
    for path in _files():
        image = _image_of(path)
        if image is None:
            continue
        if path.name in _ALSO:
            also.append((path, image))
            continue
        kinds.setdefault(_kind(image), []).append((path, image))
    best = [min(files, key=_worth) for files in kinds.values()]
    small = {_colours(image) for path, image in best if path.stat().st_size <= _MOST_BYTES}
    taken = [
        (path, image) for path, image in best if path.stat().st_size <= _MOST_BYTES or _colours(image) not in small
    ]
    return [_identified(path, image) for path, image in (*taken, *also)]


def _identified(path: Path, image: Dataset) -> Specimen:
    """A shipped file, with what a store asks for where it has no PatientID or UIDs that are none."""
    syntax = image.file_meta.TransferSyntaxUID
    bad = [word for word in _UIDS if not UID(image.get(word, "")).is_valid]
    if not bad and "PatientID" in image:
        return Specimen(path.name, path.read_bytes(), syntax, image)
    dataset = pydicom.dcmread(path)
    dataset.PatientID = image.get("PatientID") or "TABLE"
    for word in bad:
        setattr(dataset, word, f"2.25.{74 + _UIDS.index(word)}")
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    file = BytesIO()
    pydicom.dcmwrite(file, dataset)
    return _specimen(f"{path.name}, identified", file.getvalue(), syntax)


def _kind(image: Dataset) -> tuple[object, ...]:
    words = ("SamplesPerPixel", "BitsAllocated", "BitsStored", "PixelRepresentation", "PlanarConfiguration")
    return *_colours(image), *(image.get(word) for word in words)


def _colours(image: Dataset) -> tuple[str, str]:
    return image.file_meta.TransferSyntaxUID, image.PhotometricInterpretation


def _worth(file: tuple[Path, Dataset]) -> tuple[bool, bool, int, str]:
    """The best one is first: several frames and many pixels, within what is quick."""
    path, image = file
    size = path.stat().st_size
    large = size > _GOOD_BYTES
    return large, not image.get("NumberOfFrames") or image.NumberOfFrames == 1, size if large else -size, path.name


def _files() -> Iterator[Path]:
    for package in ("pydicom", "data_store"):
        spec = find_spec(package)
        for place in (spec.submodule_search_locations if spec is not None else None) or ():
            yield from sorted(path for path in (Path(place) / "data").rglob("*") if path.is_file())


def _image_of(path: Path) -> Dataset | None:
    """What the file says of its pixels; None when it has none, or is no file that can be stored."""
    with path.open("rb") as file:
        if path.name in _CUT_OFF or file.read(132)[128:] != b"DICM":
            return None
    try:
        dataset = pydicom.dcmread(path, defer_size=1024)
    except Exception:  # noqa: BLE001 - pydicom says in many ways that a file is broken, as some are on purpose
        return None
    if "PixelData" not in dataset or "Rows" not in dataset:
        return None
    del dataset.PixelData
    return dataset


class _Keeping:
    """Encodes as a recipe does, and keeps what it was given."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self.samples: Samples = np.zeros(0)

    def __call__(self, samples: Samples) -> bytes:
        self.samples = samples
        return self._recipe.encode(samples)


def _made() -> Iterator[Specimen]:
    """A file of each recipe of the gallery."""
    for recipe in RECIPES:
        keeping = _Keeping(recipe)
        content = make(replace(recipe, encode=keeping))
        yield _specimen("made", content, recipe.transfer_syntax, keeping.samples)


def _specimen(
    name: str, content: bytes, syntax: str, source: Samples | None = None, *, video: bool = False
) -> Specimen:
    image = pydicom.dcmread(BytesIO(content))
    del image.PixelData
    return Specimen(name, content, syntax, image, source, video)


def _video(transfer_syntax: str, place: int) -> Specimen:
    """A file that says it is a video; what is in it is none, as nothing looks into it (PS3.5 §8.2.5 to 8.2.13)."""
    dataset = Dataset()
    dataset.SOPClassUID = _VIDEO_STORAGE
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.71", "2.25.72"
    dataset.SOPInstanceUID = f"2.25.73{place:02d}"
    dataset.PatientID = "VIDEO"
    dataset.Modality = "ES"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "YBR_PARTIAL_420"
    dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = 1080, 1920, 25
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    fragments = 2 if transfer_syntax.endswith(".1") else 1
    dataset.PixelData = encapsulate([bytes(range(251)) * 40], fragments_per_frame=fragments, has_bot=False)
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    file = BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    return _specimen("made", file.getvalue(), transfer_syntax, video=True)


def raw_frames(specimen: Specimen) -> list[bytes]:
    """The frames as they are stored: by pydicom, or cut out of the value when they are not in items."""
    dataset = pydicom.dcmread(BytesIO(specimen.content))
    element = dataset["PixelData"]
    if element.is_undefined_length:
        return list(pydicom.encaps.generate_frames(element.value, number_of_frames=specimen.frames))
    bits = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * dataset.BitsAllocated
    if dataset.PhotometricInterpretation == "YBR_FULL_422":
        bits = bits * 2 // 3
    size, rest = divmod(bits, 8)
    if rest:
        raise NotDicom(f"{specimen.name} has frames that end within a byte; take another one.")
    if size % 2 and element.VR == "OW" and specimen.transfer_syntax == str(pydicom.uid.ExplicitVRBigEndian):
        size += 1  # the last sample is in the other half of its word
    return [element.value[start : start + size] for start in range(0, specimen.frames * size, size)]
