"""Samples of a decoded frame to bytes of a picture, with little memory beside the two."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[Any]
Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]

_BLOCK_SAMPLES = 1 << 19


def reduced(samples: Samples, to_bytes: Callable[[Samples], Picture]) -> Picture:
    """A frame of the same shape with each sample turned into a byte.

    Whatever is done to a sample depends on its value alone. So where there are at most 65,536 values, it is done to
    each of them once, and looked up.
    """
    samples = np.ascontiguousarray(samples)
    change = _by_table(samples.dtype, to_bytes) if _has_few_values(samples) else to_bytes
    picture = np.empty(samples.shape, dtype=np.uint8)
    flat = picture.reshape(-1)
    # In blocks, because numpy makes indices and intermediate values of eight bytes each.
    for place, block in enumerate(_cut(samples)):
        flat[place * _BLOCK_SAMPLES : (place + 1) * _BLOCK_SAMPLES] = change(block)
    return picture


def _by_table(kind: np.dtype[Any], to_bytes: Callable[[Samples], Picture]) -> Callable[[Samples], Picture]:
    table = to_bytes(_all_values(kind))
    return lambda block: table[_patterns(block)]


def blocks(samples: Samples) -> Iterator[Samples]:
    """Every value that is in a frame, at least once."""
    samples = np.ascontiguousarray(samples)
    if not _has_few_values(samples):
        yield from _cut(samples)
        return
    values = _all_values(samples.dtype)
    present = np.zeros(len(values), dtype=np.bool_)
    for block in _cut(samples):
        present[_patterns(block)] = True
    yield values[present]


def eight_bits(shades: Floats, *, inverted: bool = False) -> Picture:
    """Shades from 0 to 1 as bytes; those that lie outside become the nearest, and what is no number the darkest."""
    clipped = np.clip(np.nan_to_num(shades, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)
    picture: Picture = np.rint((1.0 - clipped if inverted else clipped) * 255).astype(np.uint8)
    return picture


def _has_few_values(samples: Samples) -> bool:
    return samples.dtype.kind in "iu" and samples.dtype.itemsize <= 2


def _all_values(kind: np.dtype[Any]) -> Samples:
    """All values of a type of integers, each at the place of its bit pattern."""
    return np.arange(1 << (8 * kind.itemsize), dtype=f"u{kind.itemsize}").view(kind.newbyteorder("="))


def _patterns(samples: Samples) -> NDArray[Any]:
    native = samples.astype(samples.dtype.newbyteorder("="), copy=False)
    return native.view(f"u{samples.dtype.itemsize}")


def _cut(samples: Samples) -> Iterator[Samples]:
    flat = samples.reshape(-1)
    for start in range(0, flat.size, _BLOCK_SAMPLES):
        yield flat[start : start + _BLOCK_SAMPLES]
