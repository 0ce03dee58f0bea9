"""Recorded exchanges: how they are written and read, and what differs between two."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.dev.contract.remarks import GateError

_WIDTH = 120
_INDENT = "  "
_FIRST_REFUSAL = 400
_DEPENDS_ON = "vary"
_TAG = re.compile(r"[0-9A-F]{8}")
_KEYS = ("step", "operation", "request", "reply")


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and the reply to it.

    Attributes:
        scenario: the list it comes from.
        step: its name there.
        operation: operation id; empty for what no row serves.
        request: line, headers and body as they were written down.
        reply: status, headers and body, with placeholders for what must vary.
    """

    scenario: str
    step: str
    operation: str
    request: Mapping[str, Any]
    reply: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same exchange in two recordings."""
        return (self.scenario, self.step)

    def lines(self) -> list[str]:
        """The exchange as it stands in its file."""
        return written({"operation": self.operation, "request": self.request, "reply": self.reply}).splitlines()


# All of one version, in the order in which they were played.
Recording = tuple[Exchange, ...]
# By label.
Recordings = Mapping[str, Recording]


def as_files(recording: Recording) -> dict[str, bytes]:
    """The content of a version's files, by name."""
    scenarios: dict[str, list[dict[str, Any]]] = {}
    for each in recording:
        plain = {"step": each.step, "operation": each.operation, "request": each.request, "reply": each.reply}
        scenarios.setdefault(f"{each.scenario}.json", []).append(plain)
    return {name: f"{written(exchanges)}\n".encode() for name, exchanges in scenarios.items()}


def from_file(name: str, content: bytes) -> Recording:
    """The exchanges of a file.

    Raises:
        GateError: it is none of these files.
    """
    scenario = name.removesuffix(".json")
    try:
        found = json.loads(content)
        return tuple(Exchange(scenario, *(each[key] for key in _KEYS)) for each in found)
    except (ValueError, TypeError, KeyError) as error:
        raise GateError(f"the recording {name} cannot be read: {type(error).__name__}: {error}") from error


# Any: JSON.
def written(value: Any, indent: str = "") -> str:
    """JSON with as much in a line as fits, so that a changed value is one changed line."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= _WIDTH or not isinstance(value, dict | list | tuple) or not value:
        return line
    deeper = indent + _INDENT
    if isinstance(value, dict):
        members = [f"{json.dumps(key, ensure_ascii=False)}: {written(each, deeper)}" for key, each in value.items()]
        opening, closing = "{", "}"
    else:
        members = [written(each, deeper) for each in value]
        opening, closing = "[", "]"
    inside = f",\n{deeper}".join(members)
    return f"{opening}\n{deeper}{inside}\n{indent}{closing}"


def additions(before: Any, after: Any, path: str = "") -> list[str] | None:
    """Places where the second value has more than the first; None when anything else differs.

    More is a new name in an object. A list that grew, another order and another type of number are changes, and so is a
    new attribute of a data set: which attributes are given is a promise (a client that asked for few got few).
    """
    if isinstance(before, dict) and isinstance(after, dict):
        return _of_members(before, after, path)
    if isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            return None
        return _together(
            additions(*pair, f"{path}/{place}") for place, pair in enumerate(zip(before, after, strict=True))
        )
    return [] if json.dumps(before) == json.dumps(after) else None


def _of_members(before: dict[str, Any], after: dict[str, Any], path: str) -> list[str] | None:
    if [name for name in after if name in before] != list(before):
        return None
    if any(_TAG.fullmatch(name) for name in after if name not in before):
        return None
    deeper = _together(_of_member(name, value, after[name], f"{path}/{name}") for name, value in before.items())
    return None if deeper is None else [*deeper, *(f"{path}/{name}" for name in after if name not in before)]


def _of_member(name: str, before: Any, after: Any, path: str) -> list[str] | None:
    """As `additions`. A longer list of headers that an answer depends on makes caches keep more, and breaks nobody."""
    if name == _DEPENDS_ON and isinstance(before, str) and isinstance(after, str):
        more = [each for each in after.split(", ") if each not in before.split(", ")]
        kept = all(each in after.split(", ") for each in before.split(", "))
        return [f"{path}/{each}" for each in more] if kept else None
    return additions(before, after, path)


def _together(found: Iterable[list[str] | None]) -> list[str] | None:
    places: list[str] = []
    for each in found:
        if each is None:
            return None
        places += each
    return places


def without_wording(reply: Mapping[str, Any]) -> Mapping[str, Any]:
    """A reply without the sentence that says why it is a refusal: documents say that its wording may change."""
    if reply["status"] < _FIRST_REFUSAL or "text" not in reply:
        return reply
    return {name: value for name, value in reply.items() if name != "text"}


def difference(before: Sequence[str], after: Sequence[str], names: tuple[str, str], context: int = 2) -> list[str]:
    """A unified diff."""
    return list(difflib.unified_diff(before, after, *names, lineterm="", n=context))
