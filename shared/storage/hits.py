"""What a search asks of storage, and what it finds."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from shared.storage.conditions import MODALITIES, Condition
from shared.storage.tables import Entity, binary
from shared.storage.tagconditions import TagCondition
from shared.storage.tagrows import Extended, extended_values


@dataclass(frozen=True, slots=True)
class Criteria:
    """What is searched for.

    Attributes:
        study_uids: the studies to look in; None for all.
        series_uid: the one series to look in; empty for all.
        sop_instance_uids: the instances to look for; None for all.
        study: conditions on studies.
        series: conditions on series.
        instance: conditions on instances.
        offset: hits to leave out, >= 0.
        limit: the most hits to give, >= 1.
    """

    study_uids: frozenset[str] | None = None
    series_uid: str = ""
    sop_instance_uids: frozenset[str] | None = None
    study: tuple[Condition, ...] = ()
    series: tuple[Condition, ...] = ()
    instance: tuple[TagCondition, ...] = ()
    offset: int = 0
    limit: int = 100


@dataclass(frozen=True, slots=True)
class LevelRow:
    """A study or a series as search sees it; decoded when it is asked for."""

    row: Entity

    @property
    def answer(self) -> Mapping[str, Any]:
        """Attributes of its newest instance, DICOM JSON."""
        answer: Mapping[str, Any] = orjson.loads(zlib.decompress(binary(self.row, "answer")))
        return answer

    @property
    def index(self) -> Mapping[str, Any]:
        """Indexed attributes, DICOM JSON; the newest value wins."""
        index: Mapping[str, Any] = orjson.loads(self.row["index"])
        return index

    @property
    def extended(self) -> Extended:
        """Values of extended query tags."""
        return extended_values(self.row)

    @property
    def modalities(self) -> list[str]:
        """Of a study: the modalities of its series."""
        return [value for value in self.row.get(MODALITIES, "").split("\\") if value]


@dataclass(frozen=True, slots=True)
class Hit:
    """One study, series or instance that was found; what belongs to a lower level is empty.

    Attributes:
        study: None when it was not asked for.
        series: None when it was not asked for.
        metadata: of an instance, DICOM JSON; None when it was not asked for.
        version: of an instance; larger is newer.
    """

    study_uid: str
    series_uid: str = ""
    sop_instance_uid: str = ""
    study: LevelRow | None = None
    series: LevelRow | None = None
    metadata: Mapping[str, Any] | None = None
    version: int = 0
