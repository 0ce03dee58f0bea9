"""What shapes.yaml says of parameters → their records."""

from __future__ import annotations

from shared.api.decode import Entry
from shared.api.params import Kind, Parameter, Place


def parameter(entry: Entry, path_name: str = "") -> Parameter:
    """One parameter; those of the path have their name as the key above them."""
    if path_name:
        parts = entry.fields(("binds", "type", "text"), ("example",))
        name, place = path_name, Place.PATH
    else:
        parts = entry.fields(("name", "in", "type", "text"), ("binds", "default", "minimum", "maximum", "example"))
        name, place = parts["name"].word(r"[A-Za-z][A-Za-z0-9_.-]*"), _place(parts["in"])
    kind = _kind(parts["type"])
    limits: dict[str, int | bool | None] = {"default": None, "minimum": None, "maximum": None}
    for limit in limits:
        if limit not in parts or not parts[limit].given:
            continue
        if limit == "default" and kind is Kind.TRUE_OR_FALSE:
            limits[limit] = parts[limit].flag()
            continue
        limits[limit] = parts[limit].number()
        if kind is not Kind.WHOLE_NUMBER:
            parts[limit].fault(f"{limit!r} is for whole numbers")
    binds = parts["binds"].word(r"[a-z][a-z0-9_]*") if parts["binds"].given else ""
    if bool(binds) == (kind in (Kind.MEDIA_TYPES, Kind.MATCHING_KEY)):
        entry.fault("'binds' is due for every type but media_types and matching_key, which are read as a whole")
    return Parameter(
        name,
        place,
        kind,
        binds,
        parts["text"].text(),
        **limits,
        example=parts["example"].plain() if parts["example"].given else None,
    )


def _place(entry: Entry) -> Place:
    word = entry.word()
    if word and word not in ("query", "header"):
        entry.fault("query or header is due here")
        return Place.QUERY
    return Place(word or "query")


def _kind(entry: Entry) -> Kind:
    word = entry.word()
    known = [kind.value for kind in Kind]
    if word and word not in known:
        entry.fault(f"unknown type {word!r}; known: {', '.join(known)}")
    return Kind(word) if word in known else Kind.TEXT
