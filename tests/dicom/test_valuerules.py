"""PS3.5 table 6.2-1 and the minimum rules, value by value."""

from __future__ import annotations

import pytest

from shared.dicom.elements import ALL_VRS, BULK_VRS
from shared.dicom.valuerules import FULL_RULES, MINIMUM_RULES, VALUE_BYTES

VALID = {
    "AE": ["STORE SCP", "A" * 16],
    "AS": ["018M", "120Y"],
    "CS": ["ISO_IR 100", "A" * 16],
    "DA": ["20240229"],
    "DS": ["1", "-1.5E-3", "+.5", "5.", " 1 ", "1234567890.12345"],
    "DT": ["2024", "202402", "20240229", "2024022923", "20240229235960.123456+0100", "2024-0500"],
    "IS": ["0", "-2147483648", "+2147483647", " 5 "],
    "LO": ["x" * 64, "Größe", "esc \x1b(B"],
    "LT": ["line\r\nline\t\f", "x" * 10240],
    "PN": ["Doe^John^Q^Dr^Jr=山田=やまだ", "x" * 64],
    "SH": ["x" * 16],
    "ST": ["x" * 1024],
    "TM": ["23", "2359", "235960", "235959.1"],
    "UC": ["x" * 70_000],
    "UI": ["1.2.840.0", "1" * 64],
    "UR": ["https://example.org/a?b=c%20d"],
    "UT": ["x" * 70_000 + "\n"],
}
INVALID = {
    "AE": ["A" * 17, "tab\t", "Ä"],
    "AS": ["18M", "018X", "0180", "22Y"],
    "CS": ["lower", "A-B", "A" * 17, "Ä"],
    "DA": ["20230229", "2024.02.29", "20241301", "2024022", "20240101-", "２０２４０２２９"],
    "DS": ["", "1,5", "nan", "1e", "1" * 17, "1_0", "0x1"],
    "DT": ["20240230", "202413", "2024022925", "20240229+2500", "now", "20240229235959.1234567"],
    "IS": ["1.0", "2147483648", "-2147483649", "1e3", "1_0", "0" * 13],
    "LO": ["x" * 65, "a\nb", "\0"],
    "LT": ["x" * 10241, "\x07"],
    "PN": ["a=b=c=d", "x" * 65, "a^b^c^d^e^f", "a\tb"],
    "SH": ["x" * 17, "a\rb"],
    "ST": ["x" * 1025, "\0"],
    "TM": ["24", "2360", "23:59:00", "235959.", "235961", "1"],
    "UC": ["a\nb"],
    "UI": ["1.02", "1..2", "1.", ".1", "1" * 65, "1.a", "1 .2"],
    "UR": ["a b", "<x>"],
    "UT": ["\x00"],
}


def cases(table: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(vr, value) for vr, values in table.items() for value in values]


def test_every_vr_has_rules() -> None:
    assert set(FULL_RULES) | set(VALUE_BYTES) | BULK_VRS | {"SQ"} == ALL_VRS
    assert set(VALID) == set(INVALID) == set(FULL_RULES)


@pytest.mark.parametrize(("vr", "value"), cases(VALID))
def test_a_valid_value_passes(vr: str, value: str) -> None:
    assert FULL_RULES[vr](value) is None


@pytest.mark.parametrize(("vr", "value"), cases(INVALID))
def test_an_invalid_value_is_found_and_not_repeated(vr: str, value: str) -> None:
    text = FULL_RULES[vr](value)
    assert text
    assert len(value) < 3 or value not in text


@pytest.mark.parametrize(
    ("vr", "value"),
    [("CS", "lower case"), ("AE", "Ä"), ("SH", "a\nb"), ("UI", "1.02"), ("AS", "abcd"), ("LO", "Größe")],
)
def test_the_minimum_is_less_than_the_full_rule(vr: str, value: str) -> None:
    assert MINIMUM_RULES[vr](value) is None


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("CS", "A" * 17),
        ("SH", "x" * 17),
        ("UI", "1.a"),
        ("AS", "18M"),
        ("LO", "a\tb"),
        ("DA", "20230229"),
        ("PN", "===="),
    ],
)
def test_the_minimum_is_asked_for(vr: str, value: str) -> None:
    assert MINIMUM_RULES[vr](value)
