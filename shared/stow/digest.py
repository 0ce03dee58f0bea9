"""One received file, understood: whether it is taken, its metadata, and what search will know of it. Pure CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.dicom.attributes import INDEXED, Attribute, Level, all_return_set
from shared.dicom.matching import fold, name_words
from shared.dicom.part10 import ScannedFile, read_dataset
from shared.dicom.validation import ValidationRules, Verdict, check
from shared.storage.pixelrows import PixelColumns, pixel_columns
from shared.storage.rows import LevelValues, NewInstance
from shared.wire.dicomjson import dataset_to_json, dumps

_ANSWER_KEYS = {level: tuple(f"{tag:08X}" for tag in all_return_set(level)) for level in Level}
_INDEXED_AT = {level: tuple(one for one in INDEXED if one.level is level) for level in Level}
_NAME_WORDS = 5
_MODALITY = "00080060"


@dataclass(frozen=True, slots=True)
class Digest:
    """What a file says.

    Attributes:
        verdict: whether it is taken, and what is odd about it.
        metadata: its DICOM JSON metadata; None when it is refused.
        pixels: where its pixel data and its frames are; None when it has none or is refused.
    """

    verdict: Verdict
    metadata: Mapping[str, Any] | None
    pixels: PixelColumns | None


def digest(scanned: ScannedFile, rules: ValidationRules, study_uid: str | None) -> Digest:
    """Judge a file, draw its metadata and find its frames.

    Args:
        scanned: the file as it was read.
        rules: how strictly it is judged.
        study_uid: the study it has to belong to, None for any.
    """
    dataset = read_dataset(scanned)
    verdict = check(dataset, rules, study_uid)
    if verdict.refused:
        return Digest(verdict, None, None)
    return Digest(verdict, dataset_to_json(dataset, verdict.dropped_tags), pixel_columns(scanned))


def new_instance(scanned: ScannedFile, digested: Digest, blob: str) -> NewInstance:
    """The instance as storage takes it.

    Args:
        scanned: the file as it was read.
        digested: what it says; not refused.
        blob: name of the blob with its bytes.
    """
    identity, metadata = digested.verdict.identity, digested.metadata
    assert metadata is not None, "a refused file is not stored"
    return NewInstance(
        study_uid=identity.study_uid or "",
        series_uid=identity.series_uid or "",
        sop_instance_uid=identity.sop_instance_uid or "",
        sop_class_uid=identity.sop_class_uid or "",
        transfer_syntax=scanned.transfer_syntax,
        blob=blob,
        length_bytes=scanned.size_bytes,
        pixels=digested.pixels,
        metadata=dumps(metadata),
        modality=_text(metadata.get(_MODALITY)),
        study=_level_values(metadata, Level.STUDY),
        series=_level_values(metadata, Level.SERIES),
        columns=_level_values(metadata, Level.INSTANCE).columns,
    )


def _level_values(metadata: Mapping[str, Any], level: Level) -> LevelValues:
    index: dict[str, Any] = {}
    columns: dict[str, str] = {}
    for attribute in _INDEXED_AT[level]:
        key = f"{attribute.tag:08X}"
        element = metadata.get(key)
        text = _text(element)
        if element is None or not text:
            continue
        index[key] = {"vr": element["vr"], "Value": element["Value"][:1]}
        columns |= _columns(attribute, text)
    answer = {key: metadata[key] for key in _ANSWER_KEYS[level] if key in metadata}
    return LevelValues(answer, index, columns)


def _columns(attribute: Attribute, text: str) -> dict[str, str]:
    columns = {attribute.keyword: fold(attribute.vr, text)}
    if attribute.vr == "PN":
        words = name_words(text)[:_NAME_WORDS]
        columns |= {f"{attribute.keyword}{place}": word for place, word in enumerate(words, start=1)}
    return columns


def _text(element: Mapping[str, Any] | None) -> str:
    """The first value as text; a person name with its groups joined as in a file."""
    if not element or not element.get("Value") or element["Value"][0] is None:
        return ""
    value = element["Value"][0]
    if isinstance(value, dict):
        groups = [value.get(name, "") for name in ("Alphabetic", "Ideographic", "Phonetic")]
        return "=".join(groups).rstrip("=")
    return str(value)
