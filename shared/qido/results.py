"""Hits → DICOM JSON: which attributes an answer has, and where their values come from (contract C6.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.behaviours import SearchReturnSet
from shared.dicom.attributes import COMPUTED, RETURN_SETS, Level, all_return_set, searchable_at
from shared.dicom.extendedtags import ExtendedTag
from shared.qido.query import Query
from shared.storage.hits import Hit, LevelRow

STUDY_UID, SERIES_UID, SOP_INSTANCE_UID = 0x0020000D, 0x0020000E, 0x00080018
MODALITIES, STUDY_INSTANCES, SERIES_INSTANCES = 0x00080061, 0x00201208, 0x00201209

_UIDS = {Level.STUDY: STUDY_UID, Level.SERIES: SERIES_UID, Level.INSTANCE: SOP_INSTANCE_UID}
_INDEXED = {
    level: frozenset((*(attribute.tag for attribute in searchable_at(level)), *COMPUTED[level])) for level in Level
}
_ANSWERED = {level: frozenset(all_return_set(level)) for level in Level}
_HELD = {level: _INDEXED[level] | _ANSWERED[level] for level in Level}
_COMPUTED = frozenset().union(*COMPUTED.values())

Members = dict[str, Any]
Counts = Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which attributes an answer may have.

    Attributes:
        tags: all of them.
        by_level: those of studies and of series that come from there; of instances, everything.
        extended: those of them that are extended query tags.
    """

    level: Level
    tags: frozenset[int]
    by_level: Mapping[Level, frozenset[int]]
    extended: tuple[ExtendedTag, ...] = ()

    @property
    def of_study(self) -> bool:
        """Whether anything of the study is needed but its UID."""
        tags = self.by_level[Level.STUDY] & _COMPUTED if self.level is Level.INSTANCE else self.by_level[Level.STUDY]
        return bool(tags - {STUDY_UID})

    @property
    def of_instance(self) -> bool:
        """Whether anything is needed that an instance's metadata has and its keys have not."""
        return self.level is Level.INSTANCE and bool(self.tags - _COMPUTED - set(_UIDS.values()))


def wanted(query: Query, return_set: SearchReturnSet) -> Wanted:
    """What a query wants of its hits."""
    resource = query.resource
    named = query.matched if query.all_fields else query.matched | query.included
    defaults = {
        level: frozenset(all_return_set(level) if query.all_fields else RETURN_SETS[return_set.value][level])
        for level in resource.levels
    }
    extended = tuple(tag for tag in query.extended if tag.tag in named)
    kept = {level: _HELD[level] | {tag.tag for tag in extended if tag.level is level} for level in Level}
    by_level = {level: defaults.get(level, frozenset()) | named & kept[level] for level in Level}
    levels = list(Level)
    uids = {_UIDS[level] for level in levels[: levels.index(resource.level) + 1]}
    tags = named.union(uids, *defaults.values())
    return Wanted(resource.level, frozenset(tags), by_level, extended)


def counted(chosen: Wanted, hits: Sequence[Hit]) -> list[tuple[str, str]]:
    """The studies, and the series, whose instances have to be counted; a study has an empty series UID."""
    places: dict[tuple[str, str], None] = {}
    for hit in hits:
        if STUDY_INSTANCES in chosen.tags:
            places[hit.study_uid, ""] = None
        if SERIES_INSTANCES in chosen.tags and hit.series_uid:
            places[hit.study_uid, hit.series_uid] = None
    return list(places)


def dataset(hit: Hit, chosen: Wanted, counts: Counts) -> Members:
    """One item of the answer. Attributes that a hit does not have are absent."""
    if hit.metadata is not None:
        keys = {f"{tag:08X}" for tag in chosen.tags - _COMPUTED}
        members = {key: member for key, member in hit.metadata.items() if key in keys}
    else:
        members = {}
        # One attribute that is not in the index, and all come from the newest instance.
        indexed = all(tags <= _INDEXED[level] for level, tags in chosen.by_level.items() if level is not Level.INSTANCE)
        for level, row in ((Level.STUDY, hit.study), (Level.SERIES, hit.series)):
            if row is not None:
                members |= _extended_members(row, chosen.extended, level)
                members |= _level_members(level, row, chosen.by_level[level], indexed=indexed)
    members |= _computed(hit, chosen, counts)
    for tag, uid in (
        (STUDY_UID, hit.study_uid),
        (SERIES_UID, hit.series_uid),
        (SOP_INSTANCE_UID, hit.sop_instance_uid),
    ):
        if uid:
            members[f"{tag:08X}"] = {"vr": "UI", "Value": [uid]}
    return dict(sorted(members.items()))


def _level_members(level: Level, row: LevelRow, tags: frozenset[int], *, indexed: bool) -> Members:
    if not tags:
        return {}
    index = _only(row.index, tags)
    if indexed:
        return index
    members = _only(row.answer, tags)
    # What a default or `all` never brings is kept in the index alone.
    members |= _only(index, tags - _ANSWERED[level])
    return members | index if tags & frozenset(COMPUTED[level]) else members


def _extended_members(row: LevelRow, tags: Sequence[ExtendedTag], level: Level) -> Members:
    """Values of extended query tags of a level that the newest instance is not asked for anyway."""
    wanted = [tag for tag in tags if tag.level is level and tag.tag not in _ANSWERED[level]]
    there = row.extended if wanted else {}
    found = ((tag, there[str(tag.slot)]) for tag in wanted if str(tag.slot) in there)
    # What a tag that is gone has left is none of this one's.
    return {tag.path: element for tag, (number, _, element) in found if number == tag.number}


def _only(source: Mapping[str, Any], tags: frozenset[int]) -> Members:
    return {key: source[key] for key in (f"{tag:08X}" for tag in tags) if key in source}


def _computed(hit: Hit, chosen: Wanted, counts: Counts) -> Members:
    members: Members = {}
    # Viewers show no list at all when a study has this attribute without a value.
    if MODALITIES in chosen.tags and hit.study is not None and hit.study.modalities:
        members[f"{MODALITIES:08X}"] = {"vr": "CS", "Value": hit.study.modalities}
    for tag, place in (
        (STUDY_INSTANCES, (hit.study_uid, "")),
        # Of a study there is no such number; without this line its own would be given.
        *([(SERIES_INSTANCES, (hit.study_uid, hit.series_uid))] if hit.series_uid else ()),
    ):
        if tag in chosen.tags and place in counts:
            members[f"{tag:08X}"] = {"vr": "IS", "Value": [counts[place]]}
    return members
