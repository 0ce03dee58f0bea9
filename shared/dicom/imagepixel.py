"""The Image Pixel module (PS3.3 C.7.6.3): what a data set says about its frames, checked. Sees no pixels."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset

from shared.dicom.elements import DEFLATED_EXPLICIT_LITTLE, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE

MAX_FRAME_BYTES = 256 * 1024 * 1024

NATIVE = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED_EXPLICIT_LITTLE})
FLOATS = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}
_KEYWORDS = ("PixelData", *FLOATS)


class CannotDecode(Exception):
    """These pixels cannot be decoded or encoded here. The text may be shown to clients: it tells geometry at most."""


@dataclass(frozen=True, slots=True)
class PixelDescription:
    """The Image Pixel module (PS3.3 C.7.6.3) and how its frames are encoded.

    Attributes:
        transfer_syntax: of the file.
        keyword: PixelData, FloatPixelData or DoubleFloatPixelData.
        vr: of that attribute.
        little: byte order of native samples.
        rows: height of a frame.
        columns: width of a frame.
        samples: samples of a pixel.
        bits_allocated: 1, or a multiple of 8 up to 64.
        bits_stored: at most as many.
        high_bit: where the stored bits end.
        signed: PixelRepresentation is 1.
        photometric: PhotometricInterpretation.
        planar: PlanarConfiguration, 0 where there is none.
        frames: 1 or more.
    """

    transfer_syntax: str
    keyword: str
    vr: str
    little: bool
    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    photometric: str
    planar: int
    frames: int

    @property
    def decoded_frame_bytes(self) -> int:
        """Bytes of a decoded frame: as many samples as pixels ask for, one byte for a sample of one bit."""
        return self.rows * self.columns * self.samples * max(1, self.bits_allocated // 8)

    @property
    def native_frame_bytes(self) -> int:
        """Bytes of a frame that is not compressed, of which the last may be shared with the next frame."""
        bits = self.rows * self.columns * self.samples * self.bits_allocated
        if self.photometric == "YBR_FULL_422":
            bits = bits // 3 * 2  # one pair of colour differences for two pixels
        return -(-bits // 8)


def describe(
    header: Dataset, transfer_syntax: str, keyword: str | None = None, vr: str | None = None
) -> PixelDescription:
    """What a data set says about its pixels.

    Args:
        header: the data set; pixel data may be left out.
        transfer_syntax: of the file.
        keyword: of the pixel data, where the header does not have it.
        vr: of the pixel data, where the header does not have it.

    Raises:
        CannotDecode: attributes are missing, contradict each other or are absurd.
    """
    found = keyword or next((name for name in _KEYWORDS if name in header), "PixelData")
    bits_allocated = FLOATS.get(found) or _number(header, "BitsAllocated")
    bits_stored = bits_allocated if found in FLOATS else _number(header, "BitsStored")
    samples = _number(header, "SamplesPerPixel", 1)
    description = PixelDescription(
        transfer_syntax=transfer_syntax,
        keyword=found,
        vr=vr or _vr(header, found, transfer_syntax, bits_allocated),
        little=transfer_syntax != EXPLICIT_BIG,
        rows=_number(header, "Rows"),
        columns=_number(header, "Columns"),
        samples=samples,
        bits_allocated=bits_allocated,
        bits_stored=bits_stored,
        high_bit=bits_stored - 1 if found in FLOATS else _number(header, "HighBit", bits_stored - 1),
        signed=found == "PixelData" and _number(header, "PixelRepresentation", 0) == 1,
        photometric=_photometric(header),
        planar=_number(header, "PlanarConfiguration", 0) if samples > 1 else 0,
        frames=_frames(header),
    )
    _refuse_absurd(description)
    return description


def _number(header: Dataset, keyword: str, default: int | None = None) -> int:
    try:
        value = header.get(keyword)
        if value is not None and value != "":
            return int(value)
    except Exception as error:
        raise CannotDecode(f"{keyword} is not one number.") from error
    if default is None:
        raise CannotDecode(f"{keyword} is missing.")
    return default


def _frames(header: Dataset) -> int:
    """How many there are is known from the pixel data too: a wrong text here is no reason to refuse them."""
    try:
        return max(1, _number(header, "NumberOfFrames", 1))
    except CannotDecode:
        return 1


def _photometric(header: Dataset) -> str:
    try:
        value = header.get("PhotometricInterpretation")
    except Exception as error:
        raise CannotDecode("PhotometricInterpretation is not one word.") from error
    if not isinstance(value, str) or not value.strip():
        raise CannotDecode("PhotometricInterpretation is missing.")
    return value.strip()


def _vr(header: Dataset, keyword: str, transfer_syntax: str, bits_allocated: int) -> str:
    """The VR of the file, or what PS3.5 annex A asks for."""
    if keyword in FLOATS:
        return "OF" if keyword == "FloatPixelData" else "OD"
    if keyword in header and (found := header.get_item(keyword).VR) in ("OB", "OW"):
        return found
    if transfer_syntax not in NATIVE:
        return "OB"
    return "OW" if transfer_syntax == IMPLICIT_LITTLE or bits_allocated > 8 else "OB"


def _refuse_absurd(description: PixelDescription) -> None:
    rules = (
        ("Rows", 1 <= description.rows <= 0xFFFF),
        ("Columns", 1 <= description.columns <= 0xFFFF),
        ("SamplesPerPixel", 1 <= description.samples <= 4),
        ("BitsAllocated", description.bits_allocated == 1 or description.bits_allocated in range(8, 65, 8)),
        ("BitsStored", 1 <= description.bits_stored <= description.bits_allocated),
        ("HighBit", description.bits_stored - 1 <= description.high_bit < description.bits_allocated),
        ("PlanarConfiguration", description.planar in (0, 1)),
    )
    for keyword, sound in rules:
        if not sound:
            raise CannotDecode(f"{keyword} cannot be what it is.")
    if description.decoded_frame_bytes > MAX_FRAME_BYTES:
        raise CannotDecode(f"A frame of {description.columns} x {description.rows} pixels is too large.")
