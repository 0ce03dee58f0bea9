"""How values of extended query tags are written: columns of rows, and rows by which instances are found.

A tag has a column, `q_x{slot}_`, in the rows of its level. What is in it begins with the tag's number and a mark that
says how it is compared, so that a value of a tag that is gone matches nothing, and all else follows from the column.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from shared.dicom.attributes import Level
from shared.dicom.extendedtags import TIME_VRS, ExtendedTag, TagValue
from shared.dicom.matching import name_words
from shared.storage.keys import SEARCH_COLUMN, SHARDS, base36, shard
from shared.storage.tables import Entity, binary

EXTENDED = "extended"
"""Property of a study, series or covering row with what it answers for tags, packed."""
POSTED = "posted"
"""Property of an instance row: its version when the rows were written by which tags find it."""
TAGS_ADDED = "tagsAdded"
"""Property of an instance row: for which tags it was indexed, as the tag set's count of additions."""

SLOTS = 160
"""Columns for tags; a row has 252 properties, and about 60 are for other things."""

EXACT, ORDERED, NAME = "~", "=", "^"
_SAID = re.compile(r"(\d+)([~=^])(.*)", re.DOTALL)
_KEYWORD = re.compile(r"x(\d+)_")
_COLUMN = re.compile(rf"{SEARCH_COLUMN}x\d+_")
_DIGEST_BYTES = 12
_WORD_BYTES = 96
_LARGEST_VERSION = 2**63 - 1

ALL_COLUMNS = tuple(f"{SEARCH_COLUMN}x{slot}_" for slot in range(SLOTS))
"""Properties of all slots."""

TABLES = tuple(f"tag{place:02d}" for place in range(SHARDS))
"""Tables with the rows by which instances are found; studies are spread over them as over those of their own rows."""

Extended = Mapping[str, tuple[int, int, Mapping[str, Any]]]
"""By slot: number of the tag, version of the instance that said it, and what it said, DICOM JSON."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a column says.

    Attributes:
        number: of the tag.
        mark: how it is compared.
        folded: the value.
    """

    number: int
    mark: str
    folded: str


def keyword_of(slot: int) -> str:
    """What stands for a slot where an attribute has its keyword."""
    return f"x{slot}_"


def column_of(slot: int) -> str:
    """The property of a slot."""
    return SEARCH_COLUMN + keyword_of(slot)


def is_slot(keyword: str) -> bool:
    """Whether a keyword is that of a slot."""
    return _KEYWORD.fullmatch(keyword) is not None


def mark_of(vr: str) -> str:
    """How values of a VR are compared."""
    return NAME if vr == "PN" else ORDERED if vr in TIME_VRS else EXACT


def said(tag: ExtendedTag, folded: str) -> str:
    """A value as its column has it."""
    return f"{tag.number}{mark_of(tag.vr)}{folded}"


def parsed(text: str) -> Said | None:
    """What a column says; None when it is none of a tag."""
    found = _SAID.fullmatch(text)
    return Said(int(found[1]), found[2], found[3]) if found else None


def columns_of_values(values: Iterable[TagValue], level: Level) -> dict[str, str]:
    """The columns of one level, by keyword."""
    return {keyword_of(one.tag.slot): said(one.tag, one.folded) for one in values if one.tag.level is level}


def extended_of(values: Iterable[TagValue], level: Level, version: int = 0) -> dict[str, Any]:
    """What a study's or series' row keeps to answer with, by slot."""
    return {str(one.tag.slot): (one.tag.number, version, one.element) for one in values if one.tag.level is level}


def tag_columns(row: Mapping[str, Any]) -> dict[str, str]:
    """The tags' columns of a row, by the names of the properties."""
    return {name: value for name, value in row.items() if _COLUMN.fullmatch(name)}


def extended_values(row: Entity) -> Extended:
    """What a study, series or covering row answers for tags."""
    if EXTENDED not in row:
        return {}
    listed = orjson.loads(zlib.decompress(binary(row, EXTENDED)))
    return {slot: (number, version, element) for slot, (number, version, element) in listed.items()}


def extended_entity(extended: Extended, columns: Mapping[str, str]) -> dict[str, Any]:
    """The properties of a study, series or covering row that tags need; `columns` are all of the row's, by keyword."""
    if not extended:
        return {}
    searched = {SEARCH_COLUMN + name: value for name, value in columns.items() if is_slot(name)}
    return {EXTENDED: zlib.compress(orjson.dumps(extended, option=orjson.OPT_SORT_KEYS)), **searched}


def elements_of(extended: Extended) -> dict[str, Any]:
    """What of it a search can tell: not by which instance it was said."""
    return {slot: (number, element) for slot, (number, _, element) in extended.items()}


def newer(before: Extended, candidates: Extended) -> dict[str, Any]:
    """Those of the candidates that take the place of what is there: of a later instance, or of a later tag."""
    chosen = {}
    for slot, candidate in candidates.items():
        there = before.get(slot)
        if there is None or (candidate[0], candidate[1]) > (there[0], there[1]):
            chosen[slot] = candidate
    return chosen


def home_of(partition: int, number: int, study_uid: str) -> tuple[str, str]:
    """Table and partition of the rows by which a study's instances are found, in a data partition.

    By study: what one store writes is one transaction, whatever values its instances have.
    """
    return TABLES[shard(study_uid)], partition_of(partition, number)


def partition_of(partition: int, number: int) -> str:
    """The partition of a tag's rows in each of the tables."""
    return f"d{base36(partition)}~{number}"


def posting_keys(one: Said, posted: int, uids: tuple[str, str, str]) -> Iterator[str]:
    """Row keys by which an instance is found: those of one value have the newest instance first.

    Args:
        one: what the instance says.
        posted: version of the instance when that was written.
        uids: of study, series and instance.
    """
    end = "~".join((f"{_LARGEST_VERSION - posted:016x}", *uids))
    if one.mark == ORDERED:
        yield f"r{one.folded}~{end}"
        return
    yield f"{exact_prefix(one.folded)}~{end}"
    if one.mark == NAME:
        for word in sorted(set(name_words(one.folded))):
            yield f"{word_prefix(word)}~{end}"


def exact_prefix(folded: str) -> str:
    """What the keys of instances with a value begin with; keys take few characters, so it is a digest."""
    return "e" + hashlib.blake2b(folded.encode(), digest_size=_DIGEST_BYTES).hexdigest()


def word_prefix(word: str) -> str:
    """What the keys of instances begin with that have a name with a word that begins so."""
    return "w" + word.encode()[:_WORD_BYTES].hex()


def place_of_key(key: str) -> tuple[int, tuple[str, str, str]]:
    """The version, and the UIDs of study, series and instance, in a row key."""
    _, inverted, study_uid, series_uid, sop_instance_uid = key.split("~")
    return _LARGEST_VERSION - int(inverted, 16), (study_uid, series_uid, sop_instance_uid)
