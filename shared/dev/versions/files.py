"""Edits of a version file as text, so that comments and order stay. What a file must say is checked by its loader."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date

import yaml

from shared.api.labels import Label
from shared.api.lifecycle import Deprecation, Retirement

_FIRST_LINE = re.compile(r"\A# Everything version \S+ serves\.[^\n]*")
_CLOSING = {
    "stable": "A released table is a promise: see README.md before changing a line.",
    "prerelease": "It may change without notice: see README.md.",
}
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9 ,.;()/'-]*")


def copied(text: str, label: Label, released: date, summary: str) -> str:
    """The file of a new version, which starts as another one is.

    Args:
        text: file of the version to start from.
        label: of the new version; with a status it is a prerelease, without it is stable.
        released: day of its release.
        summary: one line; empty to keep that of the file.
    """
    stability = stability_of(label)
    values = {
        "label": label.text,
        "stability": stability,
        "released": str(released),
        "deprecation": "null",
        **({"summary": _scalar(summary)} if summary else {}),
    }
    return _FIRST_LINE.sub(f"# Everything version {label.name} serves. {_CLOSING[stability]}", _with(text, values))


def stability_of(label: Label) -> str:
    """What a label promises: whoever reads `v3` takes it for stable, and `v3.0-prerelease` for what it says."""
    return "stable" if label.released else "prerelease"


def announced(text: str, end: Deprecation) -> str:
    """The file of a version with the announcement of its end, in place of an earlier one if there is any."""
    days = f"announced: {end.announced}, sunset: {end.sunset}"
    return _with(
        text, {"deprecation": f"{{{days}, successor: {end.successor}, read_more: {json.dumps(end.read_more)}}}"}
    )


def retired(end: Retirement) -> str:
    """All that is left of the file of a version that is gone."""
    line = f"retired: {{on: {end.on}, successor: {end.successor}, read_more: {json.dumps(end.read_more)}}}"
    return f"label: {end.label.text}\n{line}\n"


def _with(text: str, values: Mapping[str, str]) -> str:
    """A text whose top-level keys have other values, written in YAML."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode), "the loader lets nothing else through"
    spans = {key.value: _span(text, key, value) for key, value in root.value if key.value in values}
    for key, (start, end) in sorted(spans.items(), key=lambda item: item[1], reverse=True):
        text = f"{text[:start]}{values[key]}{text[end:]}"
    return text


def _span(text: str, key: yaml.Node, value: yaml.Node) -> tuple[int, int]:
    """Where a value begins and ends. One that is written over several lines begins behind its key."""
    start, behind = value.start_mark.index, key.end_mark.index + 1
    if text[behind:start].isspace():
        start = behind + 1 if text[behind : behind + 1] == " " else behind
    return start, _end(text, value)


def _end(text: str, node: yaml.Node) -> int:
    """Where a value ends; in block style its mark is where the next key begins, past comments that are not its own."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return _end(text, node.value[-1][1])
    return len(text[: node.end_mark.index].rstrip())


def _scalar(text: str) -> str:
    """A text as YAML: plain where it stays a text, in quotes otherwise."""
    plain = _PLAIN.fullmatch(text) is not None and yaml.safe_load(text) == text
    return text if plain else json.dumps(text, ensure_ascii=False)
