"""What becomes of a file in the real service: each answer is compared with what pydicom makes of the same file."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import aiohttp
import numpy as np
import pydicom
from PIL import Image
from pydicom.encaps import generate_frames

from shared.dev.syntaxes.files import Samples, Specimen, raw_frames
from shared.dicom.elements import DEFLATED_EXPLICIT_LITTLE, EXPLICIT_BIG, EXPLICIT_LITTLE

JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
NOT_EQUAL = "≠"
_PARTS = 'multipart/related; type="{}"; transfer-syntax={}'
_FILE = "application/dicom; transfer-syntax={}"
_OCTETS = "application/octet-stream"
_BOUNDARY = re.compile(r'boundary="?([^";]+)')
_COMMENT = re.compile(r'"00000902":{"vr":"LO","Value":\["([^"]*)"')
_STORED = (200, 202)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened, for one cell.

    Attributes:
        text: status and comparison.
        reason: what the service said, when it refused.
    """

    text: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """A file and what became of it."""

    specimen: Specimen
    compared_with: str
    store: Outcome
    as_stored: Outcome
    explicit: Outcome
    jpeg_2000: Outcome
    rendered: Outcome

    @property
    def cells(self) -> tuple[Outcome, ...]:
        """The outcomes in the order of the table."""
        return self.store, self.as_stored, self.explicit, self.jpeg_2000, self.rendered


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    content_type: str
    content: bytes

    @property
    def refusal(self) -> Outcome:
        """The cell of an answer that gives nothing."""
        return Outcome(str(self.status), " ".join(self.content.decode(errors="replace").split()))

    def parts(self, transfer_syntax: str) -> list[bytes]:
        """Contents of the parts; none when one of them is labelled with another transfer syntax."""
        found = _BOUNDARY.search(self.content_type)
        if found is None:
            return []
        pieces = (b"\r\n" + self.content).split(b"\r\n--" + found[1].encode())[1:-1]
        split = [piece.partition(b"\r\n\r\n") for piece in pieces]
        label = f"; transfer-syntax={transfer_syntax}".encode()
        return [content for head, _, content in split if head.strip().endswith(label)]


@dataclass(frozen=True, slots=True)
class Expected:
    """What another reader makes of the pixels.

    Attributes:
        samples: of all frames, colours as RGB; None when nothing else reads them.
        native: the frames in explicit VR little endian.
        source: says whose reading it is.
    """

    samples: Samples | None
    native: bytes
    source: str


class Examiner:
    """Sends files to a service and looks at what comes back.

    Args:
        session: connections.
        url: of the service, with its version; it has data partitions, so that one instance may come twice.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def check(self, specimen: Specimen, partition: str) -> Checked:
        """Everything about one file, which goes into a data partition of its own."""
        root = f"{self._url}/partitions/{partition}/studies"
        study, series, instance = specimen.uids
        path = f"{root}/{study}/series/{series}/instances/{instance}"
        headers = {"Content-Type": "application/dicom", "Accept": "application/dicom+json"}
        async with self._session.post(root, data=specimen.content, headers=headers) as response:
            stored = Answer(response.status, response.content_type, await response.read())
        if stored.status not in _STORED:
            refused = Outcome(str(stored.status), "; ".join(_COMMENT.findall(stored.content.decode())))
            return Checked(specimen, "-", refused, *[Outcome("-")] * 4)
        whole = await self._get(path, _FILE.format("*"))
        expected = await asyncio.to_thread(expected_of, specimen)
        return Checked(
            specimen,
            expected.source,
            _equal(str(stored.status), whole.status == 200 and whole.content == specimen.content),
            await self._as_stored(path, specimen),
            await self._explicit(path, specimen, expected),
            await self._jpeg_2000(path, specimen, expected),
            await self._rendered(path, specimen),
        )

    async def _get(self, path: str, accept: str) -> Answer:
        async with self._session.get(path, headers={"Accept": accept}) as response:
            return Answer(response.status, response.headers.get("Content-Type", ""), await response.read())

    async def _frames(self, path: str, specimen: Specimen, media_type: str, syntax: str) -> Answer:
        numbers = ",".join(str(number) for number in range(1, specimen.frames + 1))
        return await self._get(f"{path}/frames/{numbers}", _PARTS.format(media_type, syntax))

    async def _as_stored(self, path: str, specimen: Specimen) -> Outcome:
        answer = await self._frames(path, specimen, _OCTETS, "*")
        if answer.status != 200:
            return answer.refusal
        inflated = specimen.transfer_syntax == DEFLATED_EXPLICIT_LITTLE
        parts = answer.parts(EXPLICIT_LITTLE if inflated else specimen.transfer_syntax)
        return _equal("200", parts == raw_frames(specimen))

    async def _explicit(self, path: str, specimen: Specimen, expected: Expected) -> Outcome:
        frames = await self._frames(path, specimen, _OCTETS, EXPLICIT_LITTLE)
        whole = await self._get(path, _FILE.format(EXPLICIT_LITTLE))
        return await asyncio.to_thread(_explicit_outcome, specimen, expected, frames, whole)

    async def _jpeg_2000(self, path: str, specimen: Specimen, expected: Expected) -> Outcome:
        frames = await self._frames(path, specimen, "image/jp2", JPEG_2000_LOSSLESS)
        whole = await self._get(path, _FILE.format(JPEG_2000_LOSSLESS))
        return await asyncio.to_thread(_jpeg_2000_outcome, specimen, expected, frames, whole)

    async def _rendered(self, path: str, specimen: Specimen) -> Outcome:
        last = f"{path}/frames/{specimen.frames}/rendered"
        outcomes = [
            _picture(specimen, form, await self._get(where, f"image/{form.lower()}"))
            for where, form in ((f"{path}/rendered", "PNG"), (last, "JPEG"))
        ]
        return _both(outcomes, ("PNG", "JPEG"))


def expected_of(specimen: Specimen) -> Expected:
    """The pixels as pydicom reads them, or as they were before the file was made."""
    if specimen.video:
        return Expected(None, b"", "-")
    try:
        return _by_pydicom(specimen)
    except Exception:  # noqa: BLE001 - each of pydicom's decoders says in its own way that it cannot
        if specimen.source is None:
            return Expected(None, b"", "-")
        samples = specimen.source
        return Expected(samples, samples.astype(samples.dtype.newbyteorder("<")).tobytes(), "source")


def _by_pydicom(specimen: Specimen) -> Expected:
    dataset = pydicom.dcmread(BytesIO(specimen.content))
    samples = dataset.pixel_array
    encapsulated = dataset["PixelData"].is_undefined_length
    if encapsulated:
        native = samples.astype(samples.dtype.newbyteorder("<")).tobytes()
    elif specimen.transfer_syntax != EXPLICIT_BIG:
        native = b"".join(raw_frames(specimen))
    elif dataset.BitsAllocated == 1:
        native = np.packbits(samples, bitorder="little").tobytes()
    else:
        # The order of the bytes changes, that of the planes does not.
        planar = dataset.SamplesPerPixel > 1 and dataset.PlanarConfiguration == 1
        stored = np.moveaxis(samples, -1, samples.ndim - 3) if planar else samples
        native = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
    return Expected(samples, native, "pydicom")


def _explicit_outcome(specimen: Specimen, expected: Expected, frames: Answer, whole: Answer) -> Outcome:
    outcomes = []
    for answer in (frames, whole):
        if answer.status != 200:
            outcomes.append(answer.refusal)
            continue
        content = b"".join(answer.parts(EXPLICIT_LITTLE)) if answer is frames else _pixels(answer, EXPLICIT_LITTLE)
        if expected.samples is None:
            outcomes.append(Outcome("200 ?"))
        else:
            outcomes.append(compared(content, expected.native, _native_type(specimen)))
    return _both(outcomes, ("frames", "instance"))


def _native_type(specimen: Specimen) -> np.dtype[np.generic]:
    kind = "i" if specimen.image.PixelRepresentation else "u"
    return np.dtype(f"<{kind}{max(specimen.image.BitsAllocated // 8, 1)}")


def _pixels(answer: Answer, transfer_syntax: str) -> bytes:
    """The value of PixelData of a file, nothing when it has another transfer syntax than asked for."""
    dataset = pydicom.dcmread(BytesIO(answer.content))
    return bytes(dataset.PixelData) if dataset.file_meta.TransferSyntaxUID == transfer_syntax else b""


def compared(got: bytes, expected: bytes, sample: np.dtype[np.generic]) -> Outcome:
    """The cell of samples beside those they should be; a byte of padding may follow (PS3.5 §8.1.1)."""
    if got == expected or (len(got) == len(expected) + 1 and got.startswith(expected)):
        return Outcome("200 =")
    if len(got) // 2 != (len(expected) + 1) // 2:
        return Outcome(f"200 {NOT_EQUAL}")
    return _nearly(np.frombuffer(got[: len(expected)], sample), np.frombuffer(expected, sample))


def _nearly(got: Samples, expected: Samples) -> Outcome:
    difference = int(np.abs(got.astype(np.int64) - expected.astype(np.int64)).max())
    return Outcome(f"200 ±{difference}" if difference else "200 =")


def _jpeg_2000_outcome(specimen: Specimen, expected: Expected, frames: Answer, whole: Answer) -> Outcome:
    if whole.status != 200 or frames.status != 200:
        given = [Outcome("200 ?") if answer.status == 200 else answer.refusal for answer in (frames, whole)]
        return _both(given, ("frames", "instance"))
    dataset = pydicom.dcmread(BytesIO(whole.content))
    inside = list(generate_frames(dataset.PixelData, number_of_frames=specimen.frames))
    parts = frames.parts(JPEG_2000_LOSSLESS)
    if dataset.file_meta.TransferSyntaxUID != JPEG_2000_LOSSLESS or not _same_frames(parts, inside):
        return Outcome(f"200 {NOT_EQUAL}")
    if expected.samples is None:
        return Outcome("200 ?")
    got: Samples = dataset.pixel_array
    if got.shape != expected.samples.shape:
        return Outcome(f"200 {NOT_EQUAL}")
    return _nearly(got, expected.samples)


def _same_frames(parts: Sequence[bytes], inside: Sequence[bytes]) -> bool:
    """Whether they are the same, but for the padding to an even length (PS3.5 §8.2.4)."""
    if len(parts) != len(inside):
        return False
    return all(
        one.startswith(part) and len(one) - len(part) <= 1 for part, one in zip(parts, inside, strict=True)
    )  # fmt: skip


def _picture(specimen: Specimen, form: str, answer: Answer) -> Outcome:
    if answer.status != 200:
        return answer.refusal
    picture = Image.open(BytesIO(answer.content))
    picture.load()
    size = (specimen.image.Columns, specimen.image.Rows)
    return _equal("200", picture.format == form and picture.size == size)


def _equal(status: str, equal: bool) -> Outcome:
    return Outcome(f"{status} {'=' if equal else NOT_EQUAL}")


def _both(outcomes: Sequence[Outcome], names: Sequence[str]) -> Outcome:
    """One cell of two outcomes: said once when they are the same."""
    first, second = outcomes
    if first == second:
        return first
    if first.text == second.text and not first.text.startswith("200"):
        return first
    text = "; ".join(f"{name} {outcome.text}" for name, outcome in zip(names, outcomes, strict=True))
    return Outcome(text, first.reason or second.reason)


def failed(checked: Checked) -> bool:
    """Whether something came out that is no good answer: not what it must be, or an error of the service."""
    return any(NOT_EQUAL in cell.text or re.search(r"\b5\d\d\b", cell.text) for cell in checked.cells)
