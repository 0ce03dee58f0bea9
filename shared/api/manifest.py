"""The version files → frozen records. Decoding is strict and reports all faults of all files in one ManifestError.

What a file says about the end of its version is read in `lifecycle.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any, get_type_hints

from shared.api import decode, labels, lifecycle, shapes
from shared.api.decode import Entry, Faults
from shared.api.labels import Label
from shared.api.lifecycle import Deprecation, Retirement
from shared.api.params import Parameter
from shared.api.shapes import Shapes
from shared.behaviours import Behaviours

PARTITION_NAME = "partitionName"
DOCUMENT_HANDLER = "api.get_open_api"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
_OPERATION = r"[a-z][A-Za-z0-9]*"
_HANDLER = r"[a-z][a-z0-9]*\.[a-z][a-z0-9_]*"
_PLACEHOLDER = re.compile(r"\{([A-Za-z][A-Za-z0-9]*)\}")
_SEGMENT = re.compile(r"\{[A-Za-z][A-Za-z0-9]*\}|[A-Za-z$][A-Za-z0-9$._-]*")


@dataclass(frozen=True, slots=True)
class Row:
    """One operation a version serves.

    Attributes:
        operation: operation id, camel case.
        method: HTTP method.
        path: below the version segment, with `{placeholders}`.
        handler: `room.function`.
        tag: group in the document.
        summary: one line for the document.
        partitioned: whether it is also served below `partitions/{partitionName}`.
        takes: names of parameter sets.
        body: name of the body, empty for none.
        offers: name of the offers, empty for none.
        returns: name of the reply by status.
        refuses: error statuses it may answer beside those that any operation may.
    """

    operation: str
    method: str
    path: str
    handler: str
    tag: str
    summary: str
    partitioned: bool
    takes: tuple[str, ...]
    body: str
    offers: str
    returns: tuple[tuple[int, str], ...]
    refuses: tuple[int, ...]

    @property
    def placeholders(self) -> tuple[str, ...]:
        """Names of the path's placeholders, in order."""
        return tuple(_PLACEHOLDER.findall(self.path))


@dataclass(frozen=True, slots=True)
class ApiVersion:
    """One version: everything its file says."""

    label: Label
    stability: str
    released: date
    deprecation: Deprecation | None
    summary: str
    behaviours: Behaviours
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Service:
    """What is outside any version.

    Attributes:
        title: name of the service in documents.
        description: what it is, in documents.
        unversioned: label of the version whose rows are also served without a version segment, or None.
        rows: rows without a version.
    """

    title: str
    description: str
    unversioned: str | None
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Manifests:
    """All version files of one folder.

    Attributes:
        versions: those that are served, deprecated or not, ascending.
        retired: those that are gone, ascending.
        service: what is outside any version.
        shapes: what rows point to.
    """

    versions: tuple[ApiVersion, ...]
    retired: tuple[Retirement, ...]
    service: Service
    shapes: Shapes


def load(folder: Path) -> Manifests:
    """Read every version file of a folder.

    Raises:
        ManifestError: listing all faults, each with file and line.
    """
    faults = Faults()
    known = shapes.decode(decode.read(folder / "shapes.yaml", faults))
    roots = [decode.read(path, faults) for path in sorted(folder.glob("v*.yaml"))]
    if not roots:
        faults.add(f"{folder.name}:1", "there is no version file (v*.yaml)")
    gone = [(root, _retired(root)) for root in roots if root.at("retired").given]
    found = [(root, _version(root, known)) for root in roots if root.given and not root.at("retired").given]
    labelled = [(root, version.label) for root, version in found] + [(root, end.label) for root, end in gone]
    labels.check_unique(labelled)
    _check_stability(found)
    served = [version.label.text for _, version in found]
    lifecycle.check_successors(labelled, served, [end.label.text for _, end in gone])
    service_root = decode.read(folder / "service.yaml", faults)
    service = _service(service_root, known, served)
    faults.raise_if_any()
    versions = tuple(sorted((version for _, version in found), key=lambda version: version.label))
    retired = tuple(sorted((end for _, end in gone), key=lambda end: end.label))
    return Manifests(versions, retired, service, known)


def _version(root: Entry, known: Shapes) -> ApiVersion:
    parts = root.fields(("label", "stability", "released", "deprecation", "summary", "behaviours", "routes"))
    released = parts["released"].day()
    return ApiVersion(
        label=labels.read(parts["label"]),
        stability=parts["stability"].word("prerelease|stable"),
        released=released,
        deprecation=lifecycle.deprecation(parts["deprecation"], released),
        summary=parts["summary"].text(),
        behaviours=_behaviours(parts["behaviours"]),
        rows=_rows(parts["routes"], known),
    )


def _retired(root: Entry) -> Retirement:
    parts = root.fields(("label", "retired"))
    return lifecycle.retirement(parts["retired"], labels.read(parts["label"]))


def _behaviours(entry: Entry) -> Behaviours:
    hints = get_type_hints(Behaviours)
    keys = tuple(field.name for field in fields(Behaviours))
    words: dict[str, Any] = {}  # Any: the record's fields have a different enum each
    for key, value in entry.fields(keys).items():
        known = [member.value for member in hints[key]]
        word = value.word()
        if word and word not in known:
            value.fault(f"unknown word {word!r} for {key}; known: {', '.join(known)}")
        words[key] = hints[key](word if word in known else known[0])
    return Behaviours(**words)


def _rows(entry: Entry, known: Shapes) -> tuple[Row, ...]:
    rows = []
    operations: set[str] = set()
    for item in entry.items():
        row = _row(item, known)
        if row.operation.lower() in operations:
            item.fault(f"the operation {row.operation!r} is there twice")
        operations.add(row.operation.lower())
        rows.append(row)
    if entry.given and not rows:
        entry.fault("there are no rows")
    return tuple(rows)


def _row(entry: Entry, known: Shapes) -> Row:
    parts = entry.fields(
        ("operation", "method", "path", "handler", "tag", "summary", "returns"),
        ("partitioned", "takes", "body", "offers", "refuses"),
    )
    row = Row(
        operation=parts["operation"].word(_OPERATION),
        method=parts["method"].word("|".join(METHODS)),
        path=_path(parts["path"], known),
        handler=_handler(parts["handler"], known),
        tag=parts["tag"].word(),
        summary=parts["summary"].text(),
        partitioned=parts["partitioned"].flag(),
        takes=parts["takes"].words(),
        body=_reference(parts["body"], known.bodies, "body"),
        offers=_reference(parts["offers"], known.offers, "offers"),
        returns=_returns(parts["returns"], known, offers=parts["offers"].given),
        refuses=_refuses(parts["refuses"], known),
    )
    _check_inputs(row, parts, known)
    return row


def _handler(entry: Entry, known: Shapes) -> str:
    """A handler that `access` knows: nothing is served of which nobody has decided who may call it."""
    name = entry.word(_HANDLER)
    if name and name not in known.access:
        entry.fault(f"shapes.yaml does not say who may call {name}; give it a line below 'access'")
    return name


def _path(entry: Entry, known: Shapes) -> str:
    path = entry.word(r"[^\s/]+(?:/[^\s/]+)*")
    for segment in path.split("/") if path else ():
        if _SEGMENT.fullmatch(segment) is None:
            entry.fault(f"the path segment {segment!r} is neither a plain word nor one {{placeholder}}")
    names = _PLACEHOLDER.findall(path)
    for name in names:
        if name not in known.path_parameters:
            entry.fault(f"no path parameter is named {name!r}")
        if name == PARTITION_NAME or names.count(name) > 1:
            entry.fault(
                f"the placeholder {name!r} has no place here: each may stand once, partitionName is added for you"
            )
    return path


def _reference(entry: Entry, names: Iterable[str], what: str) -> str:
    if not entry.given:
        return ""
    word = entry.word()
    if word and word not in names:
        entry.fault(f"no {what} shape is named {word!r}")
    return word


def _returns(entry: Entry, known: Shapes, *, offers: bool) -> tuple[tuple[int, str], ...]:
    found = []
    for status, _, value in shapes.statuses(entry):
        name = _reference(value, known.replies, "reply")
        answer = known.replies.get(name)
        if answer is not None and answer.schema and not answer.media_types and not offers:
            value.fault(f"the reply {name!r} comes as the row offers, but the row has no offers")
        found.append((status, name))
    if entry.given and not found:
        entry.fault("a row returns something")
    return tuple(found)


def _refuses(entry: Entry, known: Shapes) -> tuple[int, ...]:
    found = []
    for item in entry.items():
        status = item.number()
        if status not in known.problems:
            item.fault(f"no problem shape is there for status {status}")
        found.append(status)
    return tuple(found)


def _check_inputs(row: Row, parts: dict[str, Entry], known: Shapes) -> None:
    """No unknown set, no name twice, and media types to choose from only where something is offered."""
    inputs: list[Parameter] = [
        known.path_parameters[name] for name in row.placeholders if name in known.path_parameters
    ]
    for name in row.takes:
        if name not in known.takes:
            parts["takes"].fault(f"no parameter set is named {name!r}")
        inputs.extend(known.takes.get(name, ()))
    names = [parameter.name.lower() for parameter in inputs]
    binds = [parameter.binds for parameter in inputs if parameter.binds]
    if len(set(names)) < len(names) or len(set(binds)) < len(binds):
        parts["takes"].fault("two parameters of this row have the same name")
    if row.partitioned and PARTITION_NAME not in known.path_parameters:
        parts["partitioned"].fault(f"no path parameter is named {PARTITION_NAME!r}")
    twice = {status for status, _ in row.returns} & set(row.refuses)
    for status in sorted(twice):
        parts["refuses"].fault(f"the row both returns and refuses {status}")


def _check_stability(found: list[tuple[Entry, ApiVersion]]) -> None:
    for root, version in found:
        if (version.stability == "prerelease") == version.label.released:
            root.fault("a label has a status such as -prerelease exactly when its stability is prerelease")


def _service(root: Entry, known: Shapes, served: list[str]) -> Service:
    parts = root.fields(("title", "description", "unversioned_routes", "routes"))
    word = parts["unversioned_routes"].word(f"refused|{labels.WORD}")
    if word and word != "refused" and word not in served:
        parts["unversioned_routes"].fault(f"{word!r} is neither refused nor a version this folder serves")
    rows = _rows(parts["routes"], known)
    if any(row.partitioned for row in rows):
        parts["routes"].fault("rows outside any version cannot be partitioned")
    return Service(parts["title"].text(), parts["description"].text(), None if word in ("", "refused") else word, rows)
