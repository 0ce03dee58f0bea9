"""Rules about objects: properties that come, go or change their standing, and properties nobody named."""

from __future__ import annotations

from collections.abc import Iterator

from shared.api.breaking.changes import ShapeChange
from shared.api.breaking.findings import Level
from shared.api.breaking.rulebook import Hit, Rulebook

SENT = Rulebook[ShapeChange]()
RECEIVED = Rulebook[ShapeChange]()


def _at(name: str) -> tuple[str, ...]:
    return ("properties", name)


@SENT.rule("request-property-removed", Level.WARN, "what a client sends there has no meaning any more")
def _sent_removed(change: ShapeChange) -> Iterator[Hit]:
    for name in change.gone:
        if not change.revision_closed:
            yield Hit(f"the property {name!r} is gone", _at(name))


@SENT.rule(
    "request-property-refused", Level.ERR, "a client that sends it is refused, as only named properties are allowed"
)
def _sent_refused(change: ShapeChange) -> Iterator[Hit]:
    for name in change.gone:
        if change.revision_closed:
            yield Hit(f"the property {name!r} is gone", _at(name))


@SENT.rule("request-property-renamed", Level.ERR, "what a client sends under the old name has no meaning any more")
def _sent_renamed(change: ShapeChange) -> Iterator[Hit]:
    for old, new in change.renamed:
        yield Hit(f"the property {old!r} is called {new!r} now", _at(old))


@SENT.rule("request-required-property-added", Level.ERR, "a client that does not know it is refused")
def _sent_required_added(change: ShapeChange) -> Iterator[Hit]:
    for name in change.demanded:
        if name not in change.seen(change.base):
            yield Hit(f"the new property {name!r} is required", _at(name))


@SENT.rule("request-property-added", Level.INFO, "clients may send more than before")
def _sent_added(change: ShapeChange) -> Iterator[Hit]:
    for name in change.new:
        if name not in change.revision.required:
            yield Hit(f"there is a new property {name!r}", _at(name))


@SENT.rule("request-property-became-required", Level.ERR, "a client that leaves it out is refused")
def _sent_became_required(change: ShapeChange) -> Iterator[Hit]:
    for name in change.demanded:
        if name in change.seen(change.base):
            yield Hit(f"the property {name!r} is required now", _at(name))


@SENT.rule("request-property-became-optional", Level.INFO, "clients may leave it out")
def _sent_became_optional(change: ShapeChange) -> Iterator[Hit]:
    for name in change.waived:
        if name in change.revision.properties:
            yield Hit(f"the property {name!r} is optional now", _at(name))


@SENT.rule("request-property-became-read-only", Level.WARN, "what a client sends there has no meaning any more")
def _sent_became_read_only(change: ShapeChange) -> Iterator[Hit]:
    for name, base in change.seen(change.base).items():
        revision = change.revision.properties.get(name)
        if revision is not None and revision.read_only and not base.read_only:
            yield Hit(f"the property {name!r} is read-only now", _at(name))


@SENT.rule("request-property-default-added", Level.ERR, "a client that leaves it out means something else now")
def _sent_default_added(change: ShapeChange) -> Iterator[Hit]:
    for name, base, revision in change.both():
        if revision.default and not base.default:
            yield Hit(f"the property {name!r} has the default {revision.default} now", (*_at(name), "default"))


@SENT.rule("request-property-default-changed", Level.ERR, "a client that leaves it out means something else now")
def _sent_default_changed(change: ShapeChange) -> Iterator[Hit]:
    for name, base, revision in change.both():
        if base.default and revision.default and base.default != revision.default:
            what = f"the default of the property {name!r} went from {base.default} to {revision.default}"
            yield Hit(what, (*_at(name), "default"))


@SENT.rule("request-property-default-removed", Level.ERR, "a client that leaves it out means something else now")
def _sent_default_removed(change: ShapeChange) -> Iterator[Hit]:
    for name, base, revision in change.both():
        if base.default and not revision.default:
            yield Hit(f"the property {name!r} has lost its default {base.default}", (*_at(name), "default"))


@SENT.rule("request-object-closed", Level.ERR, "a client that sends other properties is refused")
def _sent_closed(change: ShapeChange) -> Iterator[Hit]:
    if change.objects and change.revision_closed and not change.base_closed:
        yield Hit("properties that are not named are no longer allowed", ("additionalProperties",))


@SENT.rule("request-object-opened", Level.INFO, "clients may send more than before")
def _sent_opened(change: ShapeChange) -> Iterator[Hit]:
    if change.objects and change.base_closed and not change.revision_closed:
        yield Hit("properties that are not named are allowed now", ("additionalProperties",))


@RECEIVED.rule("response-required-property-removed", Level.ERR, "a client that reads it finds nothing")
def _received_required_removed(change: ShapeChange) -> Iterator[Hit]:
    for name in change.gone:
        if name in change.base.required:
            yield Hit(f"the property {name!r}, which was always there, is gone", _at(name))


@RECEIVED.rule("response-optional-property-removed", Level.ERR, "a client that reads it finds nothing")
def _received_optional_removed(change: ShapeChange) -> Iterator[Hit]:
    for name in change.gone:
        if name not in change.base.required:
            yield Hit(f"the property {name!r} is gone", _at(name))


@RECEIVED.rule("response-property-renamed", Level.ERR, "a client that reads the old name finds nothing")
def _received_renamed(change: ShapeChange) -> Iterator[Hit]:
    for old, new in change.renamed:
        yield Hit(f"the property {old!r} is called {new!r} now", _at(old))


@RECEIVED.rule("response-property-became-optional", Level.ERR, "a client that relies on it may find nothing")
def _received_became_optional(change: ShapeChange) -> Iterator[Hit]:
    for name in change.waived:
        yield Hit(f"the property {name!r}, which was always there, may be absent", _at(name))


@RECEIVED.rule("response-property-became-required", Level.INFO, "clients may rely on it")
def _received_became_required(change: ShapeChange) -> Iterator[Hit]:
    for name in change.demanded:
        if name not in change.new:
            yield Hit(f"the property {name!r} is always there now", _at(name))


@RECEIVED.rule("response-property-became-write-only", Level.ERR, "a client that reads it finds nothing")
def _received_became_write_only(change: ShapeChange) -> Iterator[Hit]:
    for name, base in change.seen(change.base).items():
        revision = change.revision.properties.get(name)
        if revision is not None and revision.write_only and not base.write_only:
            yield Hit(f"the property {name!r} is write-only now", _at(name))


@RECEIVED.rule("response-property-added", Level.INFO, "readers leave alone what they do not know")
def _received_added(change: ShapeChange) -> Iterator[Hit]:
    for name in change.new:
        if not change.base_closed:
            yield Hit(f"there is a new property {name!r}", _at(name))


@RECEIVED.rule(
    "response-property-added-to-closed-object", Level.WARN,
    "a client that checks answers against the document refuses it, because it was told of no other properties",
)  # fmt: skip
def _received_added_to_closed(change: ShapeChange) -> Iterator[Hit]:
    for name in change.new:
        if change.base_closed:
            yield Hit(f"there is a new property {name!r}", _at(name))


@RECEIVED.rule(
    "response-object-opened", Level.WARN,
    "a client that checks answers against the document refuses it, because it was told of no other properties",
)  # fmt: skip
def _received_opened(change: ShapeChange) -> Iterator[Hit]:
    if change.objects and change.base_closed and not change.revision_closed:
        yield Hit("there may be properties that are not named", ("additionalProperties",))


@RECEIVED.rule("response-object-closed", Level.INFO, "clients get less than they are ready for")
def _received_closed(change: ShapeChange) -> Iterator[Hit]:
    if change.objects and change.revision_closed and not change.base_closed:
        yield Hit("there are no properties but the named ones now", ("additionalProperties",))


@RECEIVED.rule(
    "response-property-default-changed", Level.WARN, "a client that finds nothing takes another value for it"
)
def _received_default(change: ShapeChange) -> Iterator[Hit]:
    for name, base, revision in change.both():
        if base.default != revision.default and name not in change.revision.required:
            before, after = base.default or "none", revision.default or "none"
            yield Hit(f"the default of the property {name!r} went from {before} to {after}", (*_at(name), "default"))


@SENT.rule("request-property-deprecated", Level.INFO, "it still works")
def _sent_deprecated(change: ShapeChange) -> Iterator[Hit]:
    for name, base, revision in change.both():
        if revision.deprecated and not base.deprecated:
            yield Hit(f"the property {name!r} is deprecated", _at(name))


@RECEIVED.rule("response-property-deprecated", Level.INFO, "it is still there")
def _received_deprecated(change: ShapeChange) -> Iterator[Hit]:
    for name, base, revision in change.both():
        if revision.deprecated and not base.deprecated:
            yield Hit(f"the property {name!r} is deprecated", _at(name))
