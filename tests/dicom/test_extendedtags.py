"""Values of extended query tags as metadata has them: folded, refused, or not there."""

from __future__ import annotations

import pytest

from shared.dicom.attributes import Level
from shared.dicom.extendedtags import ExtendedTag, filled, fold_value, values_of


def tag(vr: str, creator: str = "") -> ExtendedTag:
    return ExtendedTag(0x00091001 if creator else 0x00200010, vr, Level.STUDY, 1, 0, creator)


@pytest.mark.parametrize(
    ("vr", "value", "folded"),
    [
        ("SH", " A B \0", " a b"), ("CS", "HEAD", "head"), ("IS", "007", "7"), ("IS", -7, "-7"), ("US", 65535, "65535"),
        ("FD", 1, "1.0"), ("FD", -0.0, "0.0"), ("FL", 0.10000000149011612, "0.10000000149011612"),
        ("DA", "20240229", "20240229"), ("TM", "12", "120000.000000"), ("TM", "120000.5", "120000.500000"),
        ("DT", "2024", "20240101000000.000000"), ("DT", "202402291200-0500", "20240229120000.000000"),
        ("PN", {"Alphabetic": "M\u00fcller^A", "Phonetic": "x"}, "muller^a==x"), ("UI", "1.2.3\0", "1.2.3"),
    ],
)  # fmt: skip
def test_values_are_folded_by_their_vr(vr, value, folded):
    (found,), faults = values_of({"00200010": {"vr": vr, "Value": [value, "another"]}}, [tag(vr)])
    assert (found.folded, faults) == (folded, ())
    assert found.element == {"vr": vr, "Value": [value]}


@pytest.mark.parametrize(
    "element",
    [
        None,
        {"vr": "SH"},
        {"vr": "SH", "Value": []},
        {"vr": "SH", "Value": [None, "x"]},
        {"vr": "SH", "Value": ["  \0"]},
    ],
)
def test_what_is_absent_or_empty_is_neither_a_value_nor_a_fault(element):
    metadata = {} if element is None else {"00200010": element}
    assert values_of(metadata, [tag("SH")]) == ((), ())


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("DA", "20240230"),
        ("TM", "25"),
        ("DT", "24"),
        ("IS", "1.5"),
        ("IS", 2**31),
        ("SH", "x" * 17),
        ("AS", "1Y"),
        ("UI", "1.a"),
    ],
)
def test_what_breaks_a_minimum_rule_is_a_fault_that_does_not_repeat_it(vr, value):
    values, (fault,) = values_of({"00200010": {"vr": vr, "Value": [value]}}, [tag(vr)])
    assert values == ()
    assert str(value) not in fault.text


def test_another_vr_than_the_tag_has_is_a_fault_also_without_a_value():
    assert [fault.text for fault in values_of({"00200010": {"vr": "LO"}}, [tag("SH")])[1]] == ["The VR is not SH."]


def test_numbers_that_equal_nothing_are_not_indexed():
    for value in ("NaN", "Infinity"):
        assert values_of({"00200010": {"vr": "FD", "Value": [value]}}, [tag("FD")]) == ((), ())
    assert fold_value("FL", "1e99") == ""


def test_a_private_attribute_is_looked_for_in_the_block_of_its_creator():
    def metadata(block: str, creator: str) -> dict[str, object]:
        return {f"000900{block}": {"vr": "LO", "Value": [creator]}, f"0009{block}01": {"vr": "SH", "Value": ["mine"]}}

    wanted = tag("SH", "ACME")
    for block in ("10", "11", "FF"):
        assert len(values_of(metadata(block, "ACME "), [wanted])[0]) == 1
        assert values_of(metadata(block, "OTHER"), [wanted]) == ((), ())
    assert values_of({"00091001": {"vr": "SH", "Value": ["orphan"]}}, [wanted]) == ((), ())


def test_an_end_that_is_less_precise_stands_for_all_of_it():
    assert filled("DT", "2024", latest=True) == "20241231235959.999999"
    assert filled("TM", "12", latest=True) == "125959.999999"
    assert filled("TM", "120000.5", latest=True) == "120000.599999"
