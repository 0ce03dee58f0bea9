"""What the parts of a conformance statement are made from, and the words that several of them share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.datadict import keyword_for_tag
from pydicom.uid import AllTransferSyntaxes

from shared.api import params
from shared.api.about.prose import Line, Table, listed
from shared.api.manifest import ApiVersion, Manifests, Row
from shared.api.params import Kind, Parameter
from shared.api.shapes import Shapes
from shared.dicom.uids import NEWER_SYNTAXES
from shared.settings import Settings

SYNTAX_NAMES = NEWER_SYNTAXES | {str(uid): uid.name for uid in AllTransferSyntaxes}


@dataclass(frozen=True, slots=True)
class Subject:
    """What a statement is about.

    Attributes:
        version: whose conformance it is.
        manifests: all versions, and what rows point to.
        settings: of the app that says it.
    """

    version: ApiVersion
    manifests: Manifests
    settings: Settings

    @property
    def shapes(self) -> Shapes:
        """What rows point to."""
        return self.manifests.shapes

    def tagged(self, tag: str) -> tuple[Row, ...]:
        """Rows of one group of operations."""
        return tuple(row for row in self.version.rows if row.tag == tag)

    def inputs(self, row: Row) -> tuple[Parameter, ...]:
        """What a row takes in query and headers."""
        return tuple(parameter for name in row.takes for parameter in self.shapes.takes[name])

    def statuses(self, row: Row) -> tuple[int, ...]:
        """Every status a row may answer, ascending."""
        guarded = self.shapes.access[row.handler].action is not None
        problems = self.shapes.problems.items()
        others = (status for status, problem in problems if problem.everywhere or (guarded and problem.guarded))
        return tuple(sorted({*dict(row.returns), *row.refuses, *others}))

    def media_types(self, row: Row) -> tuple[str, ...]:
        """What a row answers in when all is well; empty when that is never a body."""
        offered = (
            f'multipart/related; type="{offer.media_type}"' if offer.multipart else offer.media_type
            for offer in (self.shapes.offers[row.offers] if row.offers else ())
        )
        fixed = (kind for _, name in row.returns for kind in self.shapes.replies[name].media_types)
        return tuple(dict.fromkeys((*offered, *fixed)))


def attribute(tag: int) -> str:
    """An attribute as keyword and tag: PatientID (0010,0020)."""
    return f"{keyword_for_tag(tag)} ({tag >> 16:04X},{tag & 0xFFFF:04X})"


def parameter_table(subject: Subject, rows: tuple[Row, ...]) -> Table | None:
    """Parameters of some rows, each once for all rows that take it; without matching keys, which are attributes."""
    takers: dict[tuple[Line, ...], list[str]] = {}
    for row in rows:
        for parameter in subject.inputs(row):
            if parameter.kind is not Kind.MATCHING_KEY:
                takers.setdefault(_parameter(parameter), []).append(row.operation)
    if not takers:
        return None
    found = (
        (*cells, "all" if len(operations) == len(rows) else listed(tuple(operations)))
        for cells, operations in takers.items()
    )
    return Table(("Parameter", "In", "Values", "Meaning", "Operations"), tuple(found))


def _parameter(parameter: Parameter) -> tuple[Line, ...]:
    return (f"`{parameter.name}`", parameter.place.value, "; ".join(_limits(parameter)), parameter.text)


def _limits(parameter: Parameter) -> Iterator[str]:
    described = params.schema(parameter)
    yield str(described.get("type", ""))
    low, high = parameter.minimum, parameter.maximum
    if low is not None and high is not None:
        yield f"{low} to {high}"
    elif low is not None:
        yield f"{low} or more"
    elif high is not None:
        yield f"at most {high}"
    if parameter.default is not None:
        yield f"without it {str(parameter.default).lower()}"
