"""The conformance statement's parts on long work: extended query tags, updates, exports, operations.

A version has the parts of the operations that it serves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from shared.api.about.prose import Line, Paragraph, Section, Table
from shared.api.about.statement import Subject, attribute
from shared.dicom.attributes import Level
from shared.dicom.extendedtags import ALLOWED_VRS, DECIMAL_VRS, INTEGER_VRS, TIME_VRS
from shared.edits import export
from shared.edits.change_set import CHANGEABLE, MOST_STUDIES
from shared.edits.handlers import MOST_BYTES as MOST_EDIT_BYTES
from shared.operations.handlers import FINISHED_WORDS
from shared.querytags.bodies import MOST_BYTES as MOST_TAGS_BYTES
from shared.settings import EXPORT_DESTINATIONS
from shared.storage.oldoperations import KEPT
from shared.storage.operations import OperationKind, OperationStatus
from shared.storage.tagset import MOST as MOST_TAGS

_MATCHING = (
    (TIME_VRS, "one value or a range; a less precise end of a range stands for all of it"),
    (INTEGER_VRS | DECIMAL_VRS, "one value, as a number"),
    (frozenset({"PN"}), "the whole name, without case and accents; the beginnings of its words with `fuzzymatching`"),
)
_AS_TEXT = "the whole value, without case"

_OPENED_BY: Mapping[str, str] = {
    "identity": "`blobContainerUri` with `useManagedIdentity`: the identity of the service",
    "sas": "`blobContainerUri` with a SAS, or `connectionString` with one and `blobContainerName`",
    "emulator": "the emulator's own `connectionString`, or `blobContainerUri` with a SAS, and its address",
}


def sections(subject: Subject) -> Iterator[Section]:
    """The parts of a version."""
    served = {row.handler for row in subject.version.rows}
    for handler, write in _PARTS.items():
        if handler in served:
            yield write(subject)


def _tags(_subject: Subject) -> Section:
    lead = (
        "Attributes that are added are searchable at their level, for what is stored and for what comes. A search by "
        "one that is being added, or disabled, is refused with 400; one by a tag with errors says so in "
        "`erroneous-dicom-attributes`. Sequences, attributes in sequences and those that search knows by itself are "
        "refused. Of several values the first counts; a study or series has that of its newest instance that has one."
    )
    limits = (
        ("Levels", ", ".join(level.value for level in Level)),
        ("Tags", f"at most {MOST_TAGS}"),
        ("Body of a request", f"at most {MOST_TAGS_BYTES:,} bytes"),
        ("Operations that add tags", "one at a time"),
    )
    return Section(
        "Extended query tags",
        (
            Paragraph(lead),
            Table(("About", "This version"), limits),
            Table(("VR of a tag", "Matching"), tuple((vr, _matching(vr)) for vr in sorted(ALLOWED_VRS))),
        ),
    )


def _matching(vr: str) -> str:
    return next((text for vrs, text in _MATCHING if vr in vrs), _AS_TEXT)


def _update(_subject: Subject) -> Section:
    lead = (
        "Values of these attributes are replaced in all instances of the studies that are named; none can be taken "
        "away. Pixel data is not touched. What an instance was before its first update stays, and is given with "
        "`msdicom-request-original`; those between the first and the newest go."
    )
    limits = (
        ("Studies in a request", f"1 to {MOST_STUDIES}"),
        ("Body of a request", f"at most {MOST_EDIT_BYTES:,} bytes"),
        ("Updates at a time", "one in a data partition"),
    )
    changeable: tuple[tuple[Line, ...], ...] = tuple((attribute(tag),) for tag in sorted(CHANGEABLE))
    return Section(
        "Bulk update",
        (
            Paragraph(lead),
            Table(("About", "This version"), limits),
            Table(("Attribute that can be changed",), changeable),
        ),
    )


def _export(subject: Subject) -> Section:
    state = "on" if subject.settings.export else "off: requests are answered with 404"
    lead = (
        "Studies, series and instances, or all of a data partition, are copied into a container of Azure Blob Storage, "
        f"in their newest version and as they are stored. Exports are {state} in this deployment."
    )
    allowed = subject.settings.export_destinations
    rows = tuple(
        (f"`{word}`", _OPENED_BY[word], "yes" if word in allowed else "no" if allowed else "by default")
        for word in EXPORT_DESTINATIONS
    )
    folder = export.results_folder("{operationId}")
    layout = (
        (f"`{folder}/{{study}}/{{series}}/{{instance}}.dcm`", "an instance"),
        (f"`{export.log_name('{operationId}')}`", "what was skipped, one JSON object a line"),
    )
    return Section(
        "Export",
        (
            Paragraph(lead),
            Table(("Destination", "Opened by", "Taken here"), rows),
            Table(("Blob", "What is in it"), layout),
            Table(("About", "This version"), (("Body of a request", f"at most {MOST_EDIT_BYTES:,} bytes"),)),
        ),
    )


def _operations(subject: Subject) -> Section:
    word = FINISHED_WORDS[subject.version.behaviours.finished_operation_word]
    lead = (
        "Long work is an operation: the request is answered with 202, and `Location` says where its state is, which is "
        f"202 until it has ended and 200 then. It is known for {KEPT.days} days after its end, then it is 404."
    )
    statuses = tuple(
        (f"`{word if status is OperationStatus.SUCCEEDED else status.value}`", _MEANINGS[status])
        for status in OperationStatus
    )
    kinds = tuple((f"`{kind.value}`", _KINDS[kind]) for kind in OperationKind)
    return Section(
        "Operations",
        (
            Paragraph(lead),
            Table(("Status of an operation", "Meaning"), statuses),
            Table(("Type", "What it does"), kinds),
        ),
    )


_MEANINGS: Mapping[OperationStatus, str] = {
    OperationStatus.NOT_STARTED: "it has not begun",
    OperationStatus.RUNNING: "it is under way",
    OperationStatus.SUCCEEDED: "all is done",
    OperationStatus.FAILED: "it ended without success; `reason` says why",
    OperationStatus.CANCELED: "it was stopped",
}
_KINDS: Mapping[OperationKind, str] = {
    OperationKind.REINDEX: "indexes what is stored by extended query tags that were added",
    OperationKind.UPDATE: "changes attributes of stored studies",
    OperationKind.EXPORT: "copies instances into a container",
}
_PARTS: Mapping[str, Callable[[Subject], Section]] = {
    "querytags.add_extended_query_tags": _tags,
    "edits.bulk_update_studies": _update,
    "edits.export_studies": _export,
    "operations.get_operation": _operations,
}
