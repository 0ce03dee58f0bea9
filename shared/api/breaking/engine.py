"""Compares two documents: which operations are whose, and what the rules say of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from shared.api.breaking import catalogue
from shared.api.breaking.documents import Document, DocumentError, Map
from shared.api.breaking.findings import Finding, ordered, pointer
from shared.api.breaking.model import Media, Operation, Requirement, Response
from shared.api.breaking.normal import Normalizer
from shared.api.breaking.reading import Reader
from shared.api.breaking.rulebook import Found, Hit, Rulebook, Side
from shared.api.breaking.rules import bodies, operations, parameters, security
from shared.api.breaking.rules.bodies import BodyChange, ContentChange, ResponseChange, StatusesChange
from shared.api.breaking.rules.operations import Interfaces, OperationChange, Removal
from shared.api.breaking.rules.parameters import ParameterChange, ParametersChange
from shared.api.breaking.rules.security import RequirementsChange, SchemeChange
from shared.api.breaking.sameness import Sameness
from shared.api.breaking.schemas import Schema, Schemas
from shared.api.breaking.walk import SchemaPair, Walk
from shared.api.breaking.ways import CutShortError, Steps

# More findings than a reader can use; a document that differs so much is another one.
_FINDING_LIMIT = 20_000

Keyed = Mapping[tuple[str, str], Operation]
# What is found at places of an operation, and schemas that are to be walked from there.
Placed = Iterator[tuple[Steps, Found | SchemaPair]]


def compare(base: Document, revision: Document, today: date | None = None) -> tuple[Finding, ...]:
    """What changed from a base to a revision, worst first.

    Args:
        base: what clients were written for.
        revision: what is to be served.
        today: the day that sunsets of removed operations are compared with; without it none has come.

    Raises:
        DocumentError: a part of a document that matters is of the wrong type or refers to nothing.
    """
    try:
        return ordered(_Comparison(base, revision, today).findings())
    except RecursionError as error:
        raise DocumentError("the schemas of the documents are nested too deep to be compared") from error


@dataclass(frozen=True, slots=True)
class _Place:
    """What is being compared, as findings name it."""

    operation: str
    operation_id: str
    pointer: Steps

    @classmethod
    def of(cls, operation: Operation) -> _Place:
        return cls(operation.name, operation.operation_id, operation.pointer)

    def finding(self, steps: Steps, found: Found) -> Finding:
        path = pointer(self.pointer + steps)
        return Finding(found.rule.id, found.rule.level, self.operation, self.operation_id, path, found.text)


_DOCUMENT = _Place("", "", ())


class _Comparison:
    def __init__(self, base: Document, revision: Document, today: date | None) -> None:
        before, after = Normalizer(Schemas(base)), Normalizer(Schemas(revision))
        sameness = Sameness(base, revision)
        untouched = _untouched(base, revision, sameness)
        self._base = Reader(base, before).interface(untouched)
        self._revision = Reader(revision, after).interface(untouched)
        self._walk = Walk(before, after, sameness)
        self._roots: list[tuple[_Place, Steps, SchemaPair]] = []
        self._today = today
        # Schemes go by their content where the name changed: a name is nothing a client sends.
        self._scheme_names = _renamed_schemes(self._base.schemes, self._revision.schemes)

    def findings(self) -> Iterator[Finding]:
        number = 0
        try:
            for finding in self._all():
                number += 1
                if number > _FINDING_LIMIT:
                    raise CutShortError
                yield finding
        except CutShortError:
            hit = Hit("the documents differ in more places than are looked at")
            yield _DOCUMENT.finding((), Found(catalogue.CUT_SHORT, hit))

    def _all(self) -> Iterator[Finding]:
        for found in operations.DOCUMENTS.found(Interfaces(self._base, self._revision)):
            yield _DOCUMENT.finding(found.hit.steps, found)
        yield from self._schemes()
        yield from self._served()
        yield from self._called(self._base.webhooks, self._revision.webhooks)
        for number, steps, found in self._walk.findings([pair for _, _, pair in self._roots]):
            place, before, _ = self._roots[number]
            yield place.finding(before + steps, found)

    def _said(self, place: _Place, placed: Placed) -> Iterator[Finding]:
        """Findings of an operation; its schemas are kept for the walk, which takes those of all operations at once."""
        for steps, found in placed:
            if isinstance(found, SchemaPair):
                self._roots.append((place, steps, found))
            else:
                yield place.finding(steps, found)

    def _schemes(self) -> Iterator[Finding]:
        originals = {original: name for name, original in self._scheme_names.items()}
        for name in sorted(self._base.asked_for & self._base.schemes.keys()):
            other = originals.get(name, name)
            if other in self._revision.schemes:
                change = SchemeChange(name, self._base.schemes[name], self._revision.schemes[other])
                for found in security.SCHEMES.found(change):
                    yield _DOCUMENT.finding(("components", "securitySchemes", name, *found.hit.steps), found)

    def _served(self) -> Iterator[Finding]:
        base, revision = self._base.operations, self._revision.operations
        left = {path for path, _ in revision}
        for key in sorted(base.keys() - revision.keys()):
            removal = Removal(base[key], key[0] not in left, self._today)
            yield from _findings(base[key], operations.REMOVED.found(removal))
        for key in sorted(revision.keys() - base.keys()):
            yield from _findings(revision[key], operations.ADDED.found(revision[key]))
        for key in sorted(base.keys() & revision.keys()):
            place = _named(base[key], revision[key])
            yield from self._said(place, self._operation(base[key], revision[key]))
            yield from self._callbacks(base[key], revision[key])

    def _callbacks(self, base: Operation, revision: Operation) -> Iterator[Finding]:
        names = sorted({name for name, _ in (*base.callbacks, *revision.callbacks)})
        for name in names:
            before = {key: operation for (own, key), operation in base.callbacks.items() if own == name}
            after = {key: operation for (own, key), operation in revision.callbacks.items() if own == name}
            yield from self._called(before, after)

    def _called(self, base: Keyed, revision: Keyed) -> Iterator[Finding]:
        """Operations that the service calls: what they send the client receives."""
        for key in sorted(base.keys() - revision.keys()):
            yield from _findings(base[key], operations.WEBHOOK_REMOVED.found(base[key]))
        for key in sorted(revision.keys() - base.keys()):
            yield from _findings(revision[key], operations.WEBHOOK_ADDED.found(revision[key]))
        for key in sorted(base.keys() & revision.keys()):
            place = _named(base[key], revision[key])
            yield from self._said(place, self._call(base[key], revision[key]))

    def _operation(self, base: Operation, revision: Operation) -> Placed:
        yield from _placed(operations.KEPT.found(OperationChange(base, revision)))
        renamed = tuple(self._renamed(requirement) for requirement in revision.security)
        yield from _placed(security.REQUIREMENTS.found(RequirementsChange(base.security, renamed)))
        change = ParametersChange(base, revision)
        yield from _placed(parameters.SENT.found(change))
        for one, two in (*change.kept(), *change.moved()):
            yield from self._schema(one.schema, two.schema, Side.REQUEST, (*parameters.at(one), "schema"))
        yield from _placed(bodies.BODIES.found(BodyChange(base.body, revision.body)), "requestBody")
        if base.body and revision.body:
            yield from _below("requestBody", self._content(base.body.content, revision.body.content, Side.REQUEST))
        yield from _placed(bodies.STATUSES.found(StatusesChange(base.responses, revision.responses)), "responses")
        for status, one_response, two_response in _common(base.responses, revision.responses):
            yield from _below("responses", _below(status, self._response(one_response, two_response)))

    def _call(self, base: Operation, revision: Operation) -> Placed:
        change = ParametersChange(base, revision)
        yield from _placed(parameters.WEBHOOKS.found(change))
        for one, two in change.kept():
            yield from self._schema(one.schema, two.schema, Side.RESPONSE, (*parameters.at(one), "schema"))
        before = base.body.content if base.body else {}
        after = revision.body.content if revision.body else {}
        yield from _below("requestBody", self._content(before, after, Side.RESPONSE))
        statuses = StatusesChange(base.responses, revision.responses)
        yield from _placed(bodies.WEBHOOK_STATUSES.found(statuses), "responses")
        for status, answer, other in _common(base.responses, revision.responses):
            yield from _below("responses", _below(status, self._content(answer.content, other.content, Side.REQUEST)))

    def _response(self, base: Response, revision: Response) -> Placed:
        yield from _placed(bodies.RESPONSES.found(ResponseChange(base, revision)))
        for name in sorted(base.headers.keys() & revision.headers.keys()):
            before, after = base.headers[name], revision.headers[name]
            yield from _below("headers", _placed(parameters.HEADERS.found(ParameterChange(before, after)), before.name))
            yield from self._schema(before.schema, after.schema, Side.RESPONSE, ("headers", before.name, "schema"))
        yield from self._content(base.content, revision.content, Side.RESPONSE)

    def _content(self, base: Mapping[str, Media], revision: Mapping[str, Media], side: Side) -> Placed:
        change = ContentChange(base, revision, side)
        book: Rulebook[ContentChange] = bodies.SENT if side is Side.REQUEST else bodies.RECEIVED
        yield from _placed(book.found(change))
        for one, two in change.pairs:
            # A schema where there was none, and none where there was one, are changes of their own.
            if not one.schema.open and not two.schema.open:
                yield from self._schema(one.schema, two.schema, side, ("content", one.name, "schema"))

    def _schema(self, base: Schema, revision: Schema, side: Side, steps: Steps) -> Placed:
        yield steps, SchemaPair(base, revision, side)

    def _renamed(self, requirement: Requirement) -> Requirement:
        return frozenset((self._scheme_names.get(name, name), scopes) for name, scopes in requirement)


def _untouched(base: Document, revision: Document, sameness: Sameness) -> frozenset[str]:
    """Paths that say the same in both, all that they refer to and take over from the document included."""
    if base.root.get("security") != revision.root.get("security"):
        return frozenset()
    before, after = (one.map_at(one.root.get("paths"), "paths") for one in (base, revision))
    return frozenset(path for path in before if path in after and sameness.same(before[path], after[path]))


def _renamed_schemes(base: Mapping[str, Map], revision: Mapping[str, Map]) -> dict[str, str]:
    """Names of schemes in the revision → names in the base, for those that only got another name."""
    found: dict[str, str] = {}
    for name in sorted(revision.keys() - base.keys()):
        old = [other for other in sorted(base.keys() - revision.keys()) if base[other] == revision[name]]
        if old and old[0] not in found.values():
            found[name] = old[0]
    return found


def _named(base: Operation, revision: Operation) -> _Place:
    return _Place(base.name, base.operation_id or revision.operation_id, base.pointer)


def _findings(operation: Operation, found: Iterable[Found]) -> Iterator[Finding]:
    for one in found:
        yield _Place.of(operation).finding(one.hit.steps, one)


def _placed(found: Iterable[Found], *steps: str) -> Placed:
    for one in found:
        yield (*steps, *one.hit.steps), one


def _below(step: str, placed: Placed) -> Placed:
    for steps, found in placed:
        yield (step, *steps), found


def _common(base: Mapping[str, Response], revision: Mapping[str, Response]) -> Iterator[tuple[str, Response, Response]]:
    """Responses to compare: of a status with what the other document says of it, be it in a wider way."""
    for status in sorted(base.keys() | revision.keys()):
        one, two = bodies.status_for(status, base), bodies.status_for(status, revision)
        if one is not None and two is not None:
            yield status, base[one], revision[two]
