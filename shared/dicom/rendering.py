"""Frames as pictures that anybody can look at: JPEG and PNG with 8 bits a sample, the way a viewer shows them first."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydicom.dataset import Dataset

from shared.dicom.grayscale import to_grey
from shared.dicom.lookup import LookupTable, palette
from shared.dicom.pixels import CannotDecode, DecodedFrame, PixelDescription, decode
from shared.dicom.shades import Picture, Samples, eight_bits, reduced

JPEG = "image/jpeg"
PNG = "image/png"

# libjpeg ends 35 pixels before the format does.
_JPEG_MAX_SIDE = 65_500
# Up to here colour is stored at half the resolution, as encoders do; who asks for more wants to see edges.
_SUBSAMPLED_QUALITY = 89
# PNG's own scale is 0 to 9; beyond this pictures hardly get smaller, but take twice the time.
_PNG_LEVEL = 4


def render(
    header: Dataset, description: PixelDescription, frame: bytes, number: int, media_type: str, quality: int
) -> bytes:
    """A frame as a file of that media type.

    The first window or VOI LUT of the data set is applied, or the full range of the frame is shown when it has none;
    grey pictures have one sample a pixel, others three. Overlays and annotations are left out.

    Args:
        header: the data set without its pixels.
        description: of its pixel data.
        frame: the stored bytes of the frame.
        number: of the frame, from 1.
        media_type: image/jpeg or image/png.
        quality: of a JPEG, 1 to 100.

    Raises:
        CannotDecode: the frame cannot be made a picture of.
    """
    if media_type == JPEG and max(description.rows, description.columns) > _JPEG_MAX_SIDE:
        raise CannotDecode(f"A JPEG picture has at most {_JPEG_MAX_SIDE} rows and columns.")
    picture = to_picture(header, description, decode(description, frame), number)
    return _encoded(picture, media_type, quality)


def to_picture(header: Dataset, description: PixelDescription, decoded: DecodedFrame, number: int) -> Picture:
    """A decoded frame with 8 bits a sample: rows and columns, and red, green and blue when it has colours.

    Raises:
        CannotDecode: its palette is missing or broken.
    """
    samples = decoded.samples
    if samples.ndim == 3:
        return _colour(samples[..., :3], description)
    if decoded.photometric == "PALETTE COLOR":
        return _palette_colour(header, description, samples)
    return to_grey(header, description, samples, number, inverted=decoded.photometric == "MONOCHROME1")


def _colour(samples: Samples, description: PixelDescription) -> Picture:
    if samples.dtype == np.uint8 and description.bits_stored == 8:
        return np.ascontiguousarray(samples)
    lowest = -(1 << (description.bits_stored - 1)) if description.signed else 0
    spread = (1 << description.bits_stored) - 1
    return reduced(samples, lambda stored: eight_bits((stored.astype(np.float64) - lowest) / spread))


def _palette_colour(header: Dataset, description: PixelDescription, samples: Samples) -> Picture:
    tables = palette(header, signed=description.signed)
    if tables is None:
        raise CannotDecode("The palette of the image is missing or broken.")
    return np.stack([reduced(samples, _shading(table)) for table in tables], axis=-1)


def _shading(table: LookupTable) -> Callable[[Samples], Picture]:
    return lambda stored: eight_bits(table.shades(stored.astype(np.float64)))


def _encoded(picture: Picture, media_type: str, quality: int) -> bytes:
    try:
        # Loaded here, so that a worker that renders nothing does not pay for it.
        import imagecodecs

        if media_type == PNG:
            return bytes(imagecodecs.png_encode(picture, level=_PNG_LEVEL))
        subsampling = "420" if quality <= _SUBSAMPLED_QUALITY else "444"
        return bytes(imagecodecs.jpeg8_encode(picture, level=quality, subsampling=subsampling, optimize=True))
    except ImportError as error:
        raise CannotDecode(f"The encoder for {media_type} is not installed.") from error
    except Exception as error:
        raise CannotDecode(f"The picture cannot be written as {media_type}.") from error
