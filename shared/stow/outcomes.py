"""What became of one entry of a store request."""

from __future__ import annotations

from dataclasses import dataclass

from shared.dicom.reasons import FailureReason, WarningReason
from shared.dicom.validation import Finding, Identity


@dataclass(frozen=True, slots=True)
class Outcome:
    """One entry's fate. It says what happened; each API version shows it in its own way.

    Attributes:
        identity: its UIDs, as far as they could be read.
        failure: why it was not stored; None when it was.
        warning: what was odd about it although it was stored.
        findings: attributes that break a rule.
        multiple_valued: keywords of indexed attributes of which only the first value can be searched.
    """

    identity: Identity | None = None
    failure: FailureReason | None = None
    warning: WarningReason | None = None
    findings: tuple[Finding, ...] = ()
    multiple_valued: tuple[str, ...] = ()
