"""What a JPEG XL codestream says about itself, in headers that are a stream of bits. Decodes no pixels."""

from __future__ import annotations

from shared.dicom.codestreams import Codestream, UnusableCodestream, boxes, guarded

_JXL_SIGNATURE = b"\x00\x00\x00\x0cJXL \r\n\x87\n"
_JXL_START = b"\xff\x0a"
# Width in terms of height, for the ratios that a size header can name.
_JXL_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_JXL_GREY = 1
# More than the headers that are read can take.
_JXL_HEADER_BYTES = 64


def read_jpeg_xl(frame: bytes) -> Codestream:
    """The size header and the image metadata of JPEG XL (ISO/IEC 18181-1 annexes D and E).

    Raises:
        UnusableCodestream: there are none, or the image has a preview, an animation or an extra channel.
    """
    return guarded(_jpeg_xl_header, frame)


class _Bits:
    """Numbers of JPEG XL headers: the lowest bit of each byte first."""

    def __init__(self, content: bytes) -> None:
        self._number = int.from_bytes(content, "little")
        self._left = 8 * len(content)

    def take(self, count: int) -> int:
        if count > self._left:
            raise IndexError
        found = self._number & ((1 << count) - 1)
        self._number >>= count
        self._left -= count
        return found

    def choose(self, *choices: tuple[int, int]) -> int:
        """A number in one of four forms: an offset, and how many bits are added to it."""
        offset, count = choices[self.take(2)]
        return offset + self.take(count)


def _jpeg_xl_header(frame: bytes) -> Codestream:
    start = _jpeg_xl_start(frame)
    if frame[start : start + 2] != _JXL_START:
        raise UnusableCodestream("The compressed frame is not JPEG XL.")
    bits = _Bits(frame[start + 2 : start + 2 + _JXL_HEADER_BYTES])
    rows, columns = _jpeg_xl_size(bits)
    if bits.take(1):  # everything as it is by default: sRGB of 8 bits
        return Codestream(rows=rows, columns=columns, samples=3, precision=8)
    _jpeg_xl_extras(bits)
    if bits.take(1):
        raise UnusableCodestream("The compressed frame has samples of floating point.")
    precision = bits.choose((8, 0), (10, 0), (12, 0), (1, 6))
    bits.take(1)  # whether 16-bit buffers are enough
    if bits.choose((0, 0), (1, 0), (2, 4), (1, 12)):
        raise UnusableCodestream("The compressed frame has extra channels.")
    bits.take(1)  # whether the colours are XYB inside
    grey = not bits.take(1) and _jpeg_xl_grey(bits)
    return Codestream(rows=rows, columns=columns, samples=1 if grey else 3, precision=precision)


def _jpeg_xl_start(frame: bytes) -> int:
    if frame[:12] != _JXL_SIGNATURE:
        return 0
    for kind, start in boxes(frame):
        if kind == b"jxlc":
            return start
        if kind == b"jxlp":
            return start + 4  # the number of the part
    raise UnusableCodestream("The JPEG XL file in the frame has no codestream.")


def _jpeg_xl_size(bits: _Bits) -> tuple[int, int]:
    small = bits.take(1)

    def side() -> int:
        return (bits.take(5) + 1) * 8 if small else bits.choose((1, 9), (1, 13), (1, 18), (1, 30))

    rows = side()
    ratio = bits.take(3)
    if not ratio:
        return rows, side()
    width, height = _JXL_RATIOS[ratio - 1]
    return rows, rows * width // height


def _jpeg_xl_extras(bits: _Bits) -> None:
    """Orientation, another size to show the image in, preview, animation."""
    if not bits.take(1):
        return
    bits.take(3)  # the codec turns the image; where that swaps the sides, they will not fit
    if bits.take(1):
        _jpeg_xl_size(bits)
    if bits.take(1) or bits.take(1):
        raise UnusableCodestream("The compressed frame has a preview or an animation.")


def _jpeg_xl_grey(bits: _Bits) -> bool:
    bits.take(1)  # whether a colour profile follows
    return bits.choose((0, 0), (1, 0), (2, 4), (18, 6)) == _JXL_GREY
