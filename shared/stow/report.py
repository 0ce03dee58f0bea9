"""The store report (PS3.18 §10.5.3, Annex I.2): outcomes as a DICOM JSON data set, and the status that goes with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from shared.behaviours import StoredItemAttributes, WarnedStoreStatus
from shared.dicom.reasons import error_comment
from shared.stow.outcomes import Outcome

RETRIEVE_URL = "00081190"
REFERENCED_SOP_CLASS_UID = "00081150"
REFERENCED_SOP_INSTANCE_UID = "00081155"
WARNING_REASON = "00081196"
FAILURE_REASON = "00081197"
FAILED_SOP_SEQUENCE = "00081198"
REFERENCED_SOP_SEQUENCE = "00081199"
FAILED_ATTRIBUTES_SEQUENCE = "00741048"
ERROR_COMMENT = "00000902"

_WARNED_STATUS = {WarnedStoreStatus.OK_200: 200, WarnedStoreStatus.ACCEPTED_202: 202}

_Element = dict[str, Any]


def status_of(outcomes: Sequence[Outcome], warned: WarnedStoreStatus) -> int:
    """Status of a store (contract C2.3): 200, 202, 204 or 409.

    Args:
        outcomes: one an entry.
        warned: what the version answers when all is stored and something was odd.
    """
    if not outcomes:
        return 204
    failed = sum(outcome.failure is not None for outcome in outcomes)
    if failed == len(outcomes):
        return 409
    if failed:
        return 202
    return _WARNED_STATUS[warned] if any(outcome.warning is not None for outcome in outcomes) else 200


def dataset_of(
    outcomes: Sequence[Outcome], service_root: str, study_uid: str | None, attributes: StoredItemAttributes
) -> dict[str, _Element]:
    """The report's data set (contract C2.4).

    Args:
        outcomes: one an entry.
        service_root: what URLs in the report begin with.
        study_uid: the study that the request's URL names.
        attributes: whether stored items carry FailedAttributesSequence.
    """
    stored = [outcome for outcome in outcomes if outcome.failure is None]
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    dataset: dict[str, _Element] = {}
    if stored and study_uid is not None:
        dataset[RETRIEVE_URL] = _value("UR", f"{service_root}/studies/{study_uid}")
    if failed:
        dataset[FAILED_SOP_SEQUENCE] = _items(_failed_item(outcome) for outcome in failed)
    if stored:
        dataset[REFERENCED_SOP_SEQUENCE] = _items(_stored_item(one, service_root, attributes) for one in stored)
    return dataset


def warning_header(outcomes: Iterable[Outcome], service_root: str, noticed: frozenset[str] | None) -> str | None:
    """Value of the `Warning` header (contract C2.5): None when no noticed attribute had several values.

    Args:
        outcomes: one an entry.
        service_root: names the host that warns.
        noticed: keywords the version speaks of; None for all that are indexed.
    """
    found = {keyword for outcome in outcomes for keyword in outcome.multiple_valued}
    keywords = sorted(found if noticed is None else found & noticed)
    if not keywords:
        return None
    named = ", ".join(keywords)
    host = urlsplit(service_root).hostname
    return f'299 {host}: "These attributes have several values, of which only the first is indexed: {named}."'


def _stored_item(outcome: Outcome, service_root: str, attributes: StoredItemAttributes) -> dict[str, _Element]:
    identity = outcome.identity
    assert identity is not None, "what is stored has its UIDs"
    url = (
        f"{service_root}/studies/{identity.study_uid}/series/{identity.series_uid}"
        f"/instances/{identity.sop_instance_uid}"
    )
    item = {
        REFERENCED_SOP_CLASS_UID: _value("UI", identity.sop_class_uid),
        REFERENCED_SOP_INSTANCE_UID: _value("UI", identity.sop_instance_uid),
        RETRIEVE_URL: _value("UR", url),
    }
    if outcome.warning is not None:
        item[WARNING_REASON] = _value("US", int(outcome.warning))
    if attributes is StoredItemAttributes.ALWAYS:
        item[FAILED_ATTRIBUTES_SEQUENCE] = _findings(outcome)
    return item


def _failed_item(outcome: Outcome) -> dict[str, _Element]:
    assert outcome.failure is not None, "only failed entries come here"
    item: dict[str, _Element] = {}
    identity = outcome.identity
    if identity is not None and identity.sop_class_uid:
        item[REFERENCED_SOP_CLASS_UID] = _value("UI", identity.sop_class_uid)
    if identity is not None and identity.sop_instance_uid:
        item[REFERENCED_SOP_INSTANCE_UID] = _value("UI", identity.sop_instance_uid)
    item[FAILURE_REASON] = _value("US", int(outcome.failure))
    if outcome.findings:
        item[FAILED_ATTRIBUTES_SEQUENCE] = _findings(outcome)
    return item


def _findings(outcome: Outcome) -> _Element:
    return _items(
        {ERROR_COMMENT: _value("LO", error_comment(finding.tag, finding.text))} for finding in outcome.findings
    )


def _items(items: Iterable[dict[str, _Element]]) -> _Element:
    listed = list(items)
    return {"vr": "SQ", "Value": listed} if listed else {"vr": "SQ"}


def _value(vr: str, value: str | int | None) -> _Element:
    return {"vr": vr, "Value": [value]}
