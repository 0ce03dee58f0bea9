"""Unique identifiers: which texts name a study, series or instance (contract C1.7), and which follow PS3.5 §9.1."""

from __future__ import annotations

import re

MAX_UID_CHARACTERS = 64

NEWER_SYNTAXES = {
    "1.2.840.10008.1.2.1.98": "Encapsulated Uncompressed Explicit VR Little Endian",
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
    "1.2.840.10008.1.2.8.1": "Deflated Image Frame Compression",
}
"""Names of transfer syntaxes that pydicom's dictionary may not have yet (PS3.6 Annex A)."""

_UID = re.compile(r"[0-9.]*[0-9]", re.ASCII)
_STRICT_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*", re.ASCII)


def normalise_uid(text: str) -> str | None:
    """The UID without its padding, or None when it is not one: digits and dots, 1 to 64, a digit at the end."""
    uid = trim_padding(text)
    return uid if len(uid) <= MAX_UID_CHARACTERS and _UID.fullmatch(uid) else None


def trim_padding(text: str) -> str:
    """A UID as written, without trailing spaces and NULs."""
    return text.rstrip(" \0")


def same_uid(one: str, other: str) -> bool:
    """Whether two texts name the same thing; padding and case do not count."""
    return trim_padding(one).casefold() == trim_padding(other).casefold()


def follows_standard(uid: str) -> bool:
    """Whether a trimmed UID keeps PS3.5 §9.1, which also forbids components with a leading zero."""
    return len(uid) <= MAX_UID_CHARACTERS and _STRICT_UID.fullmatch(uid) is not None
