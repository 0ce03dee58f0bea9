"""One received file, understood: whether it is taken, its metadata, and what search will know of it. Pure CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.dicom.attributes import Level
from shared.dicom.extendedtags import ExtendedTag, values_of
from shared.dicom.part10 import ScannedFile, read_dataset
from shared.dicom.validation import ValidationRules, Verdict, check
from shared.storage.levels import first_text, level_values
from shared.storage.pixelrows import PixelColumns, pixel_columns
from shared.storage.rows import NewInstance
from shared.stow.tagging import indexed_vrs, tagged
from shared.wire.dicomjson import dataset_to_json, dumps

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


def digest(
    scanned: ScannedFile, rules: ValidationRules, study_uid: str | None, tags: Sequence[ExtendedTag] = ()
) -> Digest:
    """Judge a file, draw its metadata and find its frames.

    Args:
        scanned: the file as it was read.
        rules: how strictly it is judged.
        study_uid: the study it has to belong to, None for any.
        tags: what it is indexed by beside what always is.
    """
    dataset = read_dataset(scanned)
    verdict = check(dataset, rules, study_uid, indexed_vrs(dataset, tags))
    if verdict.refused:
        return Digest(verdict, None, None)
    return Digest(verdict, dataset_to_json(dataset, verdict.dropped_tags), pixel_columns(scanned))


def new_instance(
    scanned: ScannedFile, digested: Digest, blob: str, tags: Sequence[ExtendedTag] = (), added: int = 0
) -> NewInstance:
    """The instance as storage takes it.

    Args:
        scanned: the file as it was read.
        digested: what it says; not refused.
        blob: name of the blob with its bytes.
        tags: what it is indexed by beside what always is.
        added: the count of additions of the set that these tags are.
    """
    identity, metadata = digested.verdict.identity, digested.metadata
    assert metadata is not None, "a refused file is not stored"
    instance = NewInstance(
        study_uid=identity.study_uid or "",
        series_uid=identity.series_uid or "",
        sop_instance_uid=identity.sop_instance_uid or "",
        sop_class_uid=identity.sop_class_uid or "",
        transfer_syntax=scanned.transfer_syntax,
        blob=blob,
        length_bytes=scanned.size_bytes,
        pixels=digested.pixels,
        metadata=dumps(metadata),
        modality=first_text(metadata.get(_MODALITY)),
        study=level_values(metadata, Level.STUDY),
        series=level_values(metadata, Level.SERIES),
        columns=level_values(metadata, Level.INSTANCE).columns,
    )
    return tagged(instance, values_of(metadata, tags)[0], added)
