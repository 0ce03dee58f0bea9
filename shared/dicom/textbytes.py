"""Text into bytes of a Specific Character Set, where the set has words for it (PS3.5 §6.1, PS3.3 §C.12.1.1.2)."""

from __future__ import annotations

import re

from pydicom.charset import CODES_TO_ENCODINGS, STAND_ALONE_ENCODINGS, handled_encodings

from shared.dicom.text import DEFAULT_ENCODINGS, decode_text, python_encodings

UTF_8 = b"ISO_IR 192"
"""The term of the set that has every character."""

_ESCAPES = {encoding: code for code, encoding in CODES_TO_ENCODINGS.items()}
_KATAKANA = "shift_jis"  # the codec knows more than the half-width characters that ISO_IR 13 has

# After these the set goes back to its first one (PS3.5 §6.1.2.5.3), so what is between them is written by itself.
_DELIMITERS = re.compile(r"([\\^=\t\n\f\r])")


def encode_text(text: str, character_set: bytes) -> bytes | None:
    """The bytes of a text, None when the set cannot say it.

    Args:
        text: of one element, its values separated by backslashes.
        character_set: raw value of SpecificCharacterSet (0008,0005); empty for the default repertoire.
    """
    if text.isascii():
        return text.encode("ascii")
    encodings = python_encodings(character_set)
    parts = [_part(part, character_set, encodings) for part in _DELIMITERS.split(text)]
    encoded = b"".join(part for part in parts if part is not None)
    # The way back is the proof: codecs know characters that their DICOM namesakes do not switch to.
    return encoded if None not in parts and decode_text(encoded, encodings) == text else None


def _part(text: str, character_set: bytes, encodings: tuple[str, ...]) -> bytes | None:
    if text.isascii():
        return text.encode("ascii")
    first = None if encodings[0] == DEFAULT_ENCODINGS[0] else _encoded(text, encodings[0])
    if first is not None or len(encodings) == 1:
        return first
    if character_set.split(b"\\")[0].decode("latin-1").strip() in STAND_ALONE_ENCODINGS:
        return None
    for encoding in encodings[1:]:
        said = _encoded(text, encoding) if encoding in handled_encodings or encoding in _ESCAPES else None
        if said is not None:
            return said if encoding in handled_encodings else _ESCAPES[encoding] + said
    return None


def _encoded(text: str, encoding: str) -> bytes | None:
    try:
        encoded = text.encode(encoding)
    except (UnicodeError, LookupError):
        return None
    return None if encoding == _KATAKANA and len(encoded) != len(text) else encoded
