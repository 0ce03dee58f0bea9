"""Values as a search sees them: folded, so that equal folds mean a match (contract C6.3)."""

from __future__ import annotations

import re
import unicodedata

_NAME_SEPARATORS = re.compile(r"[\^=\s]+")
_PADDING = " \0"


def fold(vr: str, value: str) -> str:
    """The value in the form that is stored in a search column and compared with a query.

    UID: as it is. PN: without case and accents. Dates, times and the other texts: without case. Trailing spaces
    and NULs never count.
    """
    trimmed = value.rstrip(_PADDING)
    if vr == "UI":
        return trimmed
    return fold_name(trimmed) if vr == "PN" else unicodedata.normalize("NFC", trimmed).casefold()


def fold_name(value: str) -> str:
    """A person name, whole value, without case and accents."""
    decomposed = unicodedata.normalize("NFKD", value.rstrip(_PADDING))
    return unicodedata.normalize("NFC", "".join(_unaccented(decomposed))).casefold()


def _unaccented(decomposed: str) -> list[str]:
    """Without the marks of the Latin, Greek and Cyrillic scripts; the marks of others make another letter."""
    return [letter for letter in decomposed if not "\u0300" <= letter <= "\u036f"]


def name_words(value: str) -> tuple[str, ...]:
    """The folded words of a person name in order; `^`, `=` and white space separate them."""
    return tuple(word for word in _NAME_SEPARATORS.split(fold_name(value)) if word)
