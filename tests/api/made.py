"""What the tests of the front door are made of: version folders, requests, and handlers that remember."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from shared.api import manifest, pipeline, routes
from shared.api.arrival import Arrival
from shared.api.endpoints import Endpoint, Handler, Service
from shared.api.pipeline import Door
from shared.api.streams import StreamedBody
from shared.settings import Settings
from shared.storage.stores import Stores, open_stores
from shared.wire.call import Call, Headers, Reply
from tests.support.versions import FIRST, file_of_first

VERSIONS = Path(__file__).resolve().parents[2] / "versions"
SETTINGS = Settings()


# What these tests edit and then see word by word; a version that is added changes nothing of that.
ALSO = ("service.yaml", "shapes.yaml")


def folder(tmp_path: Path, **edits: Callable[[str], str]) -> Path:
    """A copy of some real version files; an edit is named like its file, with __ for a dot and no ending."""
    made = tmp_path / "versions"
    made.mkdir()
    for name in ALSO:
        shutil.copy(VERSIONS / name, made)
    for label in FIRST:
        (made / f"{label}.yaml").write_text(file_of_first(label), encoding="utf-8")
    for name, edit in edits.items():
        path = made / f"{name.replace('__', '.').replace('_prerelease', '-prerelease')}.yaml"
        before = path.read_text(encoding="utf-8")
        after = edit(before)
        assert after != before, f"the edit of {path.name} changed nothing"
        path.write_text(after, encoding="utf-8")
    return made


READ_MORE = "https://docs.example/versions?end=1"
END = f"{{announced: 2027-01-01, sunset: 2028-01-02, successor: v2, read_more: '{READ_MORE}'}}"


def deprecate(text: str) -> str:
    """The edit that announces the end of a version."""
    return text.replace("deprecation: null", f"deprecation: {END}")


def retire(text: str) -> str:
    """The edit that ends a version: its file shrinks to two keys."""
    label = next(line for line in text.splitlines() if line.startswith("label: "))
    return f"{label}\nretired: {{on: 2028-01-02, successor: v2, read_more: '{READ_MORE}'}}\n"


class Undeclared(AssertionError):
    """A row answered with a status it does not name."""


def raise_undeclared(operation: str, status: int) -> None:
    raise Undeclared(f"{operation} answered {status}")


def door(settings: Settings = SETTINGS) -> Door:
    return Door(open_stores(settings), settings, raise_undeclared)


class Room:
    """Handlers that remember their call and give back what they were told to."""

    def __init__(self, act: Callable[[Call], Awaitable[Reply]] | None = None) -> None:
        self.calls: list[Call] = []
        self.names: list[str] = []
        self._act = act

    def resolve(self, name: str) -> Handler:
        async def handler(call: Call, _stores: Stores) -> Reply:
            self.calls.append(call)
            self.names.append(name)
            return await self._act(call) if self._act else Reply(200, name.encode(), "text/plain")

        return handler


@functools.cache
def loaded() -> manifest.Manifests:
    """The real version files."""
    return manifest.load(VERSIONS)


def bound(where: Path = VERSIONS, settings: Settings = SETTINGS, room: Room | None = None) -> dict[str, Endpoint]:
    """Endpoints by function name, in the order in which the host matches."""
    manifests = loaded() if where == VERSIONS else manifest.load(where)
    endpoints = routes.bind(manifests, settings, (room or Room()).resolve)
    return {endpoint.name: endpoint for endpoint in endpoints}


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def arrival(method: str = "GET", path: dict[str, str] | None = None, **more: Any) -> Arrival:
    """A request with usual headers; `headers` replaces lines by name, None takes one away."""
    lines: dict[str, str | None] = {"Host": "dicom.example:8080", "Accept": "*/*"}
    lines.update(more.get("headers", {}))
    chunks = more.get("chunks", ())
    if chunks and "Content-Length" not in lines:
        lines["Content-Length"] = str(sum(map(len, chunks)))
    return Arrival(
        method=method,
        scheme="https",
        path_values={"version": "v2", **(path or {})},
        query=more.get("query", ""),
        headers=Headers((name, value) for name, value in lines.items() if value is not None),
        body=more.get("body") or stream(*chunks),
    )


def replaced_headers(request: Arrival, lines: list[tuple[str, str]]) -> Arrival:
    """The request with other header lines, of which names may come twice."""
    return dataclasses.replace(request, headers=Headers(lines))


async def ask(endpoint: Endpoint, request: Arrival, settings: Settings = SETTINGS) -> Reply:
    return await pipeline.answer(endpoint, request, door(settings))


def service(endpoint: Endpoint) -> Service:
    assert isinstance(endpoint.work, Service)
    return endpoint.work


def whole(reply: Reply) -> bytes:
    assert isinstance(reply.body, bytes)
    return reply.body


def streaming(reply: Reply) -> StreamedBody:
    assert isinstance(reply.body, StreamedBody)
    return reply.body


def headers_of(reply: Reply) -> dict[str, str]:
    return {name.lower(): value for name, value in reply.headers}
