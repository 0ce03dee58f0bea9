"""How pages and lists go out: with an ETag, as 304 when the client has them, and compressed when they are long."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from shared.wire.call import Call, Reply
from shared.wire.encoding import accepts_gzip

Key = TypeVar("Key", bound=Hashable)
HeaderLines = tuple[tuple[str, str], ...]

SHORT_LIVED = "max-age=300"
"""What changes with a deployment only, and may be a few minutes old."""

FOR_EVER = "public, max-age=31536000, immutable"
"""What has another address when it changes."""


_WORTH_BYTES = 2048


@dataclass(frozen=True, slots=True)
class Written:
    """Something to give out.

    Attributes:
        content: its bytes.
        media_type: with its parameters.
        headers: further lines.
        cache_control: how long it may be kept.
        zipped: the same bytes compressed; empty when that is not worth it.
    """

    content: bytes
    media_type: str
    headers: HeaderLines = ()
    cache_control: str = SHORT_LIVED
    zipped: bytes = b""

    @classmethod
    def for_long(
        cls, content: bytes, media_type: str, headers: HeaderLines = (), cache_control: str = SHORT_LIVED
    ) -> Written:
        """What this process keeps and gives out again, so that compressing it once pays."""
        zipped = gzip.compress(content, mtime=0) if len(content) > _WORTH_BYTES else b""
        return cls(content, media_type, headers, cache_control, zipped)

    @property
    def etag(self) -> str:
        """Changes with the content, and with nothing else."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'

    def reply(self, call: Call) -> Reply:
        """The answer to a request: the whole, or 304 for a client that has it."""
        vary = "Accept, Accept-Encoding"
        lines = (("ETag", self.etag), ("Cache-Control", self.cache_control), ("Vary", vary), *self.headers)
        if _has(call.headers.joined("If-None-Match"), self.etag):
            return Reply(304, headers=lines)
        if self.zipped and accepts_gzip(call.headers.joined("Accept-Encoding")):
            return Reply(200, self.zipped, self.media_type, (*lines, ("Content-Encoding", "gzip")))
        return Reply(200, self.content, self.media_type, lines)


def _has(if_none_match: str | None, etag: str) -> bool:
    """Whether an `If-None-Match` names the tag (RFC 9110 §13.1.2)."""
    named = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return etag in named or "*" in named


class Shelf(Generic[Key]):
    """What was written once, by key. Writing goes on in a thread: it takes longer than a request may hold up others.

    Args:
        write: makes what a key stands for; there are few keys, and each is kept for the life of the process.
    """

    def __init__(self, write: Callable[[Key], Written]) -> None:
        self._write = write
        self._written: dict[Key, Written] = {}

    async def take(self, key: Key) -> Written:
        """What the key stands for."""
        found = self._written.get(key)
        if found is None:
            # Two first requests at once write it twice, and get the same.
            found = self._written[key] = await asyncio.to_thread(self._write, key)
        return found
