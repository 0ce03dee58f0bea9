"""Samples of pixels as arrays: byte orders, unused bits, planes, bits in bytes, colour differences. Knows no codecs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CONVERTED_PIXELS = 65_536


def swapped(content: bytes, unit: int) -> bytes:
    """The same words the other way around.

    Args:
        content: whole words.
        unit: bytes of a word: 2, 4 or 8.
    """
    import numpy as np

    return np.frombuffer(content, f"u{unit}").byteswap().tobytes()


def unpacked(content: bytes, count: int) -> NDArray[np.uint8]:
    """Samples of one bit, the first in the lowest bit of the first byte (PS3.5 §8.1.1)."""
    import numpy as np

    return np.unpackbits(np.frombuffer(content, np.uint8), bitorder="little", count=count)


def packed(samples: NDArray[Any]) -> bytes:
    """The bytes of samples of one bit; the last one is filled with zeros."""
    import numpy as np

    return np.packbits(samples.reshape(-1), bitorder="little").tobytes()


def by_pixel(samples: NDArray[Any], rows: int, columns: int, count: int, *, planar: int) -> NDArray[Any]:
    """The samples of a pixel beside each other.

    Args:
        samples: one after the other.
        rows: height.
        columns: width.
        count: samples of a pixel.
        planar: PlanarConfiguration of `samples`.
    """
    if count == 1:
        return samples.reshape(rows, columns)
    if planar:
        return samples.reshape(count, rows, columns).transpose(1, 2, 0)
    return samples.reshape(rows, columns, count)


def with_full_chroma(samples: NDArray[Any]) -> NDArray[Any]:
    """YBR_FULL from YBR_FULL_422, whose two pixels share one pair of differences (PS3.3 C.7.6.3.1.2)."""
    import numpy as np

    pairs = samples.reshape(-1, 4)
    full = np.empty((len(pairs), 2, 3), samples.dtype)
    full[:, :, 0] = pairs[:, :2]
    full[:, :, 1] = pairs[:, 2:3]
    full[:, :, 2] = pairs[:, 3:4]
    return full.reshape(-1)


def stored_bits(samples: NDArray[Any], size_bytes: int, bits: int, *, shift: int, signed: bool) -> NDArray[Any]:
    """Integers whose other bits are zero, or the sign: nobody may rely on what is in them (PS3.5 §8.1.1).

    Args:
        samples: integers of any size.
        size_bytes: of an integer of the result; large enough for `bits`.
        bits: bits that count.
        shift: bits below those.
        signed: the highest bit that counts is the sign.
    """
    unsigned = samples.astype(f"u{size_bytes}", order="C")
    if shift:
        unsigned >>= shift
    unused = 8 * size_bytes - bits
    if not signed:
        if unused:
            unsigned &= (1 << bits) - 1
        return unsigned
    result = unsigned.view(f"i{size_bytes}")
    if unused:
        result <<= unused
        result >>= unused
    return result


def ybr_to_rgb(samples: NDArray[Any]) -> NDArray[Any]:
    """RGB from YBR_FULL of 8 bits: a few rows at a time, because pydicom takes eight times their size for it."""
    import numpy as np
    from pydicom.pixels.processing import convert_color_space

    rgb = np.empty(samples.shape, samples.dtype)
    step = max(1, _CONVERTED_PIXELS // samples.shape[1])
    for row in range(0, len(samples), step):
        rgb[row : row + step] = convert_color_space(samples[row : row + step], "YBR_FULL", "RGB")
    return rgb
