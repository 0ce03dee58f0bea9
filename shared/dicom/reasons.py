"""Reason codes of a store and the comment that names an attribute (PS3.18 §I.2.2, contract C2.7)."""

from __future__ import annotations

from enum import IntEnum


class FailureReason(IntEnum):
    """Why an instance was not stored: FailureReason (0008,1197)."""

    PROCESSING_FAILURE = 272
    """Something went wrong that the sender can do nothing about."""

    VALIDATION_FAILURE = 43264
    """The data set breaks a rule, or belongs to another study than the one in the URL."""

    ALREADY_EXISTS = 45070
    """The same study, series and instance is stored already."""

    PENDING = 45071
    """The same instance is being stored right now, or an earlier store of it was left unfinished."""


class WarningReason(IntEnum):
    """What was odd about an instance that was stored: WarningReason (0008,1196)."""

    INVALID_ATTRIBUTES = 1
    """Values break the rules of their VR; they are in the file but not in metadata and search."""

    SOP_CLASS_MISMATCH = 45063
    """The data set does not fit its SOP class; said of data sets in implicit VR."""


def error_comment(tag: int, text: str) -> str:
    """The value of ErrorComment (0000,0902) for a finding about one attribute."""
    return f"DICOM100: ({tag >> 16:04x},{tag & 0xFFFF:04x}) - {text}"
