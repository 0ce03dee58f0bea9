"""Call and Reply: the only request and reply types in the house. They know neither Azure Functions nor versions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.behaviours import Behaviours
from shared.wire.media import Choice


class Headers:
    """Request headers: names ignore case, repeated lines are kept in order."""

    __slots__ = ("_lines",)

    def __init__(self, lines: Iterable[tuple[str, str]] = ()) -> None:
        self._lines = tuple((name.lower(), value) for name, value in lines)

    def get(self, name: str) -> str | None:
        """The first line of that name, or None."""
        wanted = name.lower()
        return next((value for key, value in self._lines if key == wanted), None)

    def joined(self, name: str) -> str | None:
        """All lines of that name as one comma-separated list (RFC 9110 §5.3), or None when there is none."""
        wanted = name.lower()
        values = [value for key, value in self._lines if key == wanted]
        return ", ".join(values) if values else None

    def starting(self, prefix: str) -> dict[str, str]:
        """Everything whose name starts so, by lower-case name; repeated lines are joined as a list."""
        wanted = prefix.lower()
        names = dict.fromkeys(key for key, _ in self._lines if key.startswith(wanted))
        return {name: self.joined(name) or "" for name in names}


@dataclass(frozen=True, slots=True)
class Call:
    """One request, parsed. It carries no version label: what differs between versions is in `behaviours`.

    Attributes:
        operation: the operation id of the row that matched, for logs.
        parameters: typed values of path, query and header parameters, by the name the row's sets give them.
        headers: the request's headers.
        body: the body as it arrives; iterating raises `ClientGone` or `PayloadTooLarge`.
        service_root: scheme, host, version (spelled as the caller did) and partition, without a trailing slash.
        partition: name of the data partition the call is about.
        behaviours: how the caller's version wants things done.
        choice: the negotiated representation, or None where the row offers none.
    """

    operation: str
    parameters: Mapping[str, Any]
    headers: Headers
    body: AsyncIterator[bytes]
    service_root: str
    partition: str
    behaviours: Behaviours
    choice: Choice | None


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    Attributes:
        status: HTTP status.
        body: all bytes, or an iterator that is streamed in chunks and closed when the client goes away.
        media_type: value of Content-Type, complete with parameters; None sends none.
        headers: further header lines, repeats allowed.
        about: what it has to do with beyond its path, for the audit: UIDs of studies, of their series and instances
            with slashes between them, or of workitems.
    """

    status: int
    body: bytes | AsyncIterator[bytes] = b""
    media_type: str | None = None
    headers: tuple[tuple[str, str], ...] = field(default=())
    about: tuple[str, ...] = ()
