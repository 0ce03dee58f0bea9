"""The workbook of the service: made of the queries that docs/operating.md explains, so that each is written once.

Nothing here can draw it; what is checked is its form, and that its parameters and the marks that Bicep fills in fit.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tree_sitter import Node

from shared.dev.infra.source import Finding, Source, children, everywhere, is_literal, text_of
from shared.dev.repository import ROOT

FILE = "workbook.json"
PAGE = ROOT / "docs" / "operating.md"
ENDING, TIME = "Ending", "TimeRange"
# Bicep writes the id of the workspace in the place of one, and a list in the place of the other and of its quotes.
WORKSPACE_MARK, ENDING_MARK = "@@WORKSPACE@@", "@@ENDING@@"

_QUERY = re.compile(r"^(?P<title>[A-Z][^\n]*):\n\n```kusto\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
# What a person of the page changes is a parameter here.
_NAMED_VERSIONS = re.compile(r"let ending = dynamic\(\[.*?\]\);")
# A UID that somebody asks about stays out of what is shown to all.
_ABOUT_ONE_STUDY = "let study ="
_INTRODUCTION = """\
What clients ask of the service, what it costs, and what goes wrong. Each query is explained in docs/operating.md.

**Time range** holds for all of it; look at 90 days, or as long as logs are kept, before a version is retired. \
**Versions that are to end** begins with those that the deployment names (`endingVersions`); nothing is shown below \
"versions that are to end" until one is chosen."""
_VERSIONS_SEEN = """\
AppTraces
| where Message startswith 'request operation='
| parse Message with 'request operation=' * ' version=' Version ' status=' *
| where Version != '-'
| distinct Version
| order by Version asc"""
_DAY_MS = 86_400_000
_SPANS_DAYS = (1, 7, 30, 90, 180, 365)
_NAMES = uuid.UUID("5a0f4d0c-6f8e-4c55-9a1e-2d9d6a6f0b11")
_PARAMETER = re.compile(r"\{(\w+)\}")
_MARK = re.compile(r"@@\w+@@")


def queries(page: str) -> dict[str, str]:
    """The queries of the page that the workbook has, by what the page calls them."""
    found = {match["title"]: match["text"].rstrip() for match in _QUERY.finditer(page)}
    return {title: text for title, text in found.items() if _ABOUT_ONE_STUDY not in text}


def workbook(page: str) -> str:
    """The workbook, as the text of its file."""
    items = [
        {"type": 1, "content": {"json": _INTRODUCTION}, "name": "introduction"},
        {
            "type": 9,
            "content": {"version": "KqlParameterItem/1.0", "parameters": [_time(), _ending()], "style": "pills"},
            "name": "parameters",
        },
        *(_shown(title, text) for title, text in queries(page).items()),
    ]
    made = {"version": "Notebook/1.0", "items": items, "fallbackResourceIds": [WORKSPACE_MARK]}
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def _asked() -> dict[str, Any]:
    """Where a query is asked."""
    return {
        "queryType": 0,
        "resourceType": "microsoft.operationalinsights/workspaces",
        "crossComponentResources": [WORKSPACE_MARK],
        "timeContext": {"durationMs": 0},
        "timeContextFromParameter": TIME,
    }


def _parameter(name: str, label: str, kind: int) -> dict[str, Any]:
    identity = str(uuid.uuid5(_NAMES, name))
    return {"id": identity, "version": "KqlParameterItem/1.0", "name": name, "label": label, "type": kind}


def _time() -> dict[str, Any]:
    spans = [{"durationMs": days * _DAY_MS} for days in _SPANS_DAYS]
    return {
        **_parameter(TIME, "Time range", 4),
        "isRequired": True,
        "typeSettings": {"selectableValues": spans, "allowCustom": True},
        "value": {"durationMs": 30 * _DAY_MS},
    }


def _ending() -> dict[str, Any]:
    return {
        **_parameter(ENDING, "Versions that are to end", 2),
        "multiSelect": True,
        "quote": "'",
        "delimiter": ",",
        "query": _VERSIONS_SEEN,
        "typeSettings": {"additionalResourceOptions": [], "showDefault": False},
        **_asked(),
        "value": ENDING_MARK,
    }


def _shown(title: str, text: str) -> dict[str, Any]:
    content = {
        "version": "KqlItem/1.0",
        "query": _NAMED_VERSIONS.sub(f"let ending = dynamic([{{{ENDING}}}]);", text),
        "size": 0,
        "title": title,
        "noDataMessage": "Nothing in this time.",
        **_asked(),
        "visualization": "timechart" if "bin(TimeGenerated" in text else "table",
    }
    return {"type": 3, "content": content, "name": re.sub(r"\W+", "-", title.lower()).strip("-")}


def workbook_findings(sources: Mapping[Path, Source], page: Path = PAGE) -> Iterator[Finding]:
    """What is wrong with files that Bicep loads: missing, no workbook, stale, or with marks that nobody fills in."""
    for source in sources.values():
        for at, name in _loaded(source):
            path = (source.path.parent / name).resolve()
            if not name or not path.is_file():
                yield source.finding(at, f"there is no {name or 'file with such a name'} to be loaded")
                continue
            text = path.read_text(encoding="utf-8")
            yield from (source.finding(at, f"{name}: {fault}") for fault in faults(text))
            yield from (source.finding(at, fault) for fault in _mark_faults(source, name, text))
            if path.name == FILE and text != workbook(page.read_text(encoding="utf-8")):
                yield source.finding(at, f"{name} is not what the page says: python -m shared.dev.infra workbook")


def _loaded(source: Source) -> Iterator[tuple[Node, str]]:
    for node in everywhere(source.root):
        if node.type == "call_expression" and text_of(node.named_children[0]) == "loadTextContent":
            arguments = children(node.named_children[1])
            known = bool(arguments) and is_literal(arguments[0])
            yield node, text_of(arguments[0]) if known else ""


def _mark_faults(source: Source, name: str, text: str) -> Iterator[str]:
    wanted = set(_MARK.findall(text))
    filled = {
        mark for each in everywhere(source.root) if each.type == "string" for mark in _MARK.findall(text_of(each))
    }
    yield from (f"nothing takes the place of {mark} of {name}" for mark in sorted(wanted - filled))
    yield from (f"{name} has no {mark}" for mark in sorted(filled - wanted))


def faults(text: str) -> Iterator[str]:
    """Why a text is no workbook of the plain items that are used here."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        yield f"is no JSON: {error.msg} in line {error.lineno}"
        return
    if (
        not isinstance(found, dict)
        or found.get("version") != "Notebook/1.0"
        or not isinstance(found.get("items"), list)
    ):
        yield "is no workbook: version Notebook/1.0 and items"
        return
    items = [each for each in found["items"] if isinstance(each, dict)]
    if len(items) < len(found["items"]) or not items:
        yield "items are objects, and there are some"
    names = [each.get("name") for each in items]
    if len(set(names)) < len(names) or not all(isinstance(name, str) and name for name in names):
        yield "every item has a name of its own"
    parameters = [each for item in items if item.get("type") == 9 for each in _list(item, "parameters")]
    known = {str(each.get("name")) for each in parameters}
    for item in items:
        check = _CHECKS.get(item.get("type"))
        content = item.get("content")
        if check is None or not isinstance(content, dict):
            yield f"{item.get('name')}: an item is of type {' or '.join(map(str, _CHECKS))}, and has content"
        else:
            yield from (f"{item.get('name')}: {fault}" for fault in check(content, known))


def _list(item: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    content = item.get("content")
    found = content.get(name) if isinstance(content, dict) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _text_faults(content: Mapping[str, Any], _: set[str]) -> Iterator[str]:
    if not isinstance(content.get("json"), str):
        yield "a text is Markdown in json"


def _parameters_faults(content: Mapping[str, Any], known: set[str]) -> Iterator[str]:
    if content.get("version") != "KqlParameterItem/1.0":
        yield "parameters have version KqlParameterItem/1.0"
    parameters = _list({"content": content}, "parameters")
    if not parameters:
        yield "there are no parameters"
    for each in parameters:
        if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", str(each.get("id"))):
            yield f"{each.get('name')} has no id"
        if each.get("type") not in (1, 2, 4):
            yield f"{each.get('name')} is a text (1), a list (2) or a time range (4)"
        if "query" in each:
            yield from _asked_faults(each, known)


def _query_faults(content: Mapping[str, Any], known: set[str]) -> Iterator[str]:
    if content.get("version") != "KqlItem/1.0":
        yield "a query has version KqlItem/1.0"
    if content.get("visualization") not in ("table", "timechart"):
        yield "a query is shown as table or timechart"
    yield from _asked_faults(content, known)


def _asked_faults(content: Mapping[str, Any], known: set[str]) -> Iterator[str]:
    query = content.get("query")
    if not isinstance(query, str) or not query.strip():
        yield "a query has a text"
        return
    named = {*_PARAMETER.findall(query), str(content.get("timeContextFromParameter"))}
    yield from (f"there is no parameter {name}" for name in sorted(named - known))
    if content.get("queryType") != 0 or content.get("resourceType") != "microsoft.operationalinsights/workspaces":
        yield "a query asks a workspace of logs (queryType 0)"


_CHECKS: Mapping[Any, Callable[[Mapping[str, Any], set[str]], Iterator[str]]] = {
    1: _text_faults,
    3: _query_faults,
    9: _parameters_faults,
}
