"""What instances say about extended query tags, gathered from their rows: for study, series and themselves. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson

from shared.dicom.attributes import Level
from shared.dicom.extendedtags import ExtendedTag, TagValue, values_of
from shared.storage.keys import SEARCH_COLUMN, uids_of_row
from shared.storage.postings import Posted
from shared.storage.rows import LevelState
from shared.storage.tables import Entity, whole
from shared.storage.tagrows import POSTED, Extended, columns_of_values, keyword_of, newer, parsed, said, tag_columns
from shared.storage.tagset import TagEntry


@dataclass(slots=True)
class Candidates:
    """Values for a study or a series: of each tag that of the newest instance which has one."""

    values: dict[int, tuple[tuple[int, bool], TagValue]] = field(default_factory=dict)

    def take(self, value: TagValue, age: tuple[int, bool]) -> None:
        """Take a value in; `age` is the version of its instance, and whether that is known to be the newest."""
        there = self.values.get(value.tag.slot)
        if there is None or age > there[0]:
            self.values[value.tag.slot] = age, value

    def merge(self, others: Candidates) -> None:
        """Take in what another part of the study or series says."""
        for age, value in others.values.values():
            self.take(value, age)

    def applied(self, state: LevelState) -> LevelState:
        """The state with those of the values that are newer than what it has."""
        offered: Extended = {
            str(slot): (value.tag.number, age[0], value.element) for slot, (age, value) in self.values.items()
        }
        chosen = newer(state.extended, offered)
        tags = (self.values[int(slot)][1] for slot in chosen)
        columns = {keyword_of(one.tag.slot): said(one.tag, one.folded) for one in tags}
        return replace(state, extended={**state.extended, **chosen}, columns={**state.columns, **columns})


@dataclass(frozen=True, slots=True)
class InstanceSaid:
    """What an instance's row has to say of itself.

    Attributes:
        row: its RowKey.
        version: its version number when it was read.
        columns: properties to write; an empty text takes the place of what is not said any more.
        now: how its tags find it then.
        before: how they found it, where that is no longer so.
    """

    row: str
    version: int
    columns: Mapping[str, str]
    now: Posted
    before: Posted


@dataclass(frozen=True, slots=True)
class InstanceFault:
    """A value that cannot be indexed."""

    number: int
    row: str
    text: str


@dataclass(slots=True)
class Gathered:
    """What rows of one study say.

    Attributes:
        study: for the study.
        series: for each series, by UID.
        instances: for themselves.
        faults: what cannot be indexed.
    """

    study: Candidates = field(default_factory=Candidates)
    series: dict[str, Candidates] = field(default_factory=dict)
    instances: list[InstanceSaid] = field(default_factory=list)
    faults: list[InstanceFault] = field(default_factory=list)


def gathered(
    study_uid: str, rows: Sequence[tuple[Entity, bytes]], entries: Iterable[TagEntry], newest: str
) -> Gathered:
    """What instances say about tags.

    Args:
        study_uid: StudyInstanceUID.
        rows: instance rows with their metadata.
        entries: the tags.
        newest: row of the study's instance that was stored last, as far as it is known.
    """
    found = Gathered()
    tags = [entry.tag for entry in entries]
    own = [tag for tag in tags if tag.level is Level.INSTANCE]
    for row, metadata in rows:
        series_uid, sop_instance_uid = uids_of_row(row["RowKey"])
        values, faults = values_of(orjson.loads(metadata), tags)
        found.faults += [InstanceFault(one.tag.number, row["RowKey"], one.text) for one in faults]
        age = whole(row, "version"), row["RowKey"] == newest
        for value in values:
            if value.tag.level is Level.STUDY:
                found.study.take(value, age)
            elif value.tag.level is Level.SERIES:
                found.series.setdefault(series_uid, Candidates()).take(value, age)
        columns = {SEARCH_COLUMN + name: text for name, text in columns_of_values(values, Level.INSTANCE).items()}
        instance = _instance_said((study_uid, series_uid, sop_instance_uid), row, columns, own)
        if instance is not None:
            found.instances.append(instance)
    return found


def _instance_said(
    uids: tuple[str, str, str], row: Entity, columns: dict[str, str], tags: Sequence[ExtendedTag]
) -> InstanceSaid | None:
    """What an instance's row has to say; None when that is nothing, and it never said anything else."""
    version = whole(row, POSTED) or whole(row, "version")
    numbers = {tag.number for tag in tags}
    there = {name: text for name, text in tag_columns(row).items() if _number(text) in numbers}
    gone = {name: text for name, text in there.items() if columns.get(name) != text}
    written = {**dict.fromkeys(gone, ""), **columns}
    if not written:
        return None
    now, before = Posted(uids, version, columns), Posted(uids, version, gone)
    return InstanceSaid(row["RowKey"], whole(row, "version"), written, now, before)


def _number(text: str) -> int:
    one = parsed(text)
    return one.number if one is not None else 0
