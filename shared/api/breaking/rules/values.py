"""Rules about which values a schema allows: types, null, listed values, formats."""

from __future__ import annotations

from collections.abc import Iterator

from shared.api.breaking.changes import SchemaChange, ShapeChange
from shared.api.breaking.findings import Level
from shared.api.breaking.rulebook import Hit, Rulebook, words
from shared.api.breaking.shapes import Shape

# Whole schemas, and single alternatives of them, on the way to the service and from it.
SENT = Rulebook[SchemaChange]()
RECEIVED = Rulebook[SchemaChange]()
SENT_SHAPES = Rulebook[ShapeChange]()
RECEIVED_SHAPES = Rulebook[ShapeChange]()

# Format → formats whose every value it has too.
_WIDER = {"int64": {"int32"}, "double": {"float"}}


@SENT.rule("request-null-refused", Level.ERR, "a client that sends null is refused")
def _null_refused(change: SchemaChange) -> Iterator[Hit]:
    if change.base.null and not change.revision.null and change.revision.shapes:
        yield Hit("null is no longer allowed")


@SENT.rule("request-null-allowed", Level.INFO, "clients may send more than before")
def _null_allowed(change: SchemaChange) -> Iterator[Hit]:
    if change.revision.null and not change.base.null and change.base.shapes:
        yield Hit("null is allowed now")


@RECEIVED.rule("response-null-allowed", Level.ERR, "a client that relies on a value gets none")
def _null_given(change: SchemaChange) -> Iterator[Hit]:
    if change.revision.null and not change.base.null and change.base.shapes:
        yield Hit("the value may be null now")


@RECEIVED.rule("response-null-dropped", Level.INFO, "clients get less than they are ready for")
def _null_not_given(change: SchemaChange) -> Iterator[Hit]:
    if change.base.null and not change.revision.null and change.revision.shapes:
        yield Hit("the value is never null now")


@SENT.rule("request-value-refused", Level.ERR, "whatever a client sends there is refused")
def _everything_refused(change: SchemaChange) -> Iterator[Hit]:
    if change.base.shapes and not change.revision.shapes:
        yield Hit("no value is allowed there any more")


@SENT.rule("request-value-allowed", Level.INFO, "clients may send more than before")
def _something_allowed(change: SchemaChange) -> Iterator[Hit]:
    if change.revision.shapes and not change.base.shapes:
        yield Hit("a value is allowed where there was none")


@RECEIVED.rule("response-value-appears", Level.ERR, "clients get something where they were promised nothing")
def _something_given(change: SchemaChange) -> Iterator[Hit]:
    if change.revision.shapes and not change.base.shapes:
        yield Hit("a value appears where there was none")


@RECEIVED.rule("response-value-disappears", Level.ERR, "clients get nothing where there was a value")
def _nothing_given(change: SchemaChange) -> Iterator[Hit]:
    if change.base.shapes and not change.revision.shapes:
        yield Hit("no value is given there any more")


@SENT_SHAPES.rule("request-type-changed", Level.ERR, "what clients send is refused")
def _sent_type_changed(change: ShapeChange) -> Iterator[Hit]:
    if not change.base.types & change.revision.types:
        yield _type_hit(change, "changed")


@SENT_SHAPES.rule("request-type-narrowed", Level.ERR, "some of what clients send is refused")
def _sent_type_narrowed(change: ShapeChange) -> Iterator[Hit]:
    common = change.base.types & change.revision.types
    if common and not change.base.types <= change.revision.types and not _by_values(change):
        yield _type_hit(change, "went")


@SENT_SHAPES.rule("request-type-widened", Level.INFO, "clients may send more than before")
def _sent_type_widened(change: ShapeChange) -> Iterator[Hit]:
    if change.base.types < change.revision.types and not _by_values(change):
        yield _type_hit(change, "went")


@RECEIVED_SHAPES.rule("response-type-changed", Level.ERR, "clients cannot read what they get")
def _received_type_changed(change: ShapeChange) -> Iterator[Hit]:
    if not change.base.types & change.revision.types:
        yield _type_hit(change, "changed")


@RECEIVED_SHAPES.rule("response-type-widened", Level.ERR, "clients get values of a type they do not expect")
def _received_type_widened(change: ShapeChange) -> Iterator[Hit]:
    common = change.base.types & change.revision.types
    if common and not change.revision.types <= change.base.types and not _by_values(change):
        yield _type_hit(change, "went")


@RECEIVED_SHAPES.rule("response-type-narrowed", Level.INFO, "clients get less than they are ready for")
def _received_type_narrowed(change: ShapeChange) -> Iterator[Hit]:
    if change.revision.types < change.base.types and not _by_values(change):
        yield _type_hit(change, "went")


@SENT_SHAPES.rule("request-enum-value-removed", Level.ERR, "a client that sends it is refused")
def _sent_value_removed(change: ShapeChange) -> Iterator[Hit]:
    if gone := _less(change.base, change.revision):
        yield Hit(f"allowed values are gone: {words(gone)}", ("enum",))


@SENT_SHAPES.rule("request-enum-value-added", Level.INFO, "clients may send more than before")
def _sent_value_added(change: ShapeChange) -> Iterator[Hit]:
    if new := _less(change.revision, change.base):
        yield Hit(f"more values are allowed: {words(new)}", ("enum",))


@SENT_SHAPES.rule("request-enum-set", Level.ERR, "a client that sends another value is refused")
def _sent_list_set(change: ShapeChange) -> Iterator[Hit]:
    if change.base.values is None and change.revision.values is not None and change.base.types & change.revision.types:
        yield Hit(f"only these values are allowed now: {words(change.revision.values)}", ("enum",))


@SENT_SHAPES.rule("request-enum-dropped", Level.INFO, "clients may send more than before")
def _sent_list_dropped(change: ShapeChange) -> Iterator[Hit]:
    if change.base.values is not None and change.revision.values is None and change.base.types & change.revision.types:
        yield Hit("other values than the listed ones are allowed now", ("enum",))


@RECEIVED_SHAPES.rule("response-enum-value-added", Level.ERR, "clients get a value they were told would not come")
def _received_value_added(change: ShapeChange) -> Iterator[Hit]:
    new = _less(change.revision, change.base)
    if new and not change.base.extensible:
        yield Hit(f"more values may come: {words(new)}", ("enum",))


@RECEIVED_SHAPES.rule("response-extensible-enum-value-added", Level.INFO, "clients were told that more values may come")
def _received_value_expected(change: ShapeChange) -> Iterator[Hit]:
    new = _less(change.revision, change.base)
    if new and change.base.extensible:
        yield Hit(f"more values may come: {words(new)}", ("enum",))


@RECEIVED_SHAPES.rule("response-enum-value-removed", Level.INFO, "clients get less than they are ready for")
def _received_value_removed(change: ShapeChange) -> Iterator[Hit]:
    if gone := _less(change.base, change.revision):
        yield Hit(f"values never come any more: {words(gone)}", ("enum",))


@RECEIVED_SHAPES.rule("response-enum-dropped", Level.ERR, "clients get values they were told would not come")
def _received_list_dropped(change: ShapeChange) -> Iterator[Hit]:
    common = change.base.types & change.revision.types
    if common and change.base.values is not None and change.revision.values is None and not change.base.extensible:
        yield Hit(f"other values than {words(change.base.values)} may come", ("enum",))


@RECEIVED_SHAPES.rule("response-enum-set", Level.INFO, "clients get less than they are ready for")
def _received_list_set(change: ShapeChange) -> Iterator[Hit]:
    if change.base.values is None and change.revision.values is not None and change.base.types & change.revision.types:
        yield Hit(f"only these values come now: {words(change.revision.values)}", ("enum",))


@SENT_SHAPES.rule("request-format-narrowed", Level.ERR, "some of what clients send is refused")
def _sent_format_narrowed(change: ShapeChange) -> Iterator[Hit]:
    if _comparable(change) and not _covers(change.revision.formats, change.base.formats):
        yield _format_hit(change)


@SENT_SHAPES.rule("request-format-widened", Level.INFO, "clients may send more than before")
def _sent_format_widened(change: ShapeChange) -> Iterator[Hit]:
    same = change.base.formats == change.revision.formats
    if _comparable(change) and not same and _covers(change.revision.formats, change.base.formats):
        yield _format_hit(change)


@RECEIVED_SHAPES.rule("response-format-widened", Level.ERR, "clients cannot read what they get as they used to")
def _received_format_widened(change: ShapeChange) -> Iterator[Hit]:
    if _comparable(change) and not _covers(change.base.formats, change.revision.formats):
        yield _format_hit(change)


@RECEIVED_SHAPES.rule(
    "response-format-narrowed", Level.WARN, "clients made from the document may read the value as another type"
)
def _received_format_narrowed(change: ShapeChange) -> Iterator[Hit]:
    same = change.base.formats == change.revision.formats
    if _comparable(change) and not same and _covers(change.base.formats, change.revision.formats):
        yield _format_hit(change)


def _type_hit(change: ShapeChange, verb: str) -> Hit:
    return Hit(f"the type {verb} from {_types(change.base)} to {_types(change.revision)}", ("type",))


def _format_hit(change: ShapeChange) -> Hit:
    return Hit(f"the format went from {_formats(change.base)} to {_formats(change.revision)}", ("format",))


def _types(shape: Shape) -> str:
    names = shape.types - {"integer"} if "number" in shape.types and shape.values is None else shape.types
    return " or ".join(sorted(names))


def _formats(shape: Shape) -> str:
    return " and ".join(sorted(shape.formats)) or "none"


def _by_values(change: ShapeChange) -> bool:
    """Whether listed values say all there is to say: the rules for them do, the types only follow."""
    return change.base.values is not None or change.revision.values is not None


def _less(before: Shape, after: Shape) -> frozenset[str]:
    """Listed values of the first that the second does not list; nothing unless both list some and share a type."""
    if before.values is None or after.values is None or not before.types & after.types:
        return frozenset()
    return before.values - after.values


def _comparable(change: ShapeChange) -> bool:
    return bool(change.base.types & change.revision.types)


def _covers(wide: frozenset[str], narrow: frozenset[str]) -> bool:
    """Whether all that has the narrow formats has the wide ones; no format at all is the widest."""
    return all(word in narrow or _WIDER.get(word, set()) & narrow for word in wide)
