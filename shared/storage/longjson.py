"""JSON that may be too long for one property of a row: compressed, and spread over as many as it needs."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import orjson

from shared.storage.rows import PROPERTY_BYTES
from shared.storage.tables import Entity, binary

LONGEST_BYTES = 9 * PROPERTY_BYTES
"""Of one compressed value; a row holds 1 MiB, and the emulator counts its base64."""


def packed(name: str, value: Mapping[str, Any] | None) -> dict[str, bytes]:
    """The properties that hold a value: `name0`, `name1` … None has none.

    Raises:
        ValueError: it is too long even so.
    """
    if value is None:
        return {}
    content = zlib.compress(orjson.dumps(dict(value)))
    if len(content) > LONGEST_BYTES:
        raise ValueError(f"{name}: {len(content)} bytes when compressed, more than the {LONGEST_BYTES} a row takes")
    starts = range(0, len(content), PROPERTY_BYTES)
    return {f"{name}{place}": content[start : start + PROPERTY_BYTES] for place, start in enumerate(starts)}


def unpacked(entity: Entity, name: str) -> dict[str, Any] | None:
    """The value that `packed` wrote; None when there is none."""
    content, place = b"", 0
    while f"{name}{place}" in entity:
        content += binary(entity, f"{name}{place}")
        place += 1
    if not content:
        return None
    value: dict[str, Any] = orjson.loads(zlib.decompress(content))
    return value
