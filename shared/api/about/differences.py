"""What differs between two versions: their behaviour words, their operations, and what their documents promise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from shared.api import openapi
from shared.api.about import conduct
from shared.api.about.prose import Line, Link, Page, Paragraph, Section, Table
from shared.api.breaking.documents import Document
from shared.api.breaking.findings import Finding, Level
from shared.api.manifest import ApiVersion, Manifests, Row
from shared.errors import InvalidParameter

_LEVELS = {
    Level.ERR: "breaks clients",
    Level.WARN: "may break clients",
    Level.INFO: "breaks no client",
}

_CONDUCT_RULE = "behaviour-changed"
# Keys of rows in words for people who never see one; without the operation id, by which rows are compared.
_PARTS = {
    "method": "method",
    "path": "path",
    "handler": "conduct",
    "tag": "group",
    "summary": "summary",
    "partitioned": "data partitions",
    "takes": "parameters",
    "body": "request body",
    "offers": "representations",
    "returns": "answers",
    "refuses": "error statuses",
}


@dataclass(frozen=True, slots=True)
class ChangedConduct:
    """A behaviour that two versions have in different ways."""

    before: conduct.Conduct
    after: conduct.Conduct


@dataclass(frozen=True, slots=True)
class ChangedRow:
    """An operation that only one of two versions has, or that differs between them.

    Attributes:
        operation: its id.
        address: method and path below the version.
        change: added, removed or changed.
        parts: what of it differs, when it is changed.
    """

    operation: str
    address: str
    change: str
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Differences:
    """Everything that differs.

    Attributes:
        before: the version that is left.
        after: the version that is gone to.
        stability: both words when they differ.
        conduct: behaviours.
        rows: operations.
        findings: what the documents say, worst first.
    """

    before: ApiVersion
    after: ApiVersion
    stability: tuple[str, str] | None
    conduct: tuple[ChangedConduct, ...]
    rows: tuple[ChangedRow, ...]
    findings: tuple[Finding, ...]


def find(manifests: Manifests, name: str, spelling: object) -> ApiVersion:
    """The version that a parameter means, in any spelling.

    Raises:
        InvalidParameter: it is not given, unknown, or means a version that is retired.
    """
    text = spelling if isinstance(spelling, str) else ""
    for version in manifests.versions:
        if version.label.spelled(text):
            return version
    for end in manifests.retired:
        if end.label.spelled(text):
            raise InvalidParameter(name, f"{end.label.text} is retired, and what it served is not known any more")
    known = ", ".join(version.label.text for version in manifests.versions)
    raise InvalidParameter(name, f"must be a version of this service: {known}")


def between(before: ApiVersion, after: ApiVersion, manifests: Manifests) -> Differences:
    """What a client of one version finds different in another one."""
    # Here, because loading all rules takes as long as the rest of the start of the app, and few requests ask for them.
    from shared.api.breaking import engine

    pairs = zip(conduct.of(before.behaviours), conduct.of(after.behaviours), strict=True)
    changed = (ChangedConduct(*pair) for pair in pairs)
    return Differences(
        before=before,
        after=after,
        stability=(before.stability, after.stability) if before.stability != after.stability else None,
        conduct=tuple(one for one in changed if one.before.word != one.after.word),
        rows=tuple(_rows(before, after)),
        findings=engine.compare(_document(before, manifests), _document(after, manifests)),
    )


def _document(version: ApiVersion, manifests: Manifests) -> Document:
    """A version's document with paths as they are below the version: with it, none would be in both."""
    content = openapi.document(version, manifests)
    lead = f"/{version.label.text}"
    return Document({**content, "paths": {path.removeprefix(lead): item for path, item in content["paths"].items()}})


def _rows(before: ApiVersion, after: ApiVersion) -> Iterator[ChangedRow]:
    old, new = ({row.operation: row for row in version.rows} for version in (before, after))
    for operation, row in old.items():
        if operation not in new:
            yield ChangedRow(operation, _address(row), "removed")
        elif new[operation] != row:
            parts = (text for key, text in _PARTS.items() if getattr(row, key) != getattr(new[operation], key))
            yield ChangedRow(operation, _address(new[operation]), "changed", tuple(parts))
    for operation, row in new.items():
        if operation not in old:
            yield ChangedRow(operation, _address(row), "added")


def _address(row: Row) -> str:
    return f"{row.method} /{row.path}"


def as_json(found: Differences) -> bytes:
    """The differences for machines."""
    content = {
        "from": found.before.label.text,
        "to": found.after.label.text,
        "stability": dict(zip(("from", "to"), found.stability, strict=True)) if found.stability else None,
        "behaviours": [
            {
                "key": one.before.key,
                "topic": one.before.topic,
                "from": {"word": one.before.word, "meaning": one.before.sentence},
                "to": {"word": one.after.word, "meaning": one.after.sentence},
            }
            for one in found.conduct
        ],
        "operations": [
            {"operationId": one.operation, "operation": one.address, "change": one.change, "parts": list(one.parts)}
            for one in found.rows
        ],
        "findings": [finding.as_json() for finding in found.findings],
    }
    return json.dumps(content, indent=1, ensure_ascii=False).encode()


def page(found: Differences) -> Page:
    """The differences for people, at an address directly below the root."""
    before, after = found.before.label, found.after.label
    sections = tuple(filter(None, (_stability(found), _conduct(found), _operations(found), _findings(found))))
    nothing = "" if sections else " There are no differences."
    return Page(
        title=f"From version {before.name} to version {after.name}",
        links=(
            Link("All versions", "versions?accept=text/html"),
            Link("The other way round", f"changes?from={after.text}&to={before.text}&accept=text/html"),
            Link(f"Conformance of {before.name}", f"{before.text}/conformance"),
            Link(f"Conformance of {after.name}", f"{after.text}/conformance"),
        ),
        notice="",
        lead=f"What a client that was written for `{before.text}` finds different in `{after.text}`.{nothing}",
        sections=sections,
    )


def _stability(found: Differences) -> Section | None:
    if found.stability is None:
        return None
    before, after = found.stability
    return Section("Stability", (Paragraph(f"{before} → {after}"),))


def _conduct(found: Differences) -> Section | None:
    if not found.conduct:
        return None
    rows: Iterator[tuple[Line, ...]] = (
        (one.before.topic, f"`{one.before.word}` {one.before.sentence}", f"`{one.after.word}` {one.after.sentence}")
        for one in found.conduct
    )
    table = Table(("About", f"In {found.before.label.name}", f"In {found.after.label.name}"), tuple(rows))
    return Section(
        "Behaviour", (Paragraph("The same request is handled in another way. Each of these breaks clients."), table)
    )


def _operations(found: Differences) -> Section | None:
    if not found.rows:
        return None
    rows = tuple((f"`{one.operation}`", f"`{one.address}`", one.change, ", ".join(one.parts)) for one in found.rows)
    return Section("Operations", (Table(("Operation", "Address", "Change", "What differs"), rows),))


def _findings(found: Differences) -> Section | None:
    findings = [one for one in found.findings if one.id != _CONDUCT_RULE]  # they have a section of their own
    if not findings:
        return None
    rows = tuple(
        (_LEVELS[one.level], f"`{one.operation}`" if one.operation else "the whole", one.text, f"`{one.id}`")
        for one in findings
    )
    lead = Paragraph("What the two documents promise, worst first, by the rules that versions are held to.")
    return Section("Documents", (lead, Table(("Level", "Where", "What", "Rule"), rows)))
