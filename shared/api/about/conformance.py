"""The DICOM conformance statement of a version (PS3.2), made of the tables that the service itself works with."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydicom.charset import python_encoding

from shared.api import params
from shared.api.about import (
    statement_retrieve,
    statement_search,
    statement_security,
    statement_store,
    statement_work,
    statement_worklist,
    versionlist,
)
from shared.api.about.prose import Line, Link, Page, Paragraph, Section, Table, listed
from shared.api.about.statement import Subject, parameter_table
from shared.api.lineup import PARTITION_PREFIX
from shared.api.manifest import ApiVersion, Row
from shared.api.shapes import Answer
from shared.dicom.framing import MAX_ELEMENTS, MAX_INFLATED_BYTES, MAX_KEPT_BYTES, MAX_TOP_LEVEL_ELEMENTS
from shared.dicom.imagepixel import MAX_FRAME_BYTES
from shared.dicom.nested import MAX_DEPTH
from shared.wado.pictures import MAX_CONVERTED_BYTES

# Groups of operations with a part of their own.
_OWN_PARTS = ("Store", "Retrieve", "Search", "Worklist")


def page(subject: Subject) -> Page:
    """The statement."""
    version = subject.version
    return Page(
        title=f"DICOM conformance statement, version {version.label.name}",
        links=links(version),
        notice=notice(version),
        lead=(
            f"{subject.manifests.service.title}, as served below `/{version.label.text}`. {version.summary} Everything "
            "here is made of the tables that the service itself works with."
        ),
        sections=(
            _overview(subject),
            _life_cycle(version),
            _services(subject),
            statement_store.section(subject),
            statement_retrieve.section(subject),
            statement_search.section(subject),
            *((statement_worklist.section(subject),) if subject.tagged("Worklist") else ()),
            *statement_work.sections(subject),
            *_other_parameters(subject),
            _limits(subject),
            _problems(subject),
            _headers(subject),
            _CHARACTER_SETS,
            statement_security.section(subject),
        ),
    )


def links(version: ApiVersion) -> tuple[Link, ...]:
    """Links to the other pages, from one directly below a version."""
    paths = {row.handler: row.path for row in version.rows}
    known = (
        ("Documentation", "api.get_docs"),
        ("Conformance", "api.get_conformance"),
        ("OpenAPI (YAML)", "api.get_open_api"),
        ("OpenAPI (JSON)", "api.get_open_api_json"),
    )
    found = [Link(text, paths[handler]) for text, handler in known if handler in paths]
    return (*found, Link("All versions", "../versions?accept=text/html"))


def notice(version: ApiVersion) -> Line:
    """What a reader has to know first: that the version ends, or that it promises nothing."""
    end = version.deprecation
    if end is not None:
        return (
            f"Version {version.label.name} was announced as deprecated on {end.announced} and may be gone from "
            f"{end.sunset} on. Use ",
            Link(f"version {end.successor.removeprefix('v')}", f"../{end.successor}/conformance"),
            ". ",
            Link("Read more", end.read_more),
        )
    return "This version is a prerelease: it may change without notice." if version.stability == "prerelease" else ""


def _overview(subject: Subject) -> Section:
    tags = dict.fromkeys(row.tag for row in subject.version.rows)
    spelled = listed(versionlist.spellings(subject.version.label))
    return Section(
        "Overview",
        (
            Paragraph(
                "The service is an origin server for DICOMweb (PS3.18): it stores instances, gives them back, finds "
                "them and deletes them, and it tells what changed. It uses no DIMSE services and no media."
            ),
            Paragraph(f"Groups of operations in this version: {', '.join(tags)}. The version is written {spelled}."),
        ),
    )


def _life_cycle(version: ApiVersion) -> Section:
    end = version.deprecation
    rows: list[tuple[Line, ...]] = [
        ("Status", versionlist.status_of(version)),
        ("Stability", version.stability),
        ("Released", f"`{version.released}`"),
    ]
    if end is not None:
        rows += [
            ("Deprecation announced", f"`{end.announced}`"),
            ("May be gone from", f"`{end.sunset}`"),
            ("Successor", f"`{end.successor}`"),
            ("Read more", Link(end.read_more, end.read_more)),
        ]
    return Section("Life cycle", (Table(("About", "This version"), tuple(rows)),))


def _services(subject: Subject) -> Section:
    parts = tuple(
        Section(f"Operations: {tag}", (_operations(subject, subject.tagged(tag)),))
        for tag in dict.fromkeys(row.tag for row in subject.version.rows)
    )
    lead = Paragraph(
        f"Every path is below `/{subject.version.label.text}/`. Operations marked as partitioned are also below "
        f"`/{subject.version.label.text}/{PARTITION_PREFIX}`; data partitions are "
        f"{'on' if subject.settings.data_partitions else 'off'} in this deployment."
    )
    return Section("Services", (lead,), parts)


def _operations(subject: Subject, rows: tuple[Row, ...]) -> Table:
    head = ("Operation", "Request", "What it does", "Partitioned", "Answers in", "Statuses")
    return Table(head, tuple(_operation(subject, row) for row in rows))


def _operation(subject: Subject, row: Row) -> tuple[Line, ...]:
    return (
        f"`{row.operation}`",
        f"`{row.method} {row.path}`",
        row.summary,
        "yes" if row.partitioned else "no",
        listed(subject.media_types(row)),
        ", ".join(map(str, subject.statuses(row))),
    )


def _other_parameters(subject: Subject) -> Iterator[Section]:
    """Parameters of the groups that have no part of their own, such as the change feed."""
    for tag in dict.fromkeys(row.tag for row in subject.version.rows if row.tag not in _OWN_PARTS):
        table = parameter_table(subject, subject.tagged(tag))
        if table is not None:
            yield Section(f"Parameters: {tag}", (table,))


def _limits(subject: Subject) -> Section:
    frames = params.schema(subject.shapes.path_parameters["frames"])["maxItems"]
    rows = (
        ("Body of a request", _size(subject.settings.max_request_bytes)),
        ("Data set of an instance, without bulk values", _size(MAX_KEPT_BYTES)),
        ("Data set of a deflated instance, inflated", _size(MAX_INFLATED_BYTES)),
        ("Elements of a data set", f"{MAX_TOP_LEVEL_ELEMENTS:,} at its top, {MAX_ELEMENTS:,} in all"),
        ("Nesting of sequences", f"{MAX_DEPTH} levels"),
        ("Frame that is decoded", _size(MAX_FRAME_BYTES)),
        ("File of which frames or the whole are converted", _size(MAX_CONVERTED_BYTES)),
        ("Frames in one request", f"{frames:,}"),
    )
    return Section("Limits", (Table(("What", "At most"), rows),))


def _size(size_bytes: int) -> str:
    mebibytes = size_bytes / (1024 * 1024)
    return f"{size_bytes:,} bytes ({mebibytes:,.0f} MiB)" if mebibytes >= 1 else f"{size_bytes:,} bytes"


def _problems(subject: Subject) -> Section:
    rows = tuple((str(status), text.text, _who(text)) for status, text in sorted(subject.shapes.problems.items()))
    lead = Paragraph("The body of an error is one sentence for people, as plain text; its wording may change.")
    return Section("Error statuses", (lead, Table(("Status", "Meaning", "Operations"), rows)))


def _who(problem: Answer) -> str:
    """Which operations answer so."""
    return "any" if problem.everywhere or problem.guarded or problem.unserved else "those that name it"


def _headers(subject: Subject) -> Section:
    shapes = subject.shapes if subject.version.deprecation is None else subject.shapes.of_deprecated()
    rows = tuple((f"`{name}`", header.text) for name, header in shapes.headers.items() if header.everywhere)
    return Section("Headers of every answer", (Table(("Header", "Meaning"), rows),))


# Defined terms; the table of the codecs has misspellings of writers as well.
_TERMS = tuple(
    sorted(term for term in python_encoding if re.fullmatch(r"ISO_IR \d+|ISO 2022 IR \d+|GB18030|GBK", term))
)
_CHARACTER_SETS = Section(
    "Character sets",
    (
        Paragraph(
            "Text is understood in these values of SpecificCharacterSet (0008,0005), alone and, where "
            f"PS3.3 §C.12.1.1.2 has that, with code extensions: {listed(_TERMS)}."
        ),
        Paragraph(
            "DICOM JSON is written in UTF-8 (PS3.18 §F.2.1). Files are given back with the character set they came in."
        ),
    ),
)
