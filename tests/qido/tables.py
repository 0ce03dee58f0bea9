"""What the contract says of searches (C6), typed in once more: attributes, return sets and matching; and a question."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Any

from tests.support.versions import LABELS, word

STUDY, SERIES, INSTANCE = "study", "series", "instance"
LEVELS = (STUDY, SERIES, INSTANCE)
UIDS = {STUDY: "0020000D", SERIES: "0020000E", INSTANCE: "00080018"}

_FULL = {
    STUDY: "00080005 00080020 00080030 00080050 00080056 00080090 00080201 00100010 00100020 00100030 00100040 0020000D"
    " 00200010",
    SERIES: "00080005 00080060 00080201 0008103E 0020000E 00400244 00400245 00400275",
    INSTANCE: "00080005 00080016 00080018 00080056 00080201 00200013 00280010 00280011 00280100 00280008",
}
_LEAN = {
    STUDY: "0020000D 00080020 00081030 00080050 00080090 00100010 00100020 00100030",
    SERIES: "0020000E 00080060 00400244 00081090",
    INSTANCE: "00080018",
}
_MORE = {
    STUDY: "00081030 00080063 00081032 00081060 00081080 00081110 00101010 00101020 00101030 00102180 001021B0",
    SERIES: "00200011 00200060 00080021 00080031",
    INSTANCE: "",
}
ALL = {level: frozenset(f"{_FULL[level]} {_MORE[level]}".split()) for level in LEVELS}
_SETS = {"full": _FULL, "lean": _LEAN}
RETURN_SETS = {
    version: {level: frozenset(_SETS[word(version, "search_return_set")][level].split()) for level in LEVELS}
    for version in LABELS
}

# Tag and kind of match of what can be searched for.
SEARCHABLE = {
    STUDY: {
        "StudyInstanceUID": ("0020000D", "uid"),
        "PatientName": ("00100010", "name"),
        "PatientID": ("00100020", "text"),
        "PatientBirthDate": ("00100030", "date"),
        "AccessionNumber": ("00080050", "text"),
        "ReferringPhysicianName": ("00080090", "name"),
        "StudyDate": ("00080020", "date"),
        "StudyDescription": ("00081030", "text"),
        "ModalitiesInStudy": ("00080061", "code"),
    },
    SERIES: {
        "SeriesInstanceUID": ("0020000E", "uid"),
        "Modality": ("00080060", "code"),
        "PerformedProcedureStepStartDate": ("00400244", "date"),
        "ManufacturerModelName": ("00081090", "text"),
    },
    INSTANCE: {"SOPInstanceUID": ("00080018", "uid")},
}
# Extended query tags that the service of the model has.
TAGGED = {
    STUDY: {"StudyID": ("00200010", "text")},
    SERIES: {"SeriesNumber": ("00200011", "text"), "BodyPartExamined": ("00180015", "text")},
    INSTANCE: {"PatientSex": ("00100040", "text")},
}
CORE = {level: frozenset(tag for tag, _ in SEARCHABLE[level].values()) for level in LEVELS}
for _level in LEVELS:
    SEARCHABLE[_level] |= TAGGED[_level]
MODALITIES, STUDY_COUNT, SERIES_COUNT = "00080061", "00201208", "00201209"
COMPUTED = {STUDY: frozenset({MODALITIES, STUDY_COUNT}), SERIES: frozenset({SERIES_COUNT}), INSTANCE: frozenset()}
INDEXED = {level: CORE[level] | COMPUTED[level] for level in LEVELS}
FROM_FILES = {level: frozenset(tag for tag, _ in SEARCHABLE[level].values()) - COMPUTED[level] for level in LEVELS}
HELD = {level: INDEXED[level] | FROM_FILES[level] | ALL[level] for level in LEVELS}


@dataclass(frozen=True)
class Question:
    """A search.

    Attributes:
        level: of what is looked for.
        within: UIDs of the path: none, a study's, or a study's and a series'.
        filters: keyword and value.
        included: keywords or tags of `includefield`, by tag.
    """

    level: str
    within: tuple[str, ...] = ()
    filters: tuple[tuple[str, str], ...] = ()
    included: frozenset[str] = frozenset()
    all_fields: bool = False
    fuzzy: bool = False

    @property
    def levels(self) -> tuple[str, ...]:
        return LEVELS[len(self.within) : LEVELS.index(self.level) + 1]

    @property
    def allowed(self) -> bool:
        """Whether everything it filters by can be searched for there."""
        return all(any(keyword in SEARCHABLE[level] for level in self.levels) for keyword, _ in self.filters)

    def filters_at(self, level: str) -> list[tuple[str, str, str]]:
        """Tag, kind and value of the filters of a level."""
        return [(*SEARCHABLE[level][keyword], value) for keyword, value in self.filters if keyword in SEARCHABLE[level]]

    @property
    def matched(self) -> frozenset[str]:
        return frozenset(tag for level in LEVELS for tag, _, _ in self.filters_at(level))


def text_of(value: Any) -> str:
    return str(value["Alphabetic"] if isinstance(value, dict) else value)


def equal(kind: str, held: str, value: str, *, fuzzy: bool) -> bool:
    """Contract C6.3."""
    if kind == "uid":
        return held in value.split(",")
    if kind == "code":
        return held.lower() in value.lower().split(",")
    if kind == "date":
        first, dash, last = value.partition("-")
        return first <= held <= (last or "99991231") if dash else held == value
    if kind == "text":
        return held.lower() == value.lower().rstrip()
    if not fuzzy:
        return _plain(held) == _plain(value)
    words, wanted = (_plain(text).replace("^", " ").split() for text in (held, value))
    starts = range(len(words) - len(wanted) + 1)
    return any(all(words[start + n].startswith(word) for n, word in enumerate(wanted)) for start in starts)


def _plain(text: str) -> str:
    return "".join(one for one in unicodedata.normalize("NFD", text) if not unicodedata.combining(one)).lower()
