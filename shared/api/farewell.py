"""What answers say about the end of their version (RFC 9745, RFC 8594, RFC 5829). Nothing here looks at a clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from email.utils import format_datetime

from shared.api.arrival import Arrival
from shared.api.lifecycle import Deprecation, Retirement
from shared.api.lineup import HeaderLines
from shared.api.manifest import DOCUMENT_HANDLER, ApiVersion
from shared.errors import InvalidParameter


@dataclass(frozen=True, slots=True)
class Farewell:
    """Headers of every answer of a version that goes or has gone.

    Attributes:
        lines: those that are the same for every request.
        read_more: address of the page about it.
        successor_path: path of the successor's document, or of its root when it serves none.
    """

    lines: HeaderLines
    read_more: str
    successor_path: str

    def headers(self, arrival: Arrival) -> HeaderLines:
        """The lines of one answer; its link to the successor stays on the host the caller used."""
        links = (
            f'<{self.read_more}>; rel="deprecation"; type="text/html"',
            f'<{self.read_more}>; rel="sunset"; type="text/html"',
            f'<{_origin(arrival)}{self.successor_path}>; rel="successor-version"',
        )
        return (*self.lines, ("Link", ", ".join(links)))


def of_deprecated(version: ApiVersion, versions: Sequence[ApiVersion]) -> Farewell | None:
    """The farewell of a deprecated version; None for one that stays.

    Args:
        version: whose answers they are.
        versions: all that are served, its successor among them.
    """
    end = version.deprecation
    if end is None:
        return None
    lines = (
        ("Deprecation", f"@{int(_midnight(end.announced).timestamp())}"),
        ("Sunset", format_datetime(_midnight(end.sunset), usegmt=True)),
        ("Warning", f'299 - "{_warning(version, end)}"'),
    )
    return Farewell(lines, end.read_more, _successor_path(end.successor, versions))


def of_retired(end: Retirement, versions: Sequence[ApiVersion]) -> Farewell:
    """The farewell of a retired version."""
    return Farewell((), end.read_more, _successor_path(end.successor, versions))


def _warning(version: ApiVersion, end: Deprecation) -> str:
    successor = end.successor.removeprefix("v")
    return f"Version {version.label.name} is deprecated and may be gone from {end.sunset} on; use version {successor}."


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _successor_path(successor: str, versions: Sequence[ApiVersion]) -> str:
    rows = next((version.rows for version in versions if version.label.text == successor), ())
    document = next((row.path for row in rows if row.handler == DOCUMENT_HANDLER), "")
    return f"/{successor}/{document}"


def _origin(arrival: Arrival) -> str:
    """Scheme and host of the caller; empty, for a relative reference, when its Host header is no host."""
    try:
        return f"{arrival.scheme}://{arrival.host}"
    except InvalidParameter:
        return ""
