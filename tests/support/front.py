"""The whole service in this process: its real routes, front door and rooms over given stores, without sockets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson

from shared.api import manifest, pipeline, routes
from shared.api.arrival import Arrival
from shared.api.endpoints import Endpoint
from shared.api.pipeline import Door
from shared.dev.host import routes as host_routes
from shared.settings import Settings
from shared.storage.stores import Stores
from shared.wire.call import Headers
from tests.support.calls import bytes_of, chunks
from tests.support.served import ROOT

HOST = "dicom.example.org"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client would get; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        return orjson.loads(self.content)


def _undeclared(operation: str, status: int) -> None:
    raise AssertionError(f"{operation} answered {status}, which its row does not name")


@lru_cache(maxsize=4)
def _bound(settings: Settings) -> tuple[tuple[Endpoint, host_routes.Template], ...]:
    """Endpoints in the order in which the host matches them, each with its route as the host reads it."""
    endpoints = routes.bind(manifest.load(ROOT / "versions"), settings)
    return tuple((endpoint, host_routes.parse(endpoint.pattern.template)) for endpoint in endpoints)


class Front:
    """Requests to the service. A status that a row does not name fails the test.

    Args:
        stores: what handlers get.
        settings: of the app; those of storage are the stores' own.
    """

    def __init__(self, stores: Stores, settings: Settings) -> None:
        self._door = Door(stores, settings, _undeclared)
        self._bound = _bound(settings)

    async def ask(self, method: str, url: str, body: bytes = b"", **headers: str) -> Answer:
        """Send a request.

        Args:
            method: upper case.
            url: path and query, percent-encoded.
            body: the whole body; arrives in several pieces.
            headers: with underscores in place of hyphens; no Accept is `*/*`.
        """
        parts = urlsplit(url)
        endpoint, values = self._matched(method, unquote(parts.path))
        lines = {"Host": HOST, "Accept": "*/*", **{name.replace("_", "-"): text for name, text in headers.items()}}
        if body:
            lines["Content-Length"] = str(len(body))
        arrival = Arrival(method, "https", values, parts.query, Headers(lines.items()), chunks(body, 1000))
        reply = await pipeline.answer(endpoint, arrival, self._door)
        named = {name.lower(): text for name, text in reply.headers}
        if reply.media_type is not None:
            named["content-type"] = reply.media_type
        return Answer(reply.status, named, await bytes_of(reply))

    def _matched(self, method: str, path: str) -> tuple[Endpoint, dict[str, str]]:
        for endpoint, template in self._bound:
            if method in endpoint.methods and (values := template.match(path)) is not None:
                return endpoint, values
        raise AssertionError(f"no function takes {method} {path}")
