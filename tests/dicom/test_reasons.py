from __future__ import annotations

from shared.dicom.reasons import FailureReason, WarningReason, error_comment


def test_codes_are_those_that_clients_know() -> None:
    """Contract C2.7."""
    assert [int(reason) for reason in FailureReason] == [272, 43264, 45070, 45071]
    assert [int(reason) for reason in WarningReason] == [1, 45063]


def test_a_comment_names_the_tag_in_lower_case() -> None:
    assert error_comment(0x0008103E, "Too long.") == "DICOM100: (0008,103e) - Too long."
