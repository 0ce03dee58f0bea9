"""The golden requests as they are written down: tests/golden/requests/*.yaml, one list for all versions.

Files are played in the order of their names and steps in the order of a file, each version over data of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from shared.api.manifest import ApiVersion, Row
from shared.dev.contract.remarks import GateError
from shared.dev.golden import files

GOLDEN = "tests/golden"
REQUESTS = f"{GOLDEN}/requests"
_BOUNDARY = "golden"
_KEYS = frozenset({"step", "operation", "needs", "request", "headers", "parts", "file", "text", "until"})


@dataclass(frozen=True, slots=True)
class Step:
    """A request to be sent.

    Attributes:
        name: unique in its scenario.
        operation: operation id of the row that is asked; empty for what no row serves.
        request: method and path; a path without a leading slash is below the version.
        headers: beside those that the body brings.
        parts: names of the files in a multipart body.
        file: name of the file that is the whole body.
        text: a body that is neither.
        needs: operation id of another row without which the step has no sense; empty for none.
        until: a status; the request is sent again until it is answered so, for what goes on behind an answer. 0 for
            what is sent once.
    """

    name: str
    operation: str
    request: str
    headers: Mapping[str, str]
    parts: tuple[str, ...] | None
    file: str
    text: str | None
    needs: str = ""
    until: int = 0

    def line(self, version: ApiVersion) -> str:
        """Method and absolute path."""
        method, _, path = self.request.partition(" ")
        return f"{method} {path}" if path.startswith("/") else f"{method} /{version.label.text}/{path}"

    def all_headers(self) -> dict[str, str]:
        """Those given, and the Content-Type of the files."""
        if self.parts is not None:
            return {
                "Content-Type": f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}',
                **self.headers,
            }
        if self.file:
            return {"Content-Type": "application/dicom", **self.headers}
        return dict(self.headers)

    def body(self) -> bytes:
        """What is sent."""
        if self.parts is not None:
            return _multipart([files.content(name) for name in self.parts])
        return files.content(self.file) if self.file else (self.text or "").encode()


def _multipart(contents: list[bytes]) -> bytes:
    head = f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return b"".join(head + content + b"\r\n" for content in contents) + f"--{_BOUNDARY}--\r\n".encode()


@dataclass(frozen=True, slots=True)
class Scenario:
    """The steps of one file; its name is that of the recordings."""

    name: str
    steps: tuple[Step, ...]

    def of(self, version: ApiVersion) -> Iterator[Step]:
        """Steps that ask for what the version serves, and those that ask for what no row serves."""
        served = rows(version)
        return (step for step in self.steps if all(name in served for name in (step.operation, step.needs) if name))


def rows(version: ApiVersion) -> Mapping[str, Row]:
    """The version's rows by operation id."""
    return {row.operation: row for row in version.rows}


def load(root: Path) -> tuple[Scenario, ...]:
    """All scenarios of a folder; none where it has none.

    Raises:
        GateError: a file of requests has faults.
    """
    return tuple(_scenario(path) for path in sorted((root / REQUESTS).glob("*.yaml")))


def _scenario(path: Path) -> Scenario:
    try:
        content = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise GateError(f"{path.name} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, list) or not content:
        raise GateError(f"{path.name} is no list of steps")
    steps = tuple(_step(path.name, number, entry) for number, entry in enumerate(content, 1))
    names = [step.name for step in steps]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise GateError(f"{path.name} has two steps named {twice[0]!r}")
    return Scenario(path.stem, steps)


# Any: what a file holds is known only after looking.
def _step(file: str, number: int, entry: Any) -> Step:
    place = f"{file}, step {number}"
    if not isinstance(entry, dict):
        raise GateError(f"{place} is no mapping")
    name, request = entry.get("step"), entry.get("request")
    if not isinstance(name, str) or not isinstance(request, str) or len(request.split(" ")) != 2:
        raise GateError(f"{place}: `step` is its name, and `request` is method and path with one space between")
    if unknown := sorted(set(map(str, entry)) - _KEYS):
        raise GateError(f"{place}: unknown key {unknown[0]!r}")
    parts, sent = entry.get("parts"), entry.get("file", "")
    missing = sorted({*(parts or ()), *([sent] if sent else [])} - files.NAMES)
    if missing:
        raise GateError(f"{place}: there is no file {missing[0]!r} in shared/dev/golden/files.py")
    headers = {str(key): str(value) for key, value in (entry.get("headers") or {}).items()}
    named = None if parts is None else tuple(parts)
    asked, needed, until = str(entry.get("operation") or ""), str(entry.get("needs") or ""), entry.get("until", 0)
    if not isinstance(until, int):
        raise GateError(f"{place}: `until` is a status")
    return Step(name, asked, request, headers, named, sent, entry.get("text"), needed, until)
