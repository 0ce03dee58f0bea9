"""DICOM JSON: equal to pydicom's on every real file, but for the differences that are named here."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from shared.dicom.elements import BULK_VRS
from shared.dicom.part10 import Part10Scanner, read_dataset
from shared.wire.dicomjson import dataset_to_json, dumps, loads
from tests.support.files import file_parameters, sound_files, synthetic_instance


def scan(data: bytes) -> Dataset:
    scanner = Part10Scanner()
    scanner.feed(data)
    return read_dataset(scanner.finish())


def raw(vr: str, value: bytes, *, tag: int = 0x00091001, encodings: tuple[str, ...] = ("iso8859",)) -> Any:
    dataset = Dataset({BaseTag(tag): RawDataElement(BaseTag(tag), vr, len(value), value, 0, False, True)})
    dataset.set_original_encoding(False, True, list(encodings))
    return dataset_to_json(dataset).get(f"{tag:08X}")


def reference(dataset: Dataset) -> dict[str, Any]:
    """pydicom's JSON of a data set, in the form this service is asked for."""
    members = {}
    for tag in sorted(dataset.keys()):
        member = reference_member(dataset, tag)
        if member is not None:
            members[f"{tag:08X}"] = member
    return members


def reference_member(dataset: Dataset, tag: BaseTag) -> dict[str, Any] | None:
    if tag.element == 0:
        return None  # Difference 7: lengths of groups have no place in DICOM JSON (PS3.18 §F.2.2).
    stored = dataset.get_item(tag)
    # Difference 1: private attributes of implicit VR or of VR UN stay unknown and leave (C2.6); pydicom guesses.
    if tag.is_private and not tag.is_private_creator and stored.VR in (None, "UN"):
        return None
    try:
        element = dataset[tag]
        # Difference 2: bytes leave (C2.6); so do the words pydicom has where a VR stays ambiguous.
        if element.VR in BULK_VRS or len(element.VR) > 2:
            return None
        if element.VR == "SQ":
            # Difference 3: an empty element is only its VR (C1.5).
            return {"vr": "SQ", "Value": [reference(item) for item in element.value]} if element.value else {"vr": "SQ"}
        return expected(element.to_json_dict(None, 0))
    except (NotImplementedError, pydicom.errors.BytesLengthException):
        return None  # Difference 4: pydicom gives up the whole data set, the service the one element it cannot read.
    except (TypeError, ValueError):
        return {"unreadable": True}


def expected(member: dict[str, Any]) -> dict[str, Any]:
    """Difference 5: empty values among several are null (PS3.18 §F.2.5); empty name groups are left out."""
    if "Value" not in member:
        return member
    values = [clean(value, member["vr"]) for value in member["Value"]]
    return {"vr": member["vr"]} if values == [None] else {"vr": member["vr"], "Value": values}


def clean(value: Any, vr: str) -> Any:
    if vr == "PN":
        return {key: group for key, group in value.items() if group} or None
    return None if value == "" else value


def without_nuls(member: dict[str, Any]) -> dict[str, Any]:
    """Difference 6: trailing NULs of text are part of the value (D9); pydicom cuts them."""
    if member["vr"] == "SQ":
        return {
            **member,
            **(
                {"Value": [{key: without_nuls(inner) for key, inner in item.items()} for item in member["Value"]]}
                if "Value" in member
                else {}
            ),
        }
    if "Value" not in member:
        return member
    return {"vr": member["vr"], "Value": [strip_nuls(value) for value in member["Value"]]}


def strip_nuls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: strip_nuls(group) for key, group in value.items()}
    return value.rstrip("\0 ") if isinstance(value, str) else value


def agree(got: dict[str, Any], wanted: dict[str, Any], path: str) -> None:
    assert sorted(got) == sorted(wanted), path
    for key, member in got.items():
        other = wanted[key]
        if "unreadable" in other:
            continue
        assert member["vr"] == other["vr"], f"{path}/{key}"
        if member["vr"] == "SQ":
            assert len(member.get("Value", [])) == len(other.get("Value", [])), f"{path}/{key}"
            for number, (item, other_item) in enumerate(
                zip(member.get("Value", []), other.get("Value", []), strict=True)
            ):
                agree(item, other_item, f"{path}/{key}[{number}]")
        else:
            assert without_nuls(member) == without_nuls(other), f"{path}/{key}"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", file_parameters(sound_files()))
def test_every_element_of_every_real_file_agrees_with_pydicom(path: Path) -> None:
    dataset = scan(path.read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = pydicom.dcmread(path)
        wanted = reference(source)
    got = loads(dumps(dataset_to_json(dataset)))
    agree(got, wanted, path.name)


def test_group_0002_and_dropped_tags_are_left_out() -> None:
    dataset = scan(synthetic_instance())
    dataset.TransferSyntaxUID = "1.2"
    members = dataset_to_json(dataset, frozenset({0x00100010}))
    assert not {"00020010", "00100010"} & set(members)
    assert "00100020" in members


def test_lengths_of_groups_leave_at_every_level() -> None:
    item = Dataset()
    item.add_new(0x00080000, "UL", 12)
    item.TextValue = "kept"
    dataset = scan(synthetic_instance(extra={"ContentSequence": [item]}))
    length = (100).to_bytes(4, "little")
    dataset[0x00080000] = RawDataElement(BaseTag(0x00080000), "UL", 4, length, 0, False, True)
    members = dataset_to_json(dataset)
    assert members["0040A730"]["Value"] == [{"0040A160": {"vr": "UT", "Value": ["kept"]}}]
    assert "00080000" not in members
    assert "00080016" in members


def test_bytes_leave_at_every_level() -> None:
    item = Dataset()
    item.EncryptedContent = b"1234"
    item.TextValue = "kept"
    dataset = scan(synthetic_instance(extra={"ContentSequence": [item], "EncapsulatedDocument": b"1234"}))
    members = dataset_to_json(dataset)
    assert members["0040A730"]["Value"] == [{"0040A160": {"vr": "UT", "Value": ["kept"]}}]
    assert not {"00420011", "7FE00010"} & set(members)


def test_keys_ascend() -> None:
    members = dataset_to_json(scan(synthetic_instance(extra={"AccessionNumber": "1"})))
    assert list(members) == sorted(members)


@pytest.mark.parametrize(
    ("vr", "value", "member"),
    [
        ("DS", b"1.10", {"vr": "DS", "Value": [1.1]}),
        ("DS", b" 5 ", {"vr": "DS", "Value": [5]}),
        ("DS", b"1\\\\2 ", {"vr": "DS", "Value": [1, None, 2]}),
        ("DS", b"0.1234567890123456789012", {"vr": "DS", "Value": ["0.1234567890123456789012"]}),
        ("DS", b"1e999", {"vr": "DS", "Value": ["1e999"]}),
        ("DS", b"1e-999", {"vr": "DS", "Value": ["1e-999"]}),
        ("DS", b"1_0", {"vr": "DS", "Value": ["1_0"]}),
        ("DS", b"NaN ", {"vr": "DS", "Value": ["NaN"]}),
        ("IS", b"+007", {"vr": "IS", "Value": [7]}),
        ("IS", b"12345678901234567890", {"vr": "IS", "Value": ["12345678901234567890"]}),
        ("IS", b"1.5 ", {"vr": "IS", "Value": ["1.5"]}),
        ("CS", b"A\\\\B ", {"vr": "CS", "Value": ["A", None, "B"]}),
        ("LO", b"padded\0\0", {"vr": "LO", "Value": ["padded\0\0"]}),
        ("LO", b"  ", {"vr": "LO"}),
        ("LO", b"\0\0", {"vr": "LO"}),
        ("UI", b"1.2\0", {"vr": "UI", "Value": ["1.2"]}),
        ("UT", b"one\\two", {"vr": "UT", "Value": ["one\\two"]}),
        ("AT", b"\x10\0\x20\0", {"vr": "AT", "Value": ["00100020"]}),
        ("FD", b"\0\0\0\0\0\0\xf8\x7f", {"vr": "FD", "Value": ["NaN"]}),
        ("FL", b"\0\0\x80\x7f\0\0\x80\xff", {"vr": "FL", "Value": ["Infinity", "-Infinity"]}),
        ("US", b"\1\0\2\0", {"vr": "US", "Value": [1, 2]}),
        ("US", b"\1\0\2", None),
        ("UV", b"\xff" * 8, {"vr": "UV", "Value": [2**64 - 1]}),
        ("SQ", b"", {"vr": "SQ"}),
        ("ZZ", b"what", None),
        ("PN", b"Doe^John", {"vr": "PN", "Value": [{"Alphabetic": "Doe^John"}]}),
        ("PN", b"=I=P", {"vr": "PN", "Value": [{"Ideographic": "I", "Phonetic": "P"}]}),
        ("PN", b"A\\", {"vr": "PN", "Value": [{"Alphabetic": "A"}, None]}),
        ("PN", b"==", {"vr": "PN"}),
    ],
)
def test_one_value_in_the_model(vr: str, value: bytes, member: dict[str, Any] | None) -> None:
    got = raw(vr, value)
    assert got == member
    assert loads(dumps(got)) == member


def test_undecodable_text_is_replaced_without_a_warning() -> None:
    assert raw("LO", b"a\xffb", encodings=("utf8",)) == {"vr": "LO", "Value": ["a\ufffdb"]}


def test_an_item_inherits_the_character_set_around_it() -> None:
    item = Dataset()
    item.CodeMeaning = "Größe"
    members = dataset_to_json(scan(synthetic_instance(extra={"ConceptNameCodeSequence": [item]})))
    assert members["0040A043"]["Value"] == [{"00080104": {"vr": "LO", "Value": ["Größe"]}}]


def test_a_data_set_made_by_hand_is_written_too() -> None:
    item = Dataset()
    item.ReferencedSOPInstanceUID = "1.2"
    dataset = Dataset()
    dataset.ReferencedSOPSequence = [item]
    dataset.FailureReason = 272
    dataset.RecommendedDisplayFrameRateInFloat = float("nan")
    assert dataset_to_json(dataset) == {
        "00081197": {"vr": "US", "Value": [272]},
        "00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}}]},
        "00089459": {"vr": "FL", "Value": ["NaN"]},
    }


def test_a_lookup_table_counts_its_entries_without_sign() -> None:
    """PS3.3 §C.7.6.3.1.5: also where the descriptor is of VR SS, whose second value may be negative."""
    assert raw("SS", b"\x00\x80\xff\xff\x10\x00", tag=0x00283002) == {"vr": "SS", "Value": [32768, -1, 16]}
