"""Calls as handlers get them, made by hand: for tests of rooms without the front door."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from functools import lru_cache
from typing import Any

from shared.api import manifest
from shared.behaviours import Behaviours
from shared.wire.call import Call, Headers, Reply
from shared.wire.media import Choice
from shared.wire.multipart import closing, part_head
from tests.support.served import ROOT

AS_STORED = Choice("application/dicom", multipart=True, transfer_syntax="*")
JSON = Choice("application/dicom+json")


@lru_cache(maxsize=1)
def _behaviours() -> dict[str, Behaviours]:
    return {version.label.text: version.behaviours for version in manifest.load(ROOT / "versions").versions}


async def chunks(content: bytes, size: int = 65536) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def call(
    body: bytes | AsyncIterator[bytes] = b"",
    *,
    label: str = "v2",
    choice: Choice = JSON,
    headers: Iterable[tuple[str, str]] = (),
    partition: str = "Microsoft.Default",
    **parameters: Any,
) -> Call:
    """A call in the behaviours of a version."""
    return Call(
        operation="test",
        parameters=parameters,
        headers=Headers(headers),
        body=chunks(body) if isinstance(body, bytes) else body,
        service_root=f"http://dicom.example.org/{label}",
        partition=partition,
        behaviours=_behaviours()[label],
        choice=choice,
    )


def multipart(files: Iterable[bytes], boundary: str = "the-boundary") -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """A store body with its headers."""
    body = b"".join(
        part_head(boundary, "application/dicom", place == 0) + content for place, content in enumerate(files)
    )
    kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
    return body + closing(boundary), (("Content-Type", kind),)


async def bytes_of(reply: Reply) -> bytes:
    """The whole body of a reply."""
    if isinstance(reply.body, bytes):
        return reply.body
    return b"".join([chunk async for chunk in reply.body])
