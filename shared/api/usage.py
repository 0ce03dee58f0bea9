"""Who asks, and what it costs to answer: for the access line, and for `Server-Timing` where that is wanted."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field

from shared.api.lineup import HeaderLines
from shared.settings import Settings
from shared.storage.meter import Meter
from shared.wire.call import Headers

UNKNOWN = "-"
MOST_CHARACTERS = 64

_NOT_A_NAME = re.compile(r"[^A-Za-z0-9._/-]+")


def product(headers: Headers) -> str:
    """The client's product, the first of its `User-Agent` (RFC 9110 §10.1.5), of characters that mean nothing to a log.

    What does not begin with a letter is no product's name, and may be anybody's number.
    """
    words = (headers.get("User-Agent") or "").split(maxsplit=1)
    name = _NOT_A_NAME.sub("", words[0])[:MOST_CHARACTERS] if words else ""
    return name if name[:1].isalpha() else UNKNOWN


@dataclass(frozen=True, slots=True)
class Usage:
    """What is known of the cost of one request, from its begin on.

    Attributes:
        client: product of who asks.
        meter: counts its calls to storage.
        started: when it began, by the clock of `time.perf_counter`.
    """

    client: str
    meter: Meter = field(default_factory=Meter)
    started: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.perf_counter() - self.started

    def headers(self, settings: Settings) -> HeaderLines:
        """`Server-Timing` (W3C) of the answer so far, and which pages may see it, if the settings say so."""
        if not settings.server_timing:
            return ()
        meter = self.meter
        calls = f"{meter.calls} call{'' if meter.calls == 1 else 's'}"
        told = f'total;dur={self.seconds * 1000:.1f}, storage;dur={meter.waited_seconds * 1000:.1f};desc="{calls}"'
        timing = ("Server-Timing", told)
        if not settings.cors_origins:
            return (timing,)
        # The whole list and not the one that asks: pictures in pages come without Origin, and caches keep answers.
        return (timing, ("Timing-Allow-Origin", ", ".join(settings.cors_origins)))

    def line(self) -> str:
        """Its part of the access line."""
        return f"ms={self.seconds * 1000:.0f} {self.meter.line()} client={self.client}"
