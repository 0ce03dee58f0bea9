"""Rows of studies, series and instances: what the house means by them, and how they are written down.

The three kinds live in one partition a study, so that one transaction can change them together (storage/README.md).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from shared.storage.keys import SCHEMA, SEARCH_COLUMN, inverted, modality_column, ulid
from shared.storage.pixelrows import FRAMES_SUFFIX, PixelColumns, pixel_entity
from shared.storage.segments import CoveringRow
from shared.storage.tables import Entity, Write, binary, whole
from shared.storage.tagrows import (
    POSTED,
    TAGS_ADDED,
    Extended,
    elements_of,
    extended_entity,
    extended_values,
    is_slot,
)

# A table property holds 64 KiB of binary; stay clear of the edge.
PROPERTY_BYTES = 60_000
METADATA_PROPERTIES = 9
METADATA_SUFFIX = ".meta"
"""Of the blob with metadata that is too long for a row."""
BESIDE_SUFFIXES = (METADATA_SUFFIX, FRAMES_SUFFIX, ".frag")
"""Of all blobs that stand beside an instance's. The last is one that older rows may have; nobody reads it."""
_BEFORE_KEPT = 8
_DICTIONARY_BYTES = 32 * 1024  # zlib looks back this far and no farther


@dataclass(frozen=True, slots=True)
class LevelValues:
    """What one instance says about its study or its series.

    Attributes:
        answer: the attributes of that level, DICOM JSON.
        index: the indexed attributes of that level that have a value, DICOM JSON with one value each.
        columns: folded values to search by, by keyword.
        extended: values of extended query tags, by slot: number of the tag and DICOM JSON.
    """

    answer: Mapping[str, Any]
    index: Mapping[str, Any]
    columns: Mapping[str, str]
    extended: Extended = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewInstance:
    """An instance that is about to be stored; its bytes are in a blob already.

    Attributes:
        study_uid: StudyInstanceUID.
        series_uid: SeriesInstanceUID.
        sop_instance_uid: SOPInstanceUID.
        sop_class_uid: SOPClassUID.
        transfer_syntax: the stored transfer syntax.
        blob: name of the blob.
        length_bytes: how long the instance is in it.
        pixels: where its pixel data is; None without pixel data.
        metadata: the instance's DICOM JSON metadata, one object.
        modality: Modality, empty when there is none.
        study: what it says about its study.
        series: what it says about its series.
        columns: folded values of the instance level, by keyword.
        tags_added: which extended query tags it was indexed for: those of the tag set's count of additions.
    """

    study_uid: str
    series_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax: str
    blob: str
    length_bytes: int
    pixels: PixelColumns | None
    metadata: bytes
    modality: str
    study: LevelValues
    series: LevelValues
    columns: Mapping[str, str]
    tags_added: int = 0


@dataclass(frozen=True, slots=True)
class LevelState:
    """A study or a series as its row has it.

    Attributes:
        answer: attributes of the newest instance.
        index: indexed attributes; the newest value wins, a missing one erases nothing (contract C2.6).
        columns: folded values of the same.
        modalities: of a study: the modalities of its series.
        order: order key; larger is newer.
        segment: segment with its covering row.
        before: where covering rows of the states before were, `segment~row`, the nearest first. They go when this
            state's is there; those of states that nobody is known to have finished are carried along until then.
        newest: row of the instance that was stored last, whose attributes `answer` has.
        extended: values of extended query tags, as `tagrows.Extended` says.
        etag: of the row as it was read; empty for a new one.
    """

    answer: Mapping[str, Any] = field(default_factory=dict)
    index: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    modalities: frozenset[str] = frozenset()
    order: str = ""
    segment: int = 0
    before: tuple[str, ...] = ()
    newest: str = ""
    extended: Extended = field(default_factory=dict)
    etag: str = ""

    def with_values(self, values: LevelValues, modality: str = "", version: int = 0) -> LevelState:
        """The state after one more instance, which has that version."""
        extended = {slot: (number, version, element) for slot, (number, _, element) in values.extended.items()}
        return replace(
            self,
            answer=values.answer,
            index={**self.index, **values.index},
            columns={**self.columns, **values.columns},
            extended={**self.extended, **extended},
            modalities=self.modalities | {modality} if modality else self.modalities,
        )

    def says_the_same(self, other: LevelState) -> bool:
        """Whether a search could not tell the two apart."""
        return (self.answer, self.index, self.columns, self.modalities, elements_of(self.extended)) == (
            other.answer,
            other.index,
            other.columns,
            other.modalities,
            elements_of(other.extended),
        )


def state_of(row: Entity) -> LevelState:
    """The state that a study or series row holds."""
    return LevelState(
        answer=orjson.loads(zlib.decompress(binary(row, "answer"))),
        index=orjson.loads(row["index"]),
        columns={
            # One that is empty was taken away: a merge cannot do more.
            name.removeprefix(SEARCH_COLUMN): value
            for name, value in row.items()
            if value and name.startswith(SEARCH_COLUMN)
        },
        modalities=frozenset(filter(None, row.get("modalities", "").split("\\"))),
        order=row["order"],
        segment=whole(row, "segment"),
        before=tuple(row.get("before", "").split()),
        newest=row.get("newest", ""),
        extended=extended_values(row),
        etag=row["odata.etag"],
    )


def state_entity(state: LevelState, version: int) -> dict[str, Any]:
    """The properties of a study or series row."""
    return {
        **_searchable(state),
        "order": state.order,
        "segment": state.segment,
        "before": " ".join(state.before),
        "newest": state.newest,
        "version": version,
        "schema": SCHEMA,
    }


def covering_row(state: LevelState, *uids: str) -> CoveringRow:
    """The row that a search finds: study UID, or study and series UID."""
    names = ("study", "series")
    entity = {**_searchable(state), "order": state.order, **dict(zip(names, uids, strict=False))}
    return CoveringRow(covering_row_key(state.order, *uids), entity)


def covering_row_key(order: str, *uids: str) -> str:
    """RowKey of a covering row: newest first."""
    return "~".join((inverted(order), *uids))


def following(before: LevelState, after: LevelState, order: str, segment: int, *uids: str, settled: bool) -> LevelState:
    """A state that replaces another one: with a place of its own, and the word where older covering rows may be.

    Args:
        before: the state that is replaced.
        after: the new one.
        order: its order key.
        segment: the segment its covering row will probably be in.
        uids: study UID, or study and series UID.
        settled: whether the replaced state's covering row is known to be the only one.
    """
    place = (f"{before.segment}~{covering_row_key(before.order, *uids)}",) if before.order else ()
    older = () if settled else before.before
    return replace(after, order=order, segment=segment, before=(place + older)[:_BEFORE_KEPT])


def level_write(
    row: str, before: LevelState | None, after: LevelState, version: int, segment: int, *uids: str, settled: bool
) -> tuple[Write, LevelState]:
    """How a study or series row changes, and its state then."""
    if before is not None and after.says_the_same(before):
        return Write("merge", row, {"version": version, "newest": after.newest}), after
    if before is None:
        after = replace(after, order=ulid(), segment=segment)
        return Write("insert", row, state_entity(after, version)), after
    after = following(before, after, ulid(before.order), segment, *uids, settled=settled)
    return Write("merge", row, state_entity(after, version), before.etag), after


def covering_places(places: Iterable[str]) -> list[tuple[int, str]]:
    """Segments and row keys of places as a state has them."""
    parted = [place.partition("~") for place in places]
    return [(int(segment), row) for segment, _, row in parted]


def dictionary_of(metadata: bytes) -> bytes:
    """The part of a series' first metadata that helps to compress the others."""
    return metadata[:_DICTIONARY_BYTES]


def packed_metadata(metadata: bytes, dictionary: bytes) -> bytes:
    """Metadata, compressed with the series' dictionary: a few hundred bytes where the instances are alike."""
    packer = zlib.compressobj(level=6, zdict=dictionary)
    return packer.compress(metadata) + packer.flush()


def unpacked_metadata(packed: bytes, dictionary: bytes) -> bytes:
    """The reverse of `packed_metadata`."""
    unpacker = zlib.decompressobj(zdict=dictionary)
    return unpacker.decompress(packed) + unpacker.flush()


def instance_entity(instance: NewInstance, packed: bytes, version: int, event_id: str) -> dict[str, Any]:
    """The properties of an instance row.

    Args:
        instance: the instance.
        packed: its metadata, packed; empty when it is in a blob beside the instance because it is too long for a row.
        version: the instance's version number.
        event_id: id of its event in the change feed.
    """
    entity: dict[str, Any] = {
        "blob": instance.blob,
        "offset": 0,
        "length": instance.length_bytes,
        "syntax": instance.transfer_syntax,
        "sopClass": instance.sop_class_uid,
        "version": version,
        "event": event_id,
        "schema": SCHEMA,
        **{SEARCH_COLUMN + name: value for name, value in instance.columns.items()},
    }
    if instance.tags_added:
        entity[TAGS_ADDED] = instance.tags_added
    if any(map(is_slot, instance.columns)):
        entity[POSTED] = version
    beside = [] if packed else [METADATA_SUFFIX]
    for place, start in enumerate(range(0, len(packed), PROPERTY_BYTES)):
        entity[f"meta{place}"] = packed[start : start + PROPERTY_BYTES]
    if instance.pixels is not None:
        entity |= pixel_entity(instance.pixels)
        if instance.pixels.beside:
            beside.append(FRAMES_SUFFIX)
    if beside:
        entity["beside"] = " ".join(beside)
    return entity


OF_BLOBS = ("blob", "beside", "head", "headBeside", "replaced")
"""Columns that name blobs of an instance."""


def blobs_of(row: Entity) -> list[str]:
    """Names of all blobs of an instance row; the first is what it was stored as."""
    names = [row["blob"], *(row["blob"] + suffix for suffix in row.get("beside", "").split())]
    if row.get("head"):
        names += [row["head"], *(row["head"] + suffix for suffix in row.get("headBeside", "").split())]
    return names


def replaced_blobs(row: Entity) -> list[str]:
    """Names of blobs that updates took the place of; they may be gone."""
    return str(row.get("replaced", "")).split()


def first_event(row: Entity) -> tuple[str, int]:
    """Id of the event that an instance was stored with, and its version number then, whatever was updated since."""
    if "created" in row:
        return row["created"], whole(row, "createdVersion")
    return row["event"], whole(row, "version")


def packed_of(row: Entity) -> bytes:
    """The packed metadata of an instance row; empty when it is in a blob of its own."""
    return b"".join(binary(row, f"meta{place}") for place in range(METADATA_PROPERTIES) if f"meta{place}" in row)


METADATA_COLUMNS = tuple(f"meta{place}" for place in range(METADATA_PROPERTIES))


def fits_row(packed: bytes) -> bool:
    """Whether packed metadata goes into the instance's row."""
    return len(packed) <= PROPERTY_BYTES * METADATA_PROPERTIES


def _searchable(state: LevelState) -> dict[str, Any]:
    return {
        "answer": _packed_answer(state.answer),
        "index": orjson.dumps(state.index, option=orjson.OPT_SORT_KEYS).decode(),
        "modalities": "\\".join(sorted(state.modalities)),
        **{SEARCH_COLUMN + name: value for name, value in state.columns.items()},
        **{modality_column(name): True for name in sorted(state.modalities)},
        **extended_entity(state.extended, state.columns),
    }


def _packed_answer(answer: Mapping[str, Any]) -> bytes:
    packed = zlib.compress(orjson.dumps(answer))
    if len(packed) > PROPERTY_BYTES:
        # Only sequences can be this long. Search can live without one; the instance's metadata keeps it.
        packed = zlib.compress(orjson.dumps({tag: item for tag, item in answer.items() if item["vr"] != "SQ"}))
    return packed


def distinct(values: Iterable[str]) -> list[str]:
    """The values once each, in order."""
    return list(dict.fromkeys(values))
