"""Rules about operations as such: that they are there, their names, and how long they will be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from shared.api.breaking.findings import Level
from shared.api.breaking.model import Interface, Operation
from shared.api.breaking.rulebook import Hit, Rulebook, words


@dataclass(frozen=True, slots=True)
class Interfaces:
    """Both documents as wholes."""

    base: Interface
    revision: Interface


@dataclass(frozen=True, slots=True)
class Removal:
    """An operation that only the base has.

    Attributes:
        operation: as it was.
        path_gone: whether its path has no operation left.
        today: the day to compare its sunset with; None for never.
    """

    operation: Operation
    path_gone: bool
    today: date | None

    @property
    def announced(self) -> bool:
        """Whether clients were told when it would go."""
        return self.operation.deprecated and self.operation.sunset_day is not None

    @property
    def over(self) -> bool:
        """Whether the day clients were told has come."""
        sunset = self.operation.sunset_day
        return self.announced and self.today is not None and sunset is not None and sunset <= self.today


@dataclass(frozen=True, slots=True)
class OperationChange:
    """An operation in both documents."""

    base: Operation
    revision: Operation


DOCUMENTS = Rulebook[Interfaces]()
REMOVED = Rulebook[Removal]()
ADDED = Rulebook[Operation]()
WEBHOOK_REMOVED = Rulebook[Operation]()
WEBHOOK_ADDED = Rulebook[Operation]()
KEPT = Rulebook[OperationChange]()

# Promise words, weakest first; ours are prerelease and stable. A document that says nothing promises stability.
_STABILITY = {"draft": 0, "alpha": 1, "beta": 2, "prerelease": 2, "stable": 3, "": 3}
_GONE = "clients that call it fail"
_PROMISE = "clients relied on the promise"


@DOCUMENTS.rule("behaviour-changed", Level.ERR, "the service does another thing than clients were told")
def _behaviour_changed(change: Interfaces) -> Iterator[Hit]:
    base, revision = change.base.behaviours, change.revision.behaviours
    for key in sorted(base.keys() & revision.keys()):
        if base[key] != revision[key]:
            yield Hit(f"the behaviour {key} went from {base[key]} to {revision[key]}", ("info", "x-behaviours", key))


@DOCUMENTS.rule("behaviour-removed", Level.ERR, "nothing says any more what the service does")
def _behaviour_removed(change: Interfaces) -> Iterator[Hit]:
    for key in sorted(change.base.behaviours.keys() - change.revision.behaviours.keys()):
        yield Hit(f"the behaviour {key} is no longer named", ("info", "x-behaviours", key))


@DOCUMENTS.rule("behaviour-added", Level.INFO, "clients were not told anything else")
def _behaviour_added(change: Interfaces) -> Iterator[Hit]:
    for key in sorted(change.revision.behaviours.keys() - change.base.behaviours.keys()):
        word = change.revision.behaviours[key]
        yield Hit(f"the behaviour {key} is named now: {word}", ("info", "x-behaviours", key))


@DOCUMENTS.rule("document-stability-lowered", Level.ERR, _PROMISE)
def _document_stability_lowered(change: Interfaces) -> Iterator[Hit]:
    yield from _lowered(change.base.stability, change.revision.stability, ("info", "x-stability-level"))


@DOCUMENTS.rule("document-stability-raised", Level.INFO, "clients may rely on more")
def _document_stability_raised(change: Interfaces) -> Iterator[Hit]:
    yield from _raised(change.base.stability, change.revision.stability, ("info", "x-stability-level"))


@REMOVED.rule("path-removed", Level.ERR, _GONE)
def _path_removed(removal: Removal) -> Iterator[Hit]:
    if removal.path_gone and not removal.announced:
        yield Hit("the path is gone without an announcement")


@REMOVED.rule("operation-removed", Level.ERR, _GONE)
def _operation_removed(removal: Removal) -> Iterator[Hit]:
    if not removal.path_gone and not removal.announced:
        yield Hit("the operation is gone without an announcement")


@REMOVED.rule("operation-removed-before-sunset", Level.ERR, "clients were told they could call it until then")
def _removed_before_sunset(removal: Removal) -> Iterator[Hit]:
    if removal.announced and not removal.over:
        known = "" if removal.today else ", and no day of today was given to compare with"
        yield Hit(f"the operation is gone before its sunset on {removal.operation.sunset_day}{known}")


@REMOVED.rule("operation-removed-after-sunset", Level.INFO, "clients were told in time")
def _removed_after_sunset(removal: Removal) -> Iterator[Hit]:
    if removal.over:
        yield Hit(f"the operation is gone after its sunset on {removal.operation.sunset_day}")


@ADDED.rule("operation-added", Level.INFO, "nobody calls it yet")
def _operation_added(_operation: Operation) -> Iterator[Hit]:
    yield Hit("there is a new operation")


@WEBHOOK_REMOVED.rule("webhook-removed", Level.ERR, "clients that wait for it are not called any more")
def _webhook_removed(_operation: Operation) -> Iterator[Hit]:
    yield Hit("the service no longer makes this call")


@WEBHOOK_ADDED.rule("webhook-added", Level.INFO, "nobody waits for it yet")
def _webhook_added(_operation: Operation) -> Iterator[Hit]:
    yield Hit("the service makes a new call")


@KEPT.rule("operation-id-changed", Level.ERR, "clients made from the document do not find their function")
def _operation_id_changed(change: OperationChange) -> Iterator[Hit]:
    base, revision = change.base.operation_id, change.revision.operation_id
    if base and revision and base != revision:
        yield Hit(f"the operation id went from {base} to {revision}", ("operationId",))


@KEPT.rule("operation-id-removed", Level.ERR, "clients made from the document do not find their function")
def _operation_id_removed(change: OperationChange) -> Iterator[Hit]:
    if change.base.operation_id and not change.revision.operation_id:
        yield Hit(f"the operation id {change.base.operation_id} is gone", ("operationId",))


@KEPT.rule("operation-id-added", Level.INFO, "nobody uses it yet")
def _operation_id_added(change: OperationChange) -> Iterator[Hit]:
    if change.revision.operation_id and not change.base.operation_id:
        yield Hit(f"the operation is called {change.revision.operation_id} now", ("operationId",))


@KEPT.rule("path-parameter-renamed", Level.WARN, "URLs stay, but clients made from the document call it by its name")
def _path_parameter_renamed(change: OperationChange) -> Iterator[Hit]:
    for old, new in zip(change.base.placeholders, change.revision.placeholders, strict=False):
        if old != new:
            yield Hit(f"the path parameter {old} is called {new} now", ("parameters", "path", old))


@KEPT.rule("operation-deprecated", Level.INFO, "it still works")
def _operation_deprecated(change: OperationChange) -> Iterator[Hit]:
    if change.revision.deprecated and not change.base.deprecated:
        sunset = f" and goes on {change.revision.sunset}" if change.revision.sunset else ""
        yield Hit(f"the operation is deprecated{sunset}", ("deprecated",))


@KEPT.rule("operation-deprecation-withdrawn", Level.INFO, "clients may go on with it")
def _deprecation_withdrawn(change: OperationChange) -> Iterator[Hit]:
    if change.base.deprecated and not change.revision.deprecated:
        yield Hit("the operation is no longer deprecated", ("deprecated",))


@KEPT.rule("sunset-moved-nearer", Level.ERR, "clients have less time than they were told")
def _sunset_nearer(change: OperationChange) -> Iterator[Hit]:
    base, revision = change.base.sunset_day, change.revision.sunset_day
    if base and revision and revision < base:
        yield Hit(f"the sunset went from {base} to {revision}", ("x-sunset",))


@KEPT.rule("sunset-moved-later", Level.INFO, "clients have more time than they were told")
def _sunset_later(change: OperationChange) -> Iterator[Hit]:
    base, revision = change.base.sunset_day, change.revision.sunset_day
    if base and revision and revision > base:
        yield Hit(f"the sunset went from {base} to {revision}", ("x-sunset",))


@KEPT.rule("sunset-removed", Level.ERR, "clients no longer know how long it works")
def _sunset_removed(change: OperationChange) -> Iterator[Hit]:
    if change.base.sunset and not change.revision.sunset and change.revision.deprecated:
        yield Hit(f"the sunset on {change.base.sunset} is gone", ("x-sunset",))


@KEPT.rule("sunset-unreadable", Level.ERR, "clients no longer know how long it works")
def _sunset_unreadable(change: OperationChange) -> Iterator[Hit]:
    if change.revision.sunset and change.revision.sunset_day is None and change.base.sunset != change.revision.sunset:
        yield Hit("the sunset is no date such as 2030-12-31", ("x-sunset",))


@KEPT.rule("stability-lowered", Level.ERR, _PROMISE)
def _stability_lowered(change: OperationChange) -> Iterator[Hit]:
    yield from _lowered(change.base.stability, change.revision.stability, ("x-stability-level",))


@KEPT.rule("stability-raised", Level.INFO, "clients may rely on more")
def _stability_raised(change: OperationChange) -> Iterator[Hit]:
    yield from _raised(change.base.stability, change.revision.stability, ("x-stability-level",))


@KEPT.rule("tags-changed", Level.INFO, "only clients that group operations by tag see it")
def _tags_changed(change: OperationChange) -> Iterator[Hit]:
    if change.base.tags != change.revision.tags:
        yield Hit(f"the tags went from {words(change.base.tags)} to {words(change.revision.tags)}", ("tags",))


def _lowered(base: str, revision: str, steps: tuple[str, ...]) -> Iterator[Hit]:
    """A weaker promise, an unknown one, or none where one was made in words."""
    if base != revision and (_STABILITY.get(revision, -1) < _STABILITY.get(base, -1) or revision not in _STABILITY):
        yield Hit(f"the stability went from {base or 'unsaid'} to {revision}", steps)
    elif base == "stable" and not revision:
        yield Hit("the stability is no longer said", steps)


def _raised(base: str, revision: str, steps: tuple[str, ...]) -> Iterator[Hit]:
    if revision in _STABILITY and _STABILITY[revision] > _STABILITY.get(base, -1):
        yield Hit(f"the stability went from {base} to {revision or 'unsaid'}", steps)
