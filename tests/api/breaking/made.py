"""Whole documents from the parts that a test is about."""

from __future__ import annotations

import copy
from datetime import date
from pathlib import Path

import yaml

from shared.api.breaking import engine
from shared.api.breaking.documents import Document

PAIRS = Path(__file__).parent / "pairs"
OK = {"200": {"description": "ok"}}
KEY = {"type": "apiKey", "in": "header", "name": "X-Key"}
# What a part may stand for; the key is how a pair names it.
KINDS = ("document", "paths", "operation", "answer", "request", "response", "scheme")


def pairs():
    """All pairs, each with the file it is written in."""
    found = []
    for path in sorted(PAIRS.glob("*.yaml")):
        for pair in yaml.load(path.read_text(encoding="utf-8"), Loader=_Plain):
            found.append({"file": path.name, **pair})
    return found


class _Plain(yaml.CSafeLoader):
    """Dates stay texts, as in a document."""


_Plain.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith("timestamp")]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def document(kind, part, openapi="3.0.3", components=None):
    """A whole document around a part."""
    whole = {
        "openapi": openapi,
        "info": {"title": "T", "version": "1"},
        "paths": {"/fixed": {"get": {"responses": OK}}},
    }
    if components:
        whole["components"] = components
    if kind == "document":
        whole |= part
    elif kind == "paths":
        whole["paths"] |= {path: _item(item) for path, item in part.items()}
    else:
        whole["paths"]["/things"] = _item({"post" if kind == "request" else "get": _operation(kind, part)})
    schemes = {"key": part if kind == "scheme" else KEY, "token": {"type": "http", "scheme": "bearer"}}
    if kind in ("operation", "scheme"):
        whole["components"] = {**whole.get("components", {}), "securitySchemes": schemes}
    return texts(whole)


def _operation(kind, part):
    if kind == "operation":
        return part
    if kind == "scheme":
        return {"security": [{"key": []}]}
    if kind == "request":
        return {"requestBody": {"content": {"application/json": {"schema": part}}}}
    answer = part if kind == "answer" else {"content": {"application/json": {"schema": part}}}
    return {"responses": {"200": {"description": "ok", **answer}}}


def _item(item):
    return {method: {"responses": OK, **operation} for method, operation in item.items()}


def texts(node):
    """A copy with texts as keys, as documents have them."""
    if isinstance(node, dict):
        return {str(key): texts(value) for key, value in node.items()}
    return [texts(value) for value in node] if isinstance(node, list) else copy.copy(node)


def found(base, revision, today=None):
    """Findings between two documents given as plain data."""
    return engine.compare(Document(base), Document(revision), date.fromisoformat(today) if today else None)


def ids(base, revision, today=None):
    """Ids of the findings, sorted."""
    return sorted(finding.id for finding in found(base, revision, today))


def between(kind, base, revision, **more):
    """Ids of the findings between two parts."""
    today = more.pop("today", None)
    return ids(document(kind, base, **more), document(kind, revision, **more), today)
