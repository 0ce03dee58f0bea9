"""What a bulk update asks for: its body, checked at once and completely (contract C11)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.datadict import dictionary_VM, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from shared.dicom.elementbytes import SHORT_VALUE_BYTES
from shared.dicom.uids import normalise_uid
from shared.dicom.updating import Change
from shared.dicom.validation import Finding
from shared.dicom.valuerules import CHARACTER_SET_VRS, FULL_RULES, SINGLE_VALUE_VRS
from shared.errors import InvalidRequest
from shared.wire.datasets import json_value, tag_of_key
from shared.wire.dicomjson import dataset_to_json

MOST_STUDIES = 50

# Contract C11. None of them is a sequence.
CHANGEABLE = frozenset({
    0x00080050, 0x00080090, 0x00081030,
    0x00100010, 0x00100020, 0x00100021, 0x00100022, 0x00100030, 0x00100032, 0x00100040, 0x00100200,
    0x00101000, 0x00101001, 0x00101005, 0x00101010, 0x00101020, 0x00101030, 0x00101040, 0x00101060,
    0x00101080, 0x00101081, 0x00101090,
    0x00102150, 0x00102152, 0x00102154, 0x00102160, 0x00102180, 0x001021F0,
    0x00102201, 0x00102292, 0x00102295, 0x00102297, 0x00102298, 0x00102299,
    0x00104000, 0x00403001,
})  # fmt: skip

_MEMBERS = frozenset({"vr", "Value"})
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_NO_ELEMENT = "The attribute must be an object with vr and Value."


class ChangeRefused(Exception):
    """Attributes cannot be changed so.

    Args:
        findings: what is wrong, an entry for each attribute.
    """

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("attributes cannot be changed so")
        self.findings = tuple(findings)


class _Wrong(Exception):
    """What is wrong with one attribute."""


@dataclass(frozen=True, slots=True)
class UpdateRequest:
    """A bulk update as it was asked for.

    Attributes:
        study_uids: one or more, each once.
        changes: what attributes shall be; one or more.
    """

    study_uids: tuple[str, ...]
    changes: tuple[Change, ...]


def parse(body: bytes) -> UpdateRequest:
    """What a body asks for.

    Raises:
        InvalidRequest: it is not of the form that is asked for.
        ChangeRefused: it is, but attributes in it cannot be changed so.
    """
    content = json_value(body)
    if not isinstance(content, dict):
        raise InvalidRequest("The body must be an object with studyInstanceUids and changeDataset.")
    # Case does not count, as in other bodies of plain JSON (contract C1.5).
    members = {name.lower(): member for name, member in content.items()}
    study_uids = _study_uids(members.get("studyinstanceuids"))
    changes = members.get("changedataset")
    if not isinstance(changes, dict) or not changes:
        raise InvalidRequest("changeDataset: a data set in the DICOM JSON model with at least one attribute is due.")
    return UpdateRequest(study_uids, _changes(changes))


def _study_uids(listed: object) -> tuple[str, ...]:
    if not isinstance(listed, list) or not listed:
        raise InvalidRequest("studyInstanceUids: a list of at least one UID is due.")
    if len(listed) > MOST_STUDIES:
        raise InvalidRequest(f"studyInstanceUids: at most {MOST_STUDIES} studies are updated by one request.")
    uids = [normalise_uid(uid) if isinstance(uid, str) else None for uid in listed]
    if None in uids:
        raise InvalidRequest("studyInstanceUids: one of them is not a UID.")
    return tuple(dict.fromkeys(uid for uid in uids if uid is not None))


def _changes(members: Mapping[str, Any]) -> tuple[Change, ...]:
    changes, findings = [], []
    for key, element in members.items():
        tag = tag_of_key(key)
        if tag is None:
            raise InvalidRequest(
                "changeDataset: each key must be an attribute's tag, eight hexadecimal digits, or keyword."
            )
        try:
            changes.append(_change(tag, element))
        except _Wrong as wrong:
            findings.append(Finding(tag, str(wrong)))
    if findings:
        raise ChangeRefused(findings)
    if len({change.tag for change in changes}) < len(changes):
        raise InvalidRequest("changeDataset: an attribute is there twice.")
    return tuple(sorted(changes, key=lambda change: change.tag))


def _change(tag: int, element: object) -> Change:
    if tag not in CHANGEABLE:
        raise _Wrong("The attribute cannot be changed by an update.")
    vr = dictionary_VR(tag)
    values = _values(vr, element)
    if len(values) > 1 and (vr in SINGLE_VALUE_VRS or dictionary_VM(tag) == "1"):
        raise _Wrong("The attribute has more than one value.")
    text = "\\".join(_value(vr, value) for value in values)
    encoded = text.encode("utf-8") if vr in CHARACTER_SET_VRS else text.encode("ascii", "replace")
    if len(encoded) > SHORT_VALUE_BYTES:
        raise _Wrong("The values are longer than an element can have them.")
    return Change(tag, vr, text)


def _values(vr: str, element: object) -> list[object]:
    """The values of an attribute in the DICOM JSON model; a member that is null is no member."""
    if not isinstance(element, dict):
        raise _Wrong(_NO_ELEMENT)
    given = {name: member for name, member in element.items() if member is not None}
    if given.keys() - _MEMBERS:
        raise _Wrong(_NO_ELEMENT)
    if given.get("vr", vr) != vr:
        raise _Wrong(f"The VR is not {vr}.")
    values = given.get("Value")
    if not isinstance(values, list) or not values:
        raise _Wrong("The attribute has no value; an update cannot take one away.")
    return values


def _value(vr: str, value: object) -> str:
    """One value as a file has it."""
    text = _person_name(value) if vr == "PN" else _text(vr, value)
    if not text.strip():
        raise _Wrong("A value is empty; an update cannot take one away.")
    if "\\" in text and vr not in SINGLE_VALUE_VRS:
        raise _Wrong("A value has a backslash, which separates values.")
    if "\x1b" in text:
        raise _Wrong("The value has a control character.")
    if vr not in CHARACTER_SET_VRS and not text.isascii():
        raise _Wrong(f"The value has a character that VR {vr} does not allow.")
    fault = FULL_RULES[vr](text)
    if fault:
        raise _Wrong(fault)
    return text


def _text(vr: str, value: object) -> str:
    if vr == "DS" and isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    if not isinstance(value, str):
        raise _Wrong("A value is not a text.")
    return value.rstrip(" ") if vr not in SINGLE_VALUE_VRS else value


def _person_name(value: object) -> str:
    if not isinstance(value, dict) or value.keys() - set(_GROUPS):
        raise _Wrong("A name must be an object with Alphabetic, Ideographic or Phonetic.")
    groups = ["" if value.get(name) is None else value[name] for name in _GROUPS]
    if not all(isinstance(group, str) and "=" not in group for group in groups):
        raise _Wrong("A component group of the name is not a text without equals signs.")
    return "=".join(groups).rstrip("=").rstrip(" ")


def elements_of(changes: Sequence[Change]) -> dict[str, Any]:
    """The changes in the DICOM JSON model, as metadata of an instance shows them."""
    elements: dict[BaseTag, DataElement | RawDataElement] = {}
    for change in changes:
        tag, value = BaseTag(change.tag), change.text.encode("utf-8")
        elements[tag] = RawDataElement(tag, change.vr, len(value), value, 0, False, True)
    dataset = Dataset(elements)
    dataset.set_original_encoding(False, True, ["utf8"])
    return dataset_to_json(dataset)
