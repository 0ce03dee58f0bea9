from __future__ import annotations

import pytest

from shared.dicom.uids import follows_standard, normalise_uid, same_uid


@pytest.mark.parametrize("text", ["1", "1.2.840.10008", "1.2 ", "1.2\0", "1.02.3", ".1", "1..2", "1" * 64])
def test_digits_and_dots_with_a_digit_at_the_end_are_a_uid(text: str) -> None:
    assert normalise_uid(text) == text.rstrip(" \0")


@pytest.mark.parametrize("text", ["", " ", "1.", "1.2a", " 1.2", "1-2", "1" * 65, "1.2\n", "١.٢", "1\\2"])
def test_anything_else_is_none(text: str) -> None:
    assert normalise_uid(text) is None


def test_padding_does_not_make_another_uid() -> None:
    assert same_uid("1.2 ", "1.2\0")
    assert not same_uid("1.2", "1.2.3")


@pytest.mark.parametrize(("uid", "follows"), [("1.0.2", True), ("1.02", False), ("1..2", False), ("1" * 65, False)])
def test_the_standard_forbids_leading_zeros(uid: str, follows: bool) -> None:
    assert follows_standard(uid) is follows
