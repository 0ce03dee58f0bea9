"""Stored values to shades of grey: modality LUT, VOI LUT and photometric interpretation (PS3.3 §C.11, PS3.4 §N.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from shared.dicom.lookup import lookup_table
from shared.dicom.pixels import PixelDescription
from shared.dicom.shades import Floats, Picture, Samples, blocks, eight_bits, reduced
from shared.dicom.values import item, numbers, word

_MODALITY_LUT_SEQUENCE = 0x00283000
_VOI_LUT_SEQUENCE = 0x00283010
_RESCALE_INTERCEPT = 0x00281052
_RESCALE_SLOPE = 0x00281053
_WINDOW_CENTER = 0x00281050
_WINDOW_WIDTH = 0x00281051
_VOI_LUT_FUNCTION = 0x00281056
_SHARED_GROUPS = 0x52009229
_PER_FRAME_GROUPS = 0x52009230
_PIXEL_VALUE_TRANSFORMATION = 0x00289145
_FRAME_VOI_LUT = 0x00289132
_PADDING_VALUES = {"PixelData": 0x00280120, "FloatPixelData": 0x00280122, "DoubleFloatPixelData": 0x00280123}
_PADDING_LIMITS = {"PixelData": 0x00280121, "FloatPixelData": 0x00280124, "DoubleFloatPixelData": 0x00280125}

Mapping = Callable[[Floats], Floats]
Groups = tuple[Dataset, ...]


@dataclass(frozen=True, slots=True)
class Rescale:
    """The linear modality LUT."""

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, stored: Floats) -> Floats:
        """Stored values to those that a window is given in."""
        return stored * self.slope + self.intercept


@dataclass(frozen=True, slots=True)
class Window:
    """Center and width, over 0, with the function that they stand for (PS3.3 §C.11.2.1.2, §C.11.2.1.3)."""

    center: float
    width: float
    function: str

    def __call__(self, values: Floats) -> Floats:
        """Values to shades, from 0 to 1 within the window."""
        if self.function == "SIGMOID":
            return 1 / (1 + np.exp(-4 * (values - self.center) / self.width))
        # LINEAR is not defined for a width below 1, but there are files with it whose values are fractions.
        if self.function == "LINEAR_EXACT" or self.width < 1:
            return (values - self.center) / self.width + 0.5
        if self.width == 1:
            return (values > self.center - 0.5).astype(np.float64)
        return (values - (self.center - 0.5)) / (self.width - 1) + 0.5


@dataclass(frozen=True, slots=True)
class Range:
    """From black to white where the data set says nothing of it."""

    lowest: float
    highest: float

    def __call__(self, values: Floats) -> Floats:
        """Values to shades from 0 to 1."""
        if not self.highest > self.lowest:
            return np.zeros_like(values)
        # Halves, because the difference of two numbers need not be one (PS3.5 §6.2, FD).
        return (values / 2 - self.lowest / 2) / (self.highest / 2 - self.lowest / 2)


@dataclass(frozen=True, slots=True)
class Transformation:
    """What a data set says of a frame.

    Attributes:
        modality: stored values to those that the next step is given in.
        shades: those to shades from 0 to 1; None when it depends on the values that are in the frame.
        padding: the stored values, both ends included, that are no image (PS3.3 §C.7.5.1.1.2).
    """

    modality: Mapping
    shades: Mapping | None
    padding: tuple[float, float] | None


def to_grey(
    header: Dataset, description: PixelDescription, samples: Samples, number: int, *, inverted: bool
) -> Picture:
    """A frame in 8 bits, one sample a pixel.

    Args:
        header: the data set; what is broken in it is passed over.
        description: of its pixel data.
        samples: the decoded frame.
        number: of the frame, from 1.
        inverted: whether the lowest value is white.
    """
    with np.errstate(all="ignore"):
        wanted = transformation(header, description, number)
        shades = wanted.shades or _range(wanted, samples)

        def to_bytes(stored: Samples) -> Picture:
            return eight_bits(shades(wanted.modality(stored.astype(np.float64))), inverted=inverted)

        return reduced(samples, to_bytes)


def transformation(header: Dataset, description: PixelDescription, number: int) -> Transformation:
    """What a data set says of one of its frames; what is broken in it is passed over."""
    groups = _groups(header, number)
    modality = next(_modalities(header, groups, description), Rescale())
    ends = modality(np.array(_representable(description), dtype=np.float64))
    shades = next(_vois(header, groups, signed=bool(ends.min() < 0)), None)
    # A byte without a window is shown as it is, whichever of its values the frame has.
    if shades is None and isinstance(modality, Rescale) and _is_byte(description):
        shades = Range(float(ends.min()), float(ends.max()))
    return Transformation(modality, shades, _padding(header, description))


def _is_byte(description: PixelDescription) -> bool:
    return description.keyword == "PixelData" and description.bits_stored <= 8 and not description.signed


def _representable(description: PixelDescription) -> tuple[int, int]:
    """The least and the greatest stored value (PS3.5 §8.1.1)."""
    count = 1 << description.bits_stored
    return (-count // 2, count // 2 - 1) if description.signed else (0, count - 1)


def _groups(header: Dataset, number: int) -> Groups:
    """The functional groups of a frame and those of all frames (PS3.3 §C.7.6.16), as far as there are any."""
    found = item(header, _PER_FRAME_GROUPS, number - 1), item(header, _SHARED_GROUPS)
    return tuple(groups for groups in found if groups is not None)


def _places(header: Dataset, groups: Groups, group: int) -> Iterator[Dataset]:
    """Where attributes of a frame may be, the most special first."""
    for one in groups:
        place = item(one, group)
        if place is not None:
            yield place
    yield header


def _modalities(header: Dataset, groups: Groups, description: PixelDescription) -> Iterator[Mapping]:
    for place in _places(header, groups, _PIXEL_VALUE_TRANSFORMATION):
        table_item = item(place, _MODALITY_LUT_SEQUENCE)
        table = None
        if table_item is not None:
            table = lookup_table((table_item, place, header), signed=description.signed)
        if table is not None:
            yield table.look_up
        slope = next(iter(numbers((place, header), _RESCALE_SLOPE)), 0.0)
        if slope:
            yield Rescale(slope, next(iter(numbers((place, header), _RESCALE_INTERCEPT)), 0.0))


def _vois(header: Dataset, groups: Groups, *, signed: bool) -> Iterator[Mapping]:
    """The tables and windows there are; a table goes before a window beside it."""
    for place in _places(header, groups, _FRAME_VOI_LUT):
        table_item = item(place, _VOI_LUT_SEQUENCE)
        table = None if table_item is None else lookup_table((table_item, place, header), signed=signed)
        if table is not None:
            yield table.shades
        center = numbers((place, header), _WINDOW_CENTER)
        width = numbers((place, header), _WINDOW_WIDTH)
        if center and width and width[0] > 0:
            yield Window(center[0], width[0], word(place, _VOI_LUT_FUNCTION))


def _padding(header: Dataset, description: PixelDescription) -> tuple[float, float] | None:
    value = numbers((header,), _PADDING_VALUES[description.keyword])
    if not value:
        return None
    limit = numbers((header,), _PADDING_LIMITS[description.keyword]) or value
    ends = [_as_stored(end, description) for end in (value[0], limit[0])]
    return min(ends), max(ends)


def _as_stored(value: float, description: PixelDescription) -> float:
    """Writers give the padding of signed pixels an unsigned VR."""
    if description.signed and value >= 1 << (description.bits_allocated - 1):
        return value - (1 << description.bits_allocated)
    return value


def _range(wanted: Transformation, samples: Samples) -> Range:
    """From the least to the greatest value of a frame, padding left out unless there is nothing else."""
    extremes = [found for block in blocks(samples) for found in _extremes(wanted, block, wanted.padding)]
    if not extremes:
        extremes = [found for block in blocks(samples) for found in _extremes(wanted, block, None)]
    return Range(min(extremes), max(extremes)) if extremes else Range(0.0, 0.0)


def _extremes(wanted: Transformation, stored: Samples, padding: tuple[float, float] | None) -> Iterable[float]:
    values = wanted.modality(stored.astype(np.float64))
    counts: NDArray[np.bool_] = np.isfinite(values)
    if padding is not None:
        counts &= (stored < padding[0]) | (stored > padding[1])
    values = values[counts]
    return (float(values.min()), float(values.max())) if values.size else ()
