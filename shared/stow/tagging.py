"""What extended query tags ask of a received instance: that their values are valid, and columns to be found by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import orjson
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from shared.behaviours import InvalidSearchableValue
from shared.dicom.attributes import Level
from shared.dicom.elements import find
from shared.dicom.extendedtags import ExtendedTag, TagFault, TagValue, private_blocks, values_of
from shared.dicom.validation import INDEXED_VRS, Finding
from shared.storage.rows import NewInstance
from shared.storage.tagrows import columns_of_values, extended_of, is_slot
from shared.storage.tagset import TagSet

_PADDING = " \0"


@dataclass(frozen=True, slots=True)
class Retagged:
    """An instance that was judged by tags which are no longer those that there are, judged again.

    Attributes:
        instance: as storage takes it; None when it is refused.
        findings: what is wrong with values of the tags.
    """

    instance: NewInstance | None
    findings: tuple[Finding, ...]


def indexed_vrs(dataset: Dataset, tags: Iterable[ExtendedTag]) -> Mapping[int, str]:
    """Tag and expected VR of all attributes that an instance is indexed by; private ones where it has them."""
    vrs = {_placed(dataset, tag): tag.vr for tag in tags}
    vrs.pop(0, None)
    return {**vrs, **INDEXED_VRS} if vrs else INDEXED_VRS


def tagged(instance: NewInstance, values: Sequence[TagValue], added: int) -> NewInstance:
    """The instance with what it says about tags.

    Args:
        instance: without it.
        values: what it says.
        added: the count of additions of the tags' set.
    """
    if not values:
        return replace(instance, tags_added=added)
    study, series = (
        replace(level, columns={**level.columns, **columns_of_values(values, kind)}, extended=extended_of(values, kind))
        for level, kind in ((instance.study, Level.STUDY), (instance.series, Level.SERIES))
    )
    columns = {**instance.columns, **columns_of_values(values, Level.INSTANCE)}
    return replace(instance, study=study, series=series, columns=columns, tags_added=added)


def retagged(instance: NewInstance, tags: TagSet, conduct: InvalidSearchableValue) -> Retagged:
    """An instance for which other tags have come since it was judged.

    Args:
        instance: as it was judged, by whatever tags.
        tags: those that there are.
        conduct: what becomes of an instance with an invalid value.
    """
    metadata = orjson.loads(instance.metadata)
    values, faults = values_of(metadata, tags.tags)
    findings = tuple(Finding(fault.tag.tag, fault.text) for fault in sorted(faults, key=lambda one: one.tag.tag))
    if findings and conduct is InvalidSearchableValue.FAIL_INSTANCE:
        return Retagged(None, findings)
    bare = replace(
        instance,
        study=replace(instance.study, columns=_without_tags(instance.study.columns), extended={}),
        series=replace(instance.series, columns=_without_tags(instance.series.columns), extended={}),
        columns=_without_tags(instance.columns),
        metadata=_without_values(metadata, faults) if faults else instance.metadata,
    )
    return Retagged(tagged(bare, values, tags.added), findings)


def _without_tags(columns: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in columns.items() if not is_slot(name)}


def _without_values(metadata: dict[str, object], faults: Iterable[TagFault]) -> bytes:
    """Metadata without standard attributes whose values are invalid (contract C2.2)."""
    dropped = {fault.tag.path for fault in faults}
    return orjson.dumps({key: member for key, member in metadata.items() if key not in dropped})


def _placed(dataset: Dataset, tag: ExtendedTag) -> int:
    """Where an attribute is in the data set; 0 for a private one of whose creator it has no block."""
    if not tag.creator:
        return tag.tag
    for creator, attribute in private_blocks(tag.tag):
        element = find(dataset, creator)
        if isinstance(element, RawDataElement):
            if (element.value or b"").decode("latin-1").strip(_PADDING) == tag.creator:
                return attribute
        elif element is not None and str(element.value).strip(_PADDING) == tag.creator:
            return attribute
    return 0
