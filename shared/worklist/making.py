"""A data set that a client sent → a workitem as it is to be, its rules checked (contract C7.2 to C7.6, appendix 2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword

from shared.dicom import workitemrules as rules
from shared.dicom.extendedtags import text_of
from shared.dicom.uids import normalise_uid, same_uid
from shared.dicom.workitemchecks import faults, has_value, items_of
from shared.dicom.workitemkeys import STATE, TRANSACTION_UID, value_faults
from shared.dicom.workitemstates import State
from shared.errors import InvalidRequest
from shared.wire.dicomjson import Json

UPS_PUSH = "1.2.840.10008.5.1.4.34.6.1"
"""Unified Procedure Step - Push SOP Class."""
WORKLIST_LABEL = "worklist"

_MOST_FAULTS = 10
_FINAL_RULES = {State.COMPLETED: rules.COMPLETED, State.CANCELED: rules.CANCELED}
_REQUESTED = (State.IN_PROGRESS, State.COMPLETED, State.CANCELED)


def new_workitem(sent: Json, given_uid: str) -> tuple[str, Json]:
    """The UID and the data set of a workitem that is to be made.

    Args:
        sent: what the client sent.
        given_uid: of the query; empty for none.

    Raises:
        InvalidRequest: there is no UID, there are two, or a rule is broken.
    """
    uid = _uid_of(sent, given_uid)
    dataset = {
        **sent,
        **_element("SOPClassUID", UPS_PUSH),
        **_element("SOPInstanceUID", uid),
        **_element("WorklistLabel", WORKLIST_LABEL),
        **_element("ProcedureStepState", State.SCHEDULED.value),
        **_modified_now(),
    }
    _check((*faults(dataset, rules.CREATE), *value_faults(dataset)))
    return uid, without_key(dataset)


def updated(stored: Mapping[str, Any], sent: Json) -> Json:
    """A workitem's data set after an update; attributes that were sent take the place of those that are there.

    Raises:
        InvalidRequest: a rule is broken.
    """
    changes = {**sent, **_modified_now()}
    _check((*faults(changes, rules.UPDATE), *value_faults(changes)))
    return without_key({**stored, **changes})


def state_request(sent: Json) -> tuple[State, str]:
    """The state and the Transaction UID that a request for a change of state names.

    Raises:
        InvalidRequest: one of them is not there or makes no sense.
    """
    transaction_uid = normalise_uid(text_of(sent.get(f"{TRANSACTION_UID:08X}", {})))
    if not transaction_uid:
        raise InvalidRequest("TransactionUID (0008,1195): must be a UID.")
    word = text_of(sent.get(f"{STATE:08X}", {}))
    if word not in _REQUESTED:
        raise InvalidRequest("ProcedureStepState (0074,1000): must be IN PROGRESS, COMPLETED or CANCELED (C303).")
    return State(word), transaction_uid


def in_state(stored: Mapping[str, Any], state: State) -> Json:
    """A workitem's data set in another state."""
    return {**stored, **_element("ProcedureStepState", state.value), **_modified_now()}


def check_final(dataset: Mapping[str, Any], state: State) -> None:
    """Return when a workitem has what its final state needs (contract A2.3).

    Raises:
        InvalidRequest: something is missing.
    """
    _check(faults(dataset, _FINAL_RULES[state]))


def canceled(stored: Mapping[str, Any], sent: Json) -> Json:
    """A scheduled workitem's data set once its cancellation was requested: the request fills in why (contract C7.6).

    Raises:
        InvalidRequest: the request breaks a rule.
    """
    _check(faults({key: sent[key] for key in sent.keys() & _REASON_KEYS}, _REASON_RULES))
    progress = dict(next(iter(items_of(stored.get(_PROGRESS))), {}))
    progress |= _element("ProcedureStepCancellationDateTime", _now())
    progress |= {key: sent[key] for key in _REASON_KEYS if has_value(sent.get(key))}
    progress.setdefault(_DISCONTINUATION, _UNSPECIFIED)
    contact = {key: sent[key] for key in _CONTACT_KEYS if has_value(sent.get(key))}
    if contact:
        progress[_COMMUNICATIONS] = {"vr": "SQ", "Value": [contact]}
    return {**in_state(stored, State.CANCELED), _PROGRESS: {"vr": "SQ", "Value": [dict(sorted(progress.items()))]}}


def without_key(dataset: Mapping[str, Any]) -> Json:
    """A data set as it is kept: in the order of tags, and without the Transaction UID, in items as well."""
    kept: Json = {}
    for key, element in sorted(dataset.items()):
        if key == f"{TRANSACTION_UID:08X}":
            continue
        if element["vr"] == "SQ" and element.get("Value"):
            kept[key] = {"vr": "SQ", "Value": [without_key(item) for item in element["Value"]]}
        else:
            kept[key] = element
    return kept


def _key(keyword: str) -> str:
    return f"{tag_for_keyword(keyword):08X}"


_PROGRESS = _key("ProcedureStepProgressInformationSequence")
_DISCONTINUATION = _key("ProcedureStepDiscontinuationReasonCodeSequence")
_COMMUNICATIONS = _key("ProcedureStepCommunicationsURISequence")
_CONTACT_KEYS = (_key("ContactURI"), _key("ContactDisplayName"))
_REASON_KEYS = (_key("ReasonForCancellation"), _DISCONTINUATION)
_REASON_RULES = tuple(rule for one in rules.UPDATE if f"{one.tag:08X}" == _PROGRESS for rule in one.items)


def _element(keyword: str, value: str) -> Json:
    return {_key(keyword): {"vr": dictionary_VR(keyword), "Value": [value]}}


# PS3.16 CID 9300; what a client says instead is kept.
_UNSPECIFIED: dict[str, Any] = {
    "vr": "SQ",
    "Value": [
        {
            **_element("CodeValue", "110513"),
            **_element("CodingSchemeDesignator", "DCM"),
            **_element("CodeMeaning", "Discontinued for unspecified reason"),
        }
    ],
}


def _now() -> str:
    return f"{datetime.now(UTC):%Y%m%d%H%M%S.%f}+0000"


def _modified_now() -> Json:
    return _element("ScheduledProcedureStepModificationDateTime", _now())


def _uid_of(sent: Json, given_uid: str) -> str:
    said = text_of(sent.get(_key("SOPInstanceUID"), {}))
    if not said.strip(" \0"):
        if not given_uid:
            raise InvalidRequest("The UID of the workitem is neither in the query nor in SOPInstanceUID (0008,0018).")
        return given_uid
    uid = normalise_uid(said)
    if uid is None:
        raise InvalidRequest("SOPInstanceUID (0008,0018): must be a UID.")
    if given_uid and not same_uid(uid, given_uid):
        raise InvalidRequest("SOPInstanceUID (0008,0018): is another UID than the one in the query.")
    return uid


def _check(found: Iterable[str]) -> None:
    """Raise with the first faults, if there are any."""
    listed = list(islice(found, _MOST_FAULTS + 1))
    if listed:
        more = " And more." if len(listed) > _MOST_FAULTS else ""
        raise InvalidRequest(f"{'; '.join(one.rstrip('.') for one in listed[:_MOST_FAULTS])}.{more}")
