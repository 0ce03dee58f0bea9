"""Conduct that differs between API versions: one enum per key of a manifest's `behaviours`, one record of them all.

A member's value is the word the manifest writes. Exactly one place in the house reads each key, and picks from a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class PatientIdRule(Enum):
    """What a store asks of PatientID (0010,0020)."""

    MUST_HAVE_A_VALUE = "must_have_a_value"
    MUST_BE_PRESENT = "must_be_present"


class InvalidSearchableValue(Enum):
    """What a store does with an invalid value of an attribute that is indexed for search."""

    FAIL_INSTANCE = "fail_instance"
    WARN = "warn"


class InvalidOtherValue(Enum):
    """What a store does with an invalid value of any other attribute."""

    IGNORE = "ignore"
    WARN = "warn"


class NulPadding(Enum):
    """How trailing NUL characters of a text value are seen by validation."""

    INVALID = "invalid"
    TRIMMED = "trimmed"


class MultipleValueNotice(Enum):
    """For which multi-valued indexed attributes a store adds a `Warning` header."""

    ANY_SEARCHABLE = "any_searchable"
    PATIENT_ID_ONLY = "patient_id_only"


class WarnedStoreStatus(Enum):
    """The status of a store in which everything was stored, something with a WarningReason."""

    OK_200 = "ok_200"
    ACCEPTED_202 = "accepted_202"


class StoredItemAttributes(Enum):
    """Whether stored items of a store report carry FailedAttributesSequence (0074,1048)."""

    NEVER = "never"
    ALWAYS = "always"


class SearchReturnSet(Enum):
    """Which attributes a search gives by default."""

    FULL = "full"
    LEAN = "lean"


class FinishedOperationWord(Enum):
    """The status of an operation that has succeeded."""

    COMPLETED = "completed"
    SUCCEEDED = "succeeded"


@dataclass(frozen=True, slots=True)
class Behaviours:
    """All behaviour words of one version. Handlers pass single values down, never this record."""

    patient_id: PatientIdRule
    invalid_searchable_value: InvalidSearchableValue
    invalid_other_value: InvalidOtherValue
    nul_padding: NulPadding
    multiple_value_notice: MultipleValueNotice
    warned_store_status: WarnedStoreStatus
    stored_item_attributes: StoredItemAttributes
    search_return_set: SearchReturnSet
    finished_operation_word: FinishedOperationWord
