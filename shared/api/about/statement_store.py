"""The conformance statement's part on storing: what is checked, what is answered, and which codes say why."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from shared.api.about import conduct
from shared.api.about.prose import Line, Paragraph, Section, Table
from shared.api.about.statement import Subject, attribute, parameter_table
from shared.behaviours import Behaviours, InvalidOtherValue, InvalidSearchableValue, PatientIdRule
from shared.dicom.attributes import INDEXED
from shared.dicom.reasons import FailureReason, WarningReason
from shared.dicom.validation import IDENTIFYING_TAGS, PATIENT_ID
from shared.stow.outcomes import Outcome
from shared.stow.report import status_of

# The topics of behaviours that a store reads.
_TOPIC = "Store: "

FAILURES = {
    FailureReason.PROCESSING_FAILURE: "Something went wrong inside the service; the same instance may be sent again.",
    FailureReason.VALIDATION_FAILURE: (
        "The entry is no DICOM file, its data set breaks a rule below, or it belongs to another study than the URL "
        "names."
    ),
    FailureReason.ALREADY_EXISTS: "An instance with the same study, series and instance UID is stored already.",
}
WARNINGS: dict[WarningReason, tuple[str, Callable[[Behaviours], bool]]] = {
    WarningReason.INVALID_ATTRIBUTES: (
        "The instance is stored; attributes named in FailedAttributesSequence (0074,1048) break a rule.",
        lambda words: (
            words.patient_id is PatientIdRule.MUST_BE_PRESENT
            or words.invalid_searchable_value is InvalidSearchableValue.WARN
            or words.invalid_other_value is InvalidOtherValue.WARN
        ),
    ),
    WarningReason.SOP_CLASS_MISMATCH: (
        "The instance is stored; its data set does not fit its SOP class. Said of every data set in Implicit VR Little "
        "Endian.",
        lambda words: True,
    ),
}

_FINE, _FAILED = Outcome(), Outcome(failure=FailureReason.VALIDATION_FAILURE)
_ODD = Outcome(warning=WarningReason.SOP_CLASS_MISMATCH)
_CASES = (
    ("everything was stored", (_FINE,)),
    ("everything was stored, something with a WarningReason", (_FINE, _ODD)),
    ("something was stored, something was not", (_FINE, _FAILED)),
    ("nothing was stored", (_FAILED,)),
    ("there was nothing to store", ()),
)


def section(subject: Subject) -> Section:
    """Store, for a version."""
    rows = subject.tagged("Store")
    bodies = {kind: None for row in rows if row.body for kind in subject.shapes.bodies[row.body].media_types}
    kinds = " or ".join(f"`{kind}`" for kind in bodies)
    lead = Paragraph(
        f"A request has a body of {kinds}. Instances of any SOP class and in any transfer syntax are stored, and their "
        "bytes are kept as they were sent: no attribute is coerced (PS3.18 §10.5)."
    )
    inputs = parameter_table(subject, rows)
    behaviours = subject.version.behaviours
    return Section(
        "Store",
        (lead, *((inputs,) if inputs else ())),
        (
            Section("What an instance must have", (_required(behaviours),)),
            Section("What is checked", (_CHECKED, _indexed())),
            Section("How this version judges", (_conduct(behaviours),)),
            Section("Status of a store", (_statuses(behaviours),)),
            Section("Failure reasons", (_failures(),)),
            Section("Warning reasons", (_warnings(behaviours),)),
        ),
    )


def warning_reasons(behaviours: Behaviours) -> Iterator[WarningReason]:
    """The values of WarningReason (0008,1196) that a version can give."""
    for reason, (_, given) in WARNINGS.items():
        if given(behaviours):
            yield reason


def _required(behaviours: Behaviours) -> Table:
    rows: list[tuple[Line, ...]] = [(attribute(tag), "one UID (PS3.5 §9.1)") for tag in IDENTIFYING_TAGS]
    rows.append((attribute(PATIENT_ID), conduct.SENTENCES[behaviours.patient_id]))
    return Table(("Attribute", "Rule"), tuple(rows))


_CHECKED = Paragraph(
    "These attributes are searchable; the first value of each is indexed and checked by the rules of its value "
    "representation. What happens to an instance with an invalid value is said below, as is whether other attributes "
    "are checked (PS3.5 §6.2). An invalid value of an attribute that must be there always refuses the instance."
)


def _indexed() -> Table:
    rows = tuple((attribute(one.tag), one.vr, one.level.value) for one in INDEXED)
    return Table(("Attribute", "VR", "Level"), rows)


def _conduct(behaviours: Behaviours) -> Table:
    words = (one for one in conduct.of(behaviours) if one.topic.startswith(_TOPIC))
    rows = tuple((one.topic.removeprefix(_TOPIC), f"`{one.key}: {one.word}`", one.sentence) for one in words)
    return Table(("About", "Word", "Meaning"), rows)


def _statuses(behaviours: Behaviours) -> Table:
    rows = ((str(status_of(outcomes, behaviours.warned_store_status)), text) for text, outcomes in _CASES)
    return Table(("Status", "When"), tuple(rows))


def _failures() -> Table:
    rows = tuple((f"`{int(reason)}`", text) for reason, text in FAILURES.items())
    return Table((attribute(0x00081197), "Meaning"), rows)


def _warnings(behaviours: Behaviours) -> Table:
    rows = tuple((f"`{int(reason)}`", WARNINGS[reason][0]) for reason in warning_reasons(behaviours))
    return Table((attribute(0x00081196), "Meaning"), rows)
