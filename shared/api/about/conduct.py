"""What each behaviour word means to a client, in one sentence. A word without a sentence fails the tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import Enum

from shared.behaviours import (
    Behaviours,
    FinishedOperationWord,
    InvalidOtherValue,
    InvalidSearchableValue,
    MultipleValueNotice,
    NulPadding,
    PatientIdRule,
    SearchReturnSet,
    StoredItemAttributes,
    WarnedStoreStatus,
)

TOPICS: Mapping[str, str] = {
    "patient_id": "Store: PatientID (0010,0020)",
    "invalid_searchable_value": "Store: invalid value of a searchable attribute",
    "invalid_other_value": "Store: invalid value of another attribute",
    "nul_padding": "Store: values padded with NUL",
    "multiple_value_notice": "Store: several values where one is indexed",
    "warned_store_status": "Store: status when all is stored, something with a warning",
    "stored_item_attributes": "Store: FailedAttributesSequence (0074,1048) of stored items",
    "search_return_set": "Search: attributes given by default",
    "finished_operation_word": "Operations: status of one that has succeeded",
}

SENTENCES: Mapping[Enum, str] = {
    PatientIdRule.MUST_HAVE_A_VALUE: "An instance without a value of PatientID is not stored.",
    PatientIdRule.MUST_BE_PRESENT: (
        "An instance without the attribute is not stored; one in which it has no value is stored with a warning."
    ),
    InvalidSearchableValue.FAIL_INSTANCE: "The instance is not stored.",
    InvalidSearchableValue.WARN: (
        "The instance is stored with a warning; the attribute is left out of its metadata and of the search index."
    ),
    InvalidOtherValue.IGNORE: "The value is not looked at.",
    InvalidOtherValue.WARN: (
        "The instance is stored with a warning; an attribute of the top level is left out of its metadata."
    ),
    NulPadding.INVALID: "Trailing NUL characters make the value of a searchable attribute invalid.",
    NulPadding.TRIMMED: "Trailing NUL characters are no part of a value when it is checked.",
    MultipleValueNotice.ANY_SEARCHABLE: (
        "A `Warning` header names each searchable attribute of which only the first value was indexed."
    ),
    MultipleValueNotice.PATIENT_ID_ONLY: "A `Warning` header says so of PatientID alone.",
    WarnedStoreStatus.OK_200: "The status is 200, as without a warning.",
    WarnedStoreStatus.ACCEPTED_202: "The status is 202.",
    StoredItemAttributes.NEVER: "Items of stored instances never have it.",
    StoredItemAttributes.ALWAYS: "Items of stored instances always have it; it is empty when nothing was wrong.",
    SearchReturnSet.FULL: "Matches carry the long set of attributes.",
    SearchReturnSet.LEAN: "Matches carry the attributes that the index has, and no others.",
    FinishedOperationWord.COMPLETED: "An operation that has succeeded is `completed`.",
    FinishedOperationWord.SUCCEEDED: "An operation that has succeeded is `succeeded`.",
}


@dataclass(frozen=True, slots=True)
class Conduct:
    """One behaviour of a version.

    Attributes:
        key: as the version's file has it.
        topic: what it is about.
        word: of this version.
        sentence: what the word means.
    """

    key: str
    topic: str
    word: str
    sentence: str


def of(behaviours: Behaviours) -> Iterator[Conduct]:
    """All behaviours of a version."""
    for field in fields(behaviours):
        chosen: Enum = getattr(behaviours, field.name)
        yield Conduct(field.name, TOPICS[field.name], str(chosen.value), SENTENCES[chosen])
