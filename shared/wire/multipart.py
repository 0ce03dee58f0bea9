"""`multipart/related` (RFC 2046 §5.1, PS3.18 §8.6.1.2): a streaming reader and the pieces of a writer.

Neither side holds more than one chunk of the body. The reader hands chunks on as they came and keeps back only
what may be the beginning of a boundary.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator

from shared.errors import MalformedBody, UnsupportedMediaType
from shared.wire.call import Headers
from shared.wire.media import ContentType

MAX_HEAD_BYTES = 16 * 1024
MAX_HEAD_LINES = 64

# Every printable character will do, which is more than RFC 2046 lists; a space at the end gets lost on the way. That
# allows 70 characters, but the DICOMweb client of Orthanc sends 73.
_BOUNDARY = re.compile(r"[\x20-\x7e]{0,255}[\x21-\x7e]")
_BARE_BOUNDARY = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

# What makes the boundary text a delimiter: "--" for the last one, or the end of its line after some padding.
_AFTER_BOUNDARY = re.compile(rb"--|[ \t]{0,64}\r?\n")
_UNDECIDED = re.compile(rb"-?|[ \t]{0,64}\r?")
_BLANK_LINE = re.compile(rb"\n(\r?\n)")
_FOLD = re.compile(rb"\r?\n[ \t]+")
_HEADER_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*:([^\x00-\x08\x0a-\x1f\x7f]*)")


class Part:
    """One part; iterating gives its content in chunks, once.

    Attributes:
        headers: the part's headers; empty when it has none.
    """

    __slots__ = ("_number", "_reader", "headers")

    def __init__(self, headers: Headers, reader: _Reader) -> None:
        self.headers = headers
        self._reader = reader
        self._number = reader.number

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._number != self._reader.number:
            # Ending quietly would pass a cut part off as a whole one.
            raise RuntimeError("the reader has moved on to a later part")
        chunk = await self._reader.content()
        if chunk is None:
            raise StopAsyncIteration
        return chunk


def boundary_of(content_type: ContentType) -> str:
    """The boundary a Content-Type names.

    Raises:
        UnsupportedMediaType: when it names none, or one that cannot be.
    """
    return _checked(content_type.parameters.get("boundary", ""))


def _checked(boundary: str) -> str:
    if not boundary:
        raise UnsupportedMediaType("The Content-Type is multipart and names no boundary.")
    if not _BOUNDARY.fullmatch(boundary):
        raise UnsupportedMediaType("A boundary is 1 to 256 printable ASCII characters and does not end with a space.")
    return boundary


def read_parts(body: AsyncIterator[bytes], boundary: str) -> AsyncIterator[Part]:
    """The parts of a body in their order; what is left unread of one is skipped when the next is asked for.

    Preamble and epilogue are ignored. An empty body has no parts.

    Args:
        body: the body in chunks of any size; what it raises passes through.
        boundary: as `boundary_of` gives it.

    Raises:
        UnsupportedMediaType: when the boundary cannot be one.
        MalformedBody: while iterating over parts or content, when the framing is broken or the body ends early.
    """
    return _parts(_Reader(body, _checked(boundary)))


async def _parts(reader: _Reader) -> AsyncIterator[Part]:
    while (headers := await reader.next_head()) is not None:
        yield Part(headers, reader)


def new_boundary() -> str:
    """A boundary that no content contains but by a chance of 1 in 2^128."""
    return secrets.token_hex(16)


def related_content_type(boundary: str, media_type: str) -> str:
    """The Content-Type of a whole body; RFC 2387 §3.1 requires the `type` of its root part."""
    written = boundary if _BARE_BOUNDARY.fullmatch(boundary) else '"' + re.sub(r'(["\\])', r"\\\1", boundary) + '"'
    return f'multipart/related; type="{media_type}"; boundary={written}'


def part_head(boundary: str, content_type: str, first: bool) -> bytes:
    """What goes before the content of a part.

    Viewers search for this very spelling of `Content-Type:` and for CRLF; it is the only header, and comes first.

    Args:
        boundary: the body's boundary.
        content_type: of the part, with its transfer-syntax.
        first: whether this is the first part, which nothing has to be closed before.
    """
    line_end = "" if first else "\r\n"
    return f"{line_end}--{boundary}\r\nContent-Type: {content_type}\r\n\r\n".encode("latin-1")


def closing(boundary: str) -> bytes:
    """What goes after the content of the last part."""
    return f"\r\n--{boundary}--\r\n".encode("latin-1")


class _Reader:
    """Where reading a body stands.

    `_buffer[_at:]` is what has arrived and is not consumed. The first `_lead` bytes of that are the blank line behind
    the headers: not content, but the line end of a delimiter when that follows the headers directly.
    """

    __slots__ = ("_at", "_body", "_buffer", "_delimiter", "_in_part", "_last", "_lead", "number")

    def __init__(self, body: AsyncIterator[bytes], boundary: str) -> None:
        self.number = 0
        self._body = body
        self._delimiter = b"\r\n--" + boundary.encode("latin-1")
        self._buffer = b"\r\n"  # which the first delimiter of a body may lack
        self._at = 0
        self._lead = 0
        self._in_part = True  # the preamble is read like a part whose content nobody wants
        self._last = False

    async def next_head(self) -> Headers | None:
        """Go to the next part and read its headers; None after the last part."""
        if self.number == 0 and not await self._more():
            return None
        while await self.content() is not None:
            pass
        if self._last:
            async for _ in self._body:  # reads the epilogue, so that the connection can be used again
                pass
            return None
        self.number += 1
        return await self._head()

    async def content(self) -> bytes | None:
        """The next piece of the current part; None at its end."""
        while self._in_part:
            piece = self._take()
            if piece:
                return piece
            if piece is None and not await self._more():
                if self.number == 0:
                    raise MalformedBody("The boundary that Content-Type names does not occur in the body.")
                raise MalformedBody(f"Part {self.number}: the body ends before the boundary that closes it.")
        return None

    async def _more(self) -> bool:
        """Put the next chunk behind what is not consumed; False at the end of the body."""
        async for chunk in self._body:
            if chunk:
                # Mostly nothing is left over, and the chunk goes through as it is.
                self._buffer = self._buffer[self._at :] + chunk if self._at < len(self._buffer) else chunk
                self._at = 0
                return True
        return False

    def _take(self) -> bytes | None:
        """Consume what is content for sure, and the delimiter behind it if that is complete.

        Returns:
            A piece of content; empty when only the delimiter was there; None when more of the body is needed.
        """
        buffer = self._buffer
        start = self._at + self._lead
        found = buffer.find(self._delimiter, self._at)
        while found >= 0:
            behind = found + len(self._delimiter)
            if end := _AFTER_BOUNDARY.match(buffer, behind):
                self._in_part = False
                self._last = end[0] == b"--"
                self._at = end.end()
                return buffer[start:found]
            if _UNDECIDED.fullmatch(buffer, behind):
                break
            # A longer word that begins with the boundary, as in a nested multipart, is content.
            found = buffer.find(self._delimiter, found + 1)
        cut = found if found >= 0 else self._first_held()
        if cut >= start:
            self._lead = 0  # otherwise all that is here, the lead included, may be a delimiter
        self._at = cut
        return buffer[start:cut] or None

    def _first_held(self) -> int:
        """Where the end of the buffer may be the beginning of a delimiter; the buffer's length where it is not."""
        tail = max(self._at, len(self._buffer) - len(self._delimiter) + 1)
        line_end = self._buffer.rfind(b"\r", tail)
        if line_end >= 0 and self._delimiter.startswith(self._buffer[line_end:]):
            return line_end
        return len(self._buffer)

    async def _head(self) -> Headers:
        """Read the headers of a part up to its blank line, which is left in the buffer as the content's lead."""
        self._at -= 1  # back to the line end of the delimiter, so that no headers at all are nothing special
        while True:
            blank = _BLANK_LINE.search(self._buffer, self._at, self._at + MAX_HEAD_BYTES)
            if blank:
                break
            if len(self._buffer) - self._at >= MAX_HEAD_BYTES:
                raise MalformedBody(
                    f"Part {self.number}: no blank line ends its headers within {MAX_HEAD_BYTES} bytes."
                )
            if not await self._more():
                raise MalformedBody(f"Part {self.number}: the body ends within its headers.")
        headers = self._parse_head(self._buffer[self._at : blank.start()])
        self._at = blank.start(1)
        self._lead = len(blank[1])
        self._in_part = True
        return headers

    def _parse_head(self, head: bytes) -> Headers:
        lines = _FOLD.sub(b" ", head[1:]).split(b"\n") if head else []
        if len(lines) > MAX_HEAD_LINES:
            raise MalformedBody(f"Part {self.number}: it has more than {MAX_HEAD_LINES} header lines.")
        pairs = []
        for line in lines:
            match = _HEADER_LINE.fullmatch(line.removesuffix(b"\r"))
            if match is None:
                raise MalformedBody(f"Part {self.number}: a header line is not `name: value`.")
            pairs.append((match[1].decode("ascii"), match[2].decode("latin-1").strip(" \t")))
        return Headers(pairs)
