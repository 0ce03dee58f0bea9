"""Text of a DICOM file: Specific Character Set to codecs, bytes to str (PS3.5 §6.1).

Nothing here raises or warns: a store keeps the file whatever its text is like, and shows what can be shown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from pydicom.charset import CODES_TO_ENCODINGS, STAND_ALONE_ENCODINGS, handled_encodings, python_encoding

DEFAULT_ENCODINGS = ("iso8859",)

# Writers in other languages name a codec there. Only these: some of Python's make text that JSON cannot hold.
_NAMES_OF_CODECS = {"utf-8": "utf8", "utf8": "utf8", "latin-1": "latin_1", "latin1": "latin_1", "ascii": "latin_1"}

_ESCAPE = b"\x1b"
_FRAGMENTS = re.compile(rb"(^[^\x1b]+|\x1b[^\x1b]*)")
# Control characters and delimiters after which single-byte code elements go back to their start (PS3.5 §6.1.2.5.3).
_RESETS = re.compile(rb"[\t\n\f\r]")


@lru_cache(maxsize=256)
def python_encodings(specific_character_set: bytes) -> tuple[str, ...]:
    """The codecs for a raw value of SpecificCharacterSet (0008,0005), the first one being the default repertoire."""
    terms = [term.strip() for term in specific_character_set.decode("latin-1").rstrip(" \0").split("\\")]
    if terms[0] in STAND_ALONE_ENCODINGS:
        return (python_encoding[terms[0]],)
    # A set that takes no code extensions cannot follow another one (PS3.3 §C.12.1.1.2); it is passed over.
    terms = [terms[0], *(term for term in terms[1:] if term not in STAND_ALONE_ENCODINGS)]
    return tuple(_encoding(term) for term in terms)


def _encoding(term: str) -> str:
    if term in python_encoding:
        return python_encoding[term]
    # Writers confuse the separators of the two families of terms: ISO-IR 100, ISO_2022_IR_87.
    number = re.search(r"IR.?(\d+)$", term)
    if number and term.startswith("ISO"):
        family = "ISO 2022 IR " if "2022" in term else "ISO_IR "
        return python_encoding.get(family + number[1], DEFAULT_ENCODINGS[0])
    return _NAMES_OF_CODECS.get(term.lower().replace("_", "-"), DEFAULT_ENCODINGS[0])


def decode_text(value: bytes, encodings: Sequence[str]) -> str:
    """The text of a value; bytes that mean nothing in its character set become replacement characters."""
    if _ESCAPE not in value:
        return _decode(value, encodings[0])
    return "".join(_decode_fragment(fragment, encodings) for fragment in _FRAGMENTS.findall(value))


def _decode(value: bytes, encoding: str) -> str:
    try:
        return value.decode(encoding)
    except UnicodeError:
        return value.decode(encoding, errors="replace")


def _decode_fragment(fragment: bytes, encodings: Sequence[str]) -> str:
    if not fragment.startswith(_ESCAPE):
        return _decode(fragment, encodings[0])
    for length in (3, 4):
        encoding = CODES_TO_ENCODINGS.get(fragment[:length], "")
        if encoding in encodings or encoding == DEFAULT_ENCODINGS[0]:
            break
    else:
        return _decode(fragment, encodings[0])
    if encoding in handled_encodings:
        return _decode(fragment, encoding)  # the codec wants to see the escape sequence
    fragment = fragment[length:]
    reset = _RESETS.search(fragment)
    if reset is None:
        return _decode(fragment, encoding)
    return _decode(fragment[: reset.start()], encoding) + _decode(fragment[reset.start() :], encodings[0])
