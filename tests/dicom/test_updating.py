"""A file's new begin: together with what follows it in the old file, it is the file with other values."""

from __future__ import annotations

import contextlib
import warnings
from io import BytesIO
from typing import Any

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from shared.dicom.elements import DEFLATED_EXPLICIT_LITTLE
from shared.dicom.part10 import NotDicom, Part10Scanner, read_dataset
from shared.dicom.updating import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    CannotUpdate,
    Change,
    FileBegin,
    MoreNeeded,
    new_begin,
    new_deflated,
)
from shared.wire.dicomjson import dataset_to_json
from tests.support.files import file_parameters, sound_files, synthetic_instance

NAME, PATIENT, COMMENTS = 0x00100010, 0x00100020, 0x00104000
ANNA = Change(NAME, "PN", "Neu^Anna")
STEPS = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)


def scan(content: bytes):
    scanner = Part10Scanner()
    scanner.feed(content)
    return scanner.finish()


def metadata(content: bytes) -> dict[str, Any]:
    return dataset_to_json(read_dataset(scan(content)))


def updated(content: bytes, *changes: Change, step: int = 1 << 30) -> bytes:
    """The whole new file; what is read of the old one grows by `step`."""
    scanned = scan(content)
    if scanned.transfer_syntax == DEFLATED_EXPLICIT_LITTLE:
        new = new_deflated(content, changes)
        return new.content + content[new.replaced_bytes :]
    pixels = scanned.pixels
    start = len(content) if pixels is None else pixels.offset_bytes
    stop = len(content) if pixels is None else start + pixels.length_bytes + 8 * pixels.encapsulated
    known = {change.tag for change in changes if f"{change.tag:08X}" in metadata(content)}
    trailer = None
    size = min(step, start)
    while True:
        begin = FileBegin(content[:size], size == start, trailer, scanned.transfer_syntax)
        try:
            new = new_begin(begin, changes, known)
        except MoreNeeded as more:
            size = start if more.everything else min(size + step, start)
            trailer = content[stop:] if more.everything else None
            continue
        return new.content + content[new.replaced_bytes :]


@pytest.mark.parametrize("path", file_parameters(sound_files()))
def test_every_real_file_keeps_all_but_the_change(path):
    content = path.read_bytes()
    try:
        before = metadata(content)
    except NotDicom:
        pytest.skip("not a file that is stored")
    new = updated(content, ANNA, Change(0x00081030, "LO", "Another study"))
    after = metadata(new)
    want = {
        **before,
        "00081030": {"vr": "LO", "Value": ["Another study"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Neu^Anna"}]},
    }
    for key in ("00080000", "00080001", "00100000"):
        want.pop(key, None)
    assert after == dict(sorted(want.items()))
    old_pixels, new_pixels = scan(content).pixels, scan(new).pixels
    assert (old_pixels is None) == (new_pixels is None)
    if old_pixels is not None and old_pixels.offset_bytes is not None:
        old_end, new_end = (one.offset_bytes + one.length_bytes for one in (old_pixels, new_pixels))
        assert content[old_pixels.offset_bytes : old_end] == new[new_pixels.offset_bytes : new_end]
        assert content[old_end:] == new[new_end:]


@pytest.mark.parametrize("syntax", [*STEPS, DeflatedExplicitVRLittleEndian])
def test_pydicom_reads_the_new_file_whatever_its_encoding(syntax):
    content = synthetic_instance(transfer_syntax=syntax, extra={"PatientComments": "old", "BodyPartExamined": "LEG"})
    new = updated(content, ANNA, Change(COMMENTS, "LT", "line\r\nline"), Change(0x00101000, "LO", "A\\B"), step=100)
    dataset = pydicom.dcmread(BytesIO(new))
    assert (dataset.PatientName, dataset.OtherPatientIDs) == ("Neu^Anna", ["A", "B"])
    assert (dataset.PatientComments, dataset.BodyPartExamined) == ("line\r\nline", "LEG")
    assert dataset.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert dataset.file_meta.ImplementationVersionName == IMPLEMENTATION_VERSION_NAME
    assert dataset.file_meta.TransferSyntaxUID == syntax
    assert dataset.PixelData == pydicom.dcmread(BytesIO(content)).PixelData
    assert len(new) % 2 == 0


def test_the_group_length_of_the_file_meta_information_is_right():
    new = updated(synthetic_instance(), ANNA)
    dataset = pydicom.dcmread(BytesIO(new))
    length = dataset.file_meta.FileMetaInformationGroupLength
    assert new[144 + length : 144 + length + 4] == b"\x08\x00\x05\x00"


@pytest.mark.parametrize("step", [50, 137, 400])
def test_how_much_is_read_at_a_time_makes_no_difference(step):
    content = synthetic_instance()
    assert updated(content, ANNA, step=step) == updated(content, ANNA)


def test_what_follows_the_last_changed_attribute_is_not_needed():
    content = synthetic_instance(extra={"PatientComments": "x" * 5000, "ImageComments": "y" * 5000})
    begin = FileBegin(content[:2000], False, None, ExplicitVRLittleEndian)
    new = new_begin(begin, [ANNA], {NAME})
    assert new.replaced_bytes < 2000
    with pytest.raises(MoreNeeded) as more:
        new_begin(begin, [Change(COMMENTS, "LT", "z")], {COMMENTS})
    assert not more.value.everything


@pytest.mark.parametrize(
    ("character_set", "name", "kept"),
    [
        ("ISO_IR 100", "Müller^Jörg", True),
        ("ISO_IR 100", "Иванов^Пётр", False),
        ("ISO_IR 144", "Люкceмбypг", True),
        ("ISO_IR 192", "山田^太郎", True),
        (None, "Müller^Jörg", False),
        (None, "Plain^Name", True),
        ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ", True),
        ("ISO_IR 13", "山田^太郎", False),
        ("GB18030", "王^小东", True),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동", True),
        (["", "ISO 2022 IR 100"], "Müller^Jörg", True),
        (["", "ISO 2022 IR 87"], "Иван=山田^太郎", True),
        (["", "ISO 2022 IR 100"], "山田^太郎", False),
    ],
)
@pytest.mark.parametrize("syntax", STEPS)
def test_a_name_is_said_in_the_files_character_set_or_all_texts_go_to_utf_8(character_set, name, kept, syntax):
    extra = {"SpecificCharacterSet": character_set, "InstitutionName": "Plain"}
    content = synthetic_instance(patient_name="Old^Name", transfer_syntax=syntax, extra=extra)
    new = updated(content, Change(NAME, "PN", name), step=300)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = pydicom.dcmread(BytesIO(new))
        dataset.decode()
    assert str(dataset.PatientName) == name
    assert (dataset.get("SpecificCharacterSet") == (character_set if kept else "ISO_IR 192")) or (
        kept and not character_set
    )
    groups = metadata(new)["00100010"]["Value"][0]
    assert "=".join(groups.get(key, "") for key in ("Alphabetic", "Ideographic", "Phonetic")).rstrip("=") == name


def nested(syntax: str, **extra) -> bytes:
    inner = pydicom.Dataset()
    inner.CodeMeaning = "Größe"
    own = pydicom.Dataset()
    own.SpecificCharacterSet = "ISO_IR 144"
    own.CodeMeaning = "Размер"
    outer = pydicom.Dataset()
    outer.InstitutionName = "Universität"
    outer.ConceptNameCodeSequence = [inner, own]
    outer.is_undefined_length_sequence_item = True
    more = {"SpecificCharacterSet": "ISO_IR 100", "InstitutionName": "Köln", "RequestAttributesSequence": [outer]}
    return synthetic_instance(transfer_syntax=syntax, extra={**more, **extra})


@pytest.mark.parametrize("syntax", [*STEPS, DeflatedExplicitVRLittleEndian])
def test_texts_in_sequences_go_to_utf_8_and_items_with_a_set_of_their_own_stay(syntax):
    new = updated(nested(syntax), Change(NAME, "PN", "山田^太郎"))
    dataset = pydicom.dcmread(BytesIO(new))
    dataset.decode()
    assert dataset.InstitutionName == "Köln"
    (outer,) = dataset.RequestAttributesSequence
    assert outer.InstitutionName == "Universität"
    inner, own = outer.ConceptNameCodeSequence
    assert (inner.CodeMeaning, own.CodeMeaning) == ("Größe", "Размер")
    assert own.SpecificCharacterSet == "ISO_IR 144"
    assert len(new) % 2 == 0


def test_a_text_behind_the_pixel_data_keeps_a_file_from_being_updated_only_if_it_would_change():
    behind = {"DataSetTrailingPadding": bytes(10)}
    content = nested(ExplicitVRLittleEndian, **behind)
    assert metadata(updated(content, Change(NAME, "PN", "山田")))["00100010"]
    text = content + b"\xfe\x7f\x10\x00LO\x04\x00ABCD" + b"\xfe\x7f\x10\x10LO\x02\x00\xfcb"
    assert metadata(updated(text, ANNA))
    with pytest.raises(CannotUpdate, match="behind its pixel data"):
        updated(text, Change(NAME, "PN", "山田"))


def test_an_attribute_out_of_order_is_replaced_where_it_is():
    content = synthetic_instance(patient_id="LATE")
    element = b"\x10\x00\x20\x00LO\x04\x00LATE"
    assert content.count(element) == 1
    at = content.index(b"\x28\x00\x10\x00US")
    moved = content.replace(element, b"")
    moved = moved[: at - len(element)] + element + moved[at - len(element) :]
    new = updated(moved, Change(PATIENT, "LO", "EARLY"), step=100)
    assert metadata(new)["00100020"]["Value"] == ["EARLY"]
    assert b"LATE" not in new


def test_group_lengths_of_changed_groups_go():
    content = synthetic_instance()
    at = content.index(b"\x10\x00\x10\x00PN")
    with_length = content[:at] + b"\x10\x00\x00\x00UL\x04\x00\x20\x00\x00\x00" + content[at:]
    length = (0x0010, 0x0000)
    assert length in pydicom.dcmread(BytesIO(with_length))
    assert length not in pydicom.dcmread(BytesIO(updated(with_length, ANNA)))
    assert length in pydicom.dcmread(BytesIO(updated(with_length, Change(0x00081030, "LO", "S"))))


def test_an_update_of_an_update_is_an_update():
    content = synthetic_instance()
    once = updated(content, Change(NAME, "PN", "First^Name"), Change(COMMENTS, "LT", "long " * 100))
    twice = updated(once, ANNA)
    assert metadata(twice) == {**metadata(once), "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Neu^Anna"}]}}


SOUND = synthetic_instance(study_uid="1.2.3", series_uid="1.2.4", sop_instance_uid="1.2.5")


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(132, 700), st.integers(0, 255)), min_size=1, max_size=4),
    st.integers(100, len(SOUND)),
    st.booleans(),
    st.sampled_from(["a", "山"]),
)
def test_a_broken_begin_is_refused_and_nothing_else_happens(faults, cut, complete, comment):
    content = bytearray(SOUND)
    for place, byte in faults:
        content[place] = byte
    begin = FileBegin(bytes(content[:cut]), complete, b"", ExplicitVRLittleEndian)
    with contextlib.suppress(CannotUpdate, MoreNeeded):
        new = new_begin(begin, [ANNA, Change(COMMENTS, "LT", comment)], ())
        assert new.replaced_bytes <= cut
