from __future__ import annotations

import pytest

from shared.dicom.matching import fold, name_words


@pytest.mark.parametrize(
    ("vr", "one", "other"),
    [
        ("LO", "Head CT", "HEAD ct  "),
        ("SH", "acc-1", "ACC-1\0"),
        ("CS", "MR", "mr"),
        ("UI", "1.2.3", "1.2.3\0"),
        ("DA", "20240229", "20240229 "),
        ("PN", "Müller^Jürgen", "MULLER^jurgen "),
        ("PN", "Ångström^Ö", "angstrom^o"),
        ("PN", "İpek", "ipek"),
        ("LO", "e\u0301", "\u00e9"),
    ],
)
def test_values_that_match_have_equal_folds(vr: str, one: str, other: str) -> None:
    assert fold(vr, one) == fold(vr, other)


@pytest.mark.parametrize(
    ("vr", "one", "other"),
    [
        ("LO", "Müller", "Muller"),
        ("LO", "a*", "ab"),
        ("PN", "Doe^John", "Doe John"),
        ("PN", "が", "か"),
        ("LO", " a", "a"),
    ],
)
def test_values_that_differ_have_different_folds(vr: str, one: str, other: str) -> None:
    assert fold(vr, one) != fold(vr, other)


def test_words_of_a_name() -> None:
    assert name_words("Doe^John  Henry=山田^太郎=") == ("doe", "john", "henry", "山田", "太郎")
    assert name_words("^^") == ()
