"""Names of rows, partitions and blobs: the schema's key rules in one place (storage/README.md has the picture)."""

from __future__ import annotations

import secrets
import time
import zlib

from shared.dicom.matching import fold

# Crockford's base 32: no I, L, O, U; its order is the order of ASCII.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}
_INVERSE = str.maketrans(_ALPHABET, _ALPHABET[::-1])
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"

SHARDS = 16
SCHEMA = 2
"""Number of the form that records are written in. Code reads this number and the one before (`schema.py`)."""


def ulid(after: str = "") -> str:
    """A time-ordered id of 26 characters, unique without asking anybody.

    Args:
        after: the result sorts behind this id even when the clock says otherwise.
    """
    milliseconds = time.time_ns() // 1_000_000
    if after:
        milliseconds = max(milliseconds, _number(after[:10]) + 1)
    return _text(milliseconds, 10) + _text(secrets.randbits(80), 16)


def version_number(after: int = 0) -> int:
    """A number that identifies one state of a study, series or instance; later ones are normally larger.

    Args:
        after: a number seen before; the result is larger even when the clock says otherwise.

    Microseconds since 1970 with three random digits: two writers in the same microsecond still differ. Fits 63 bits.
    """
    return max(time.time_ns() // 1000 * 1000, after // 1000 * 1000 + 1000) + secrets.randbelow(1000)


def inverted(order: str) -> str:
    """The order key turned round, so that ascending row keys are newest first."""
    return order.translate(_INVERSE)


def shard(study_uid: str) -> int:
    """Which of the 16 tables a study lives in."""
    return zlib.crc32(study_uid.encode()) % SHARDS


def main_table(study_uid: str) -> str:
    """Table with the rows of a study."""
    return f"main{shard(study_uid):02d}"


def study_partition(partition: int, study_uid: str) -> str:
    """Partition with the rows of a study; `partition` is the number of the data partition."""
    return f"d{base36(partition)}~{study_uid}"


STUDY_ROW = "!"


STUDY_GUARD = "!~"
"""There while the study takes new series: a store of one merges it in its transaction, a delete takes it away."""


def series_guard(series_uid: str) -> str:
    """There while the series takes instances; sorts behind them."""
    return f"{series_uid}!~"


def series_row(series_uid: str) -> str:
    """Row of a series; sorts before the rows of its instances."""
    return f"{series_uid}!"


def instance_row(series_uid: str, sop_instance_uid: str) -> str:
    """Row of an instance."""
    return f"{series_uid}!{sop_instance_uid}"


ORIGINAL = "~"
"""What rows of updated instances as they were stored begin with: behind all that walks through a study read."""


def original_row(row_key: str) -> str:
    """Row of an updated instance as it was stored first, from the row of the instance."""
    return ORIGINAL + row_key


def uids_of_row(row_key: str) -> tuple[str, str]:
    """SeriesInstanceUID and SOPInstanceUID of the row of an instance; the second is empty for that of a series."""
    series_uid, _, sop_instance_uid = row_key.partition("!")
    return series_uid, sop_instance_uid


def series_range(series_uid: str) -> tuple[str, str]:
    """The half-open row-key range of a series row and all its instances."""
    return f"{series_uid}!", f'{series_uid}"'


SEARCH_COLUMN = "q_"
"""What the names of folded search columns begin with; the attribute's keyword follows."""

HINTS = "hint"
"""Partition of `work` that remembers where the feed and the logs ended a while ago."""

SEGMENT_HEADER, SEGMENT_BEGUN = "~H", "~C"
"""Rows of a segment: there while it takes rows; there for ever once it was begun."""


def segment_table(kind: str, segment: int) -> str:
    """Table with a segment of the `log` (studies) or `ser` (series) log."""
    return f"{kind}{segment % SHARDS:02d}"


def segment_partition(partition: int, segment: int) -> str:
    """Partition with a segment's covering rows; newer segments sort first."""
    return f"d{base36(partition)}~{9_999_999_999 - segment:010d}"


def modality_column(modality: str) -> str:
    """The column that is true in the row of a study with a series of that modality, however it is written."""
    # A property name takes letters and digits only.
    return "m_" + fold("CS", modality).encode().hex()


def base36(number: int) -> str:
    """A number >= 0 in base 36."""
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = _BASE36[digit] + digits
        if not number:
            return digits


def _text(number: int, length: int) -> str:
    letters = [_ALPHABET[number >> 5 * place & 31] for place in range(length - 1, -1, -1)]
    return "".join(letters)


def _number(text: str) -> int:
    total = 0
    for letter in text:
        total = total << 5 | _VALUES[letter]
    return total
