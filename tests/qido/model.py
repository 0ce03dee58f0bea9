"""A plain model of the service: what is stored, and what each version's searches answer about it (contract C6).

Written from the contract and docs/differences.md, without code of the service: its tables are typed in once more, and
what a file says is read with pydicom.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.qido.tables import (
    ALL,
    COMPUTED,
    FROM_FILES,
    HELD,
    INDEXED,
    INSTANCE,
    LEVELS,
    MODALITIES,
    RETURN_SETS,
    SERIES,
    SERIES_COUNT,
    STUDY,
    STUDY_COUNT,
    UIDS,
    Question,
    equal,
    text_of,
)

Members = dict[str, Any]


@dataclass(frozen=True)
class File:
    """An instance as it was sent, and what it says as pydicom reads it."""

    study_uid: str
    series_uid: str
    sop_uid: str
    content: bytes
    metadata: Members


@dataclass
class Group:
    """A study or a series: what holds for both.

    Attributes:
        index: what searches compare; the latest value wins, and one that is missing erases nothing.
        newest: the instance that was stored last, or that took its place.
        said: all that a search could tell when it got its place in the order.
        changed: the step that gave it that place.
    """

    level: str
    uid: str
    index: Members = field(default_factory=dict)
    newest: File | None = None
    said: Any = None
    changed: int = 0

    @property
    def answer(self) -> Members:
        assert self.newest is not None
        return {tag: self.newest.metadata[tag] for tag in ALL[self.level] if tag in self.newest.metadata}

    def learn(self, file: File) -> None:
        self.index |= {tag: file.metadata[tag] for tag in FROM_FILES[self.level] if tag in file.metadata}
        self.newest = file

    def settle(self, step: int, held: Mapping[str, tuple[int, File]], more: Any = None) -> None:
        """After a change: what a search can tell something new of comes first."""
        if self.newest is None or held.get(self.newest.sop_uid, (0, None))[1] is not self.newest:
            # Of those that were stored at once, the first by its UIDs.
            every = [(-at, file.series_uid, file.sop_uid, file) for at, file in held.values()]
            self.newest = min(every, key=lambda one: one[:3])[3]
        said = (self.answer, dict(self.index), more)
        if said != self.said:
            self.said, self.changed = said, step


@dataclass
class Series(Group):
    """A series; its instances by SOPInstanceUID, each with the step that stored it."""

    held: dict[str, tuple[int, File]] = field(default_factory=dict)


@dataclass
class Study(Group):
    """A study; its series by UID."""

    series: dict[str, Series] = field(default_factory=dict)

    @property
    def held(self) -> dict[str, tuple[int, File]]:
        return {sop_uid: one for series in self.series.values() for sop_uid, one in series.held.items()}

    @property
    def modalities(self) -> list[str]:
        return sorted({series.index["00080060"]["Value"][0] for series in self.series.values()})

    def settle_all(self, step: int) -> None:
        for series in self.series.values():
            series.settle(step, series.held)
        self.settle(step, self.held, self.modalities)


@dataclass(frozen=True)
class Event:
    """A row of the change feed."""

    step: int
    action: str
    uids: tuple[str, str, str]


@dataclass(frozen=True)
class Found:
    """A hit.

    Attributes:
        places: what the order depends on, most important first: the step of the newest change, and a name for ties.
        item: what the version answers.
    """

    places: tuple[tuple[int, str], ...]
    item: Members


class Model:
    """What is stored, as somebody would write it down on paper."""

    def __init__(self) -> None:
        self.studies: dict[str, Study] = {}
        self.events: list[Event] = []
        self.step = 0

    def has(self, study_uid: str, *below: str) -> bool:
        study = self.studies.get(study_uid)
        if study is None or not below:
            return study is not None
        series = study.series.get(below[0])
        return series is not None and (len(below) == 1 or below[1] in series.held)

    def store(self, files: Sequence[File]) -> None:
        """Files of one study that are new and that the version takes."""
        self.step += 1
        for file in files:
            study = self.studies.setdefault(file.study_uid, Study(STUDY, file.study_uid))
            series = study.series.setdefault(file.series_uid, Series(SERIES, file.series_uid))
            series.held[file.sop_uid] = self.step, file
            study.learn(file)
            series.learn(file)
            self.events.append(Event(self.step, "Create", (file.study_uid, file.series_uid, file.sop_uid)))
        if files:
            self.studies[files[0].study_uid].settle_all(self.step)

    def delete(self, study_uid: str, *below: str) -> bool:
        """Whether there was anything to delete."""
        self.step += 1
        if not self.has(study_uid, *below):
            return False
        study = self.studies[study_uid]
        for series in list(study.series.values()):
            for sop_uid in list(series.held):
                if (series.uid, sop_uid)[: len(below)] == below:
                    del series.held[sop_uid]
                    self.events.append(Event(self.step, "Delete", (study_uid, series.uid, sop_uid)))
            if not series.held:
                del study.series[series.uid]
        if study.series:
            study.settle_all(self.step)
        else:
            del self.studies[study_uid]
        return True

    def state(self, event: Event) -> str:
        """What has become of an event's instance by now (contract C8.3)."""
        if not self.has(*event.uids):
            return "Deleted"
        study_uid, series_uid, sop_uid = event.uids
        stored_at, _ = self.studies[study_uid].series[series_uid].held[sop_uid]
        return "Current" if (event.action, event.step) == ("Create", stored_at) else "Replaced"

    def search(self, version: str, asked: Question) -> list[Found]:
        """Everything that a search finds, in no order."""
        hits = [hit for hit in self._hits(asked) if _within(asked, *hit)]
        return [Found(_places(asked, *hit), _item(version, asked, *hit)) for hit in hits]

    def _hits(self, asked: Question) -> Iterator[tuple[Study, Series | None, str]]:
        for study in self.studies.values():
            if not _matches(asked, STUDY, study.index, study.modalities):
                continue
            if asked.level == STUDY:
                yield study, None, ""
                continue
            for series in study.series.values():
                if not _matches(asked, SERIES, series.index):
                    continue
                if asked.level == SERIES:
                    yield study, series, ""
                    continue
                for sop_uid, (_, file) in series.held.items():
                    if _matches(asked, INSTANCE, file.metadata):
                        yield study, series, sop_uid


def in_order(found: Iterable[Found], seen: Sequence[Members]) -> list[Members]:
    """Newest first. What came with one request has no order among itself: there it is taken as it was seen."""
    first: dict[str, int] = {}
    for place, item in enumerate(seen):
        for tag in UIDS.values():
            for uid in item.get(tag, {}).get("Value", []):
                first.setdefault(uid, place)

    def place_of(one: Found) -> list[tuple[int, int, str]]:
        return [(-step, first.get(uid, len(seen)), uid) for step, uid in one.places]

    return [one.item for one in sorted(found, key=place_of)]


def _places(asked: Question, study: Study, series: Series | None, sop_uid: str) -> tuple[tuple[int, str], ...]:
    """Contract C6.4, and the rows on order in docs/differences.md."""
    by_study = bool(asked.within or asked.filters_at(STUDY))
    of_study = (study.changed, study.uid)
    if series is None:
        return (of_study,)
    of_series = (series.changed, series.uid)
    if not sop_uid:
        return (of_study, of_series) if by_study else (of_series,)
    of_instance = (series.held[sop_uid][0], sop_uid)
    named_studies = bool(asked.within) or any(keyword == "StudyInstanceUID" for keyword, _ in asked.filters)
    if asked.filters_at(INSTANCE) and not named_studies:
        return (of_instance,)
    return (of_study if by_study or not asked.filters_at(SERIES) else of_series, of_instance)


def _within(asked: Question, study: Study, series: Series | None, _sop_uid: str) -> bool:
    return (study.uid, series.uid if series else "")[: len(asked.within)] == asked.within


def _matches(asked: Question, level: str, index: Members, modalities: Sequence[str] = ()) -> bool:
    for tag, kind, value in asked.filters_at(level):
        held = modalities if tag == MODALITIES else [text_of(one) for one in index.get(tag, {}).get("Value", [])]
        if not any(equal(kind, one, value, fuzzy=asked.fuzzy) for one in held):
            return False
    return True


def _item(version: str, asked: Question, study: Study, series: Series | None, sop_uid: str) -> Members:
    """Contract C6.5."""
    named = asked.matched if asked.all_fields else asked.matched | asked.included
    defaults = {
        level: (ALL if asked.all_fields else RETURN_SETS[version])[level] if level in asked.levels else frozenset()
        for level in LEVELS
    }
    tags = named.union(*defaults.values())
    item: Members = {}
    if series is not None and sop_uid:
        metadata = series.held[sop_uid][1].metadata
        item = {tag: metadata[tag] for tag in tags if tag in metadata}
    else:
        wanted = {level: defaults[level] | named & HELD[level] for level in (STUDY, SERIES)}
        indexed = all(tags <= INDEXED[level] for level, tags in wanted.items())
        for group in filter(None, (study, series)):
            item |= _of_group(group, wanted[group.level], indexed=indexed)
    if MODALITIES in tags:
        item[MODALITIES] = {"vr": "CS", "Value": study.modalities}
    if STUDY_COUNT in tags:
        item[STUDY_COUNT] = {"vr": "IS", "Value": [len(study.held)]}
    if SERIES_COUNT in tags and series is not None:
        item[SERIES_COUNT] = {"vr": "IS", "Value": [len(series.held)]}
    uids = (study.uid, series.uid if series else "", sop_uid)
    return item | {tag: {"vr": "UI", "Value": [uid]} for tag, uid in zip(UIDS.values(), uids, strict=True) if uid}


def _of_group(group: Group, tags: frozenset[str], *, indexed: bool) -> Members:
    index = {tag: element for tag, element in group.index.items() if tag in tags}
    if indexed:
        return index
    members = {tag: element for tag, element in group.answer.items() if tag in tags}
    # Only the index has what no default and no `all` of full sets brings.
    members |= {tag: element for tag, element in index.items() if tag not in ALL[group.level]}
    core = {tag: element for tag, element in index.items() if tag in INDEXED[group.level]}
    return members | core if tags & COMPUTED[group.level] else members
