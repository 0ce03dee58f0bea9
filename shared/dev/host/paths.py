"""Request targets as the host's web server reads them: decoded once, `%2F` kept, dot segments removed."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

_ESCAPES = re.compile(rb"(?:%[0-9A-Fa-f]{2})+")
# What may stand in a path as it is (RFC 3986 §3.3), and the percent sign of an escaped slash.
_PATH_SIGNS = "/!$&'()*+,;=:@-._~%"


class BadPath(ValueError):
    """A path that the web server answers with 400."""


def decode(raw_path: bytes) -> str:
    """The path that routes are matched with.

    Bytes that are not UTF-8 stay escaped, as does a slash.

    Raises:
        BadPath: the path holds a NUL, or is not ASCII.
    """
    if not raw_path.isascii():
        raise BadPath("a path is ASCII; other characters are escaped")
    if not raw_path.startswith(b"/"):
        # RFC 9112 §3.2.2: the absolute form names the host again.
        _, _, rest = raw_path.partition(b"://")
        raw_path = b"/" + rest.partition(b"/")[2]
    path = _ESCAPES.sub(_decode_run, raw_path).decode("utf-8")
    if "\0" in path:
        raise BadPath("a path holds no NUL")
    return _without_dots(path)


def encode(path: str) -> bytes:
    """The path as it is handed on to the app, escaped anew."""
    return quote(path, safe=_PATH_SIGNS).encode("ascii")


def _decode_run(found: re.Match[bytes]) -> bytes:
    escapes = found.group()
    run = bytes.fromhex(escapes.replace(b"%", b"").decode("ascii"))
    decoded, position = [], 0
    while position < len(run):
        width = _sequence_width(run, position)
        if width == 0 or run[position] == ord("/"):
            decoded.append(escapes[3 * position : 3 * position + 3])
            position += 1
        else:
            decoded.append(run[position : position + width])
            position += width
    return b"".join(decoded)


def _sequence_width(run: bytes, position: int) -> int:
    """How many bytes the UTF-8 character at that place has; 0 when there is none."""
    for width in range(1, 5):
        try:
            run[position : position + width].decode("utf-8")
        except UnicodeDecodeError:
            continue
        return width
    return 0


def _without_dots(path: str) -> str:
    """RFC 3986 §5.2.4."""
    if "/." not in path:
        return path
    kept: list[str] = []
    pieces = path.split("/")[1:]
    for piece in pieces:
        if piece == "..":
            del kept[-1:]
        elif piece != ".":
            kept.append(piece)
    if pieces[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def unquoted(raw_path: bytes) -> str:
    """The wholly decoded path that the app's web framework shows."""
    return unquote(raw_path.decode("ascii"))
