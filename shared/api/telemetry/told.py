"""What is told about requests and work, and `Telemetry`, which by itself tells nobody and costs nothing.

Only `open_telemetry` loads the SDK, and only where the settings say where telemetry goes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from shared.api.arrival import Arrival
from shared.api.endpoints import Endpoint
from shared.api.telemetry import targets
from shared.api.usage import Usage
from shared.settings import Settings, SettingsError
from shared.storage.meter import Meter


@dataclass(frozen=True, slots=True)
class Ending:
    """How a request ended: what the access line says of it, too.

    Attributes:
        status: of the answer.
        usage: what it has cost.
        sent_bytes: of the answer's body.
        how: word of `streams`.
        error: whole name of the class of the error that ended a stream; empty when none did.
    """

    status: int
    usage: Usage
    sent_bytes: int
    how: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Work:
    """Work that no request waits for: a slice of an operation, an imported file, a sweep.

    Attributes:
        operation: what kind of work it is, in words of the code.
        status: how it ended, in words of the code.
        meter: its calls to storage.
        seconds: how long it took.
        failed: whether that is to be looked at.
        parent: `traceparent` of what had it done; empty for nobody.
    """

    operation: str
    status: str
    meter: Meter
    seconds: float
    failed: bool = False
    parent: str = ""


class Visit:
    """One request under way; by itself it tells nobody."""

    __slots__ = ()

    def ended(self, ending: Ending) -> None:
        """The last byte is sent, or the client is gone."""

    def dropped(self) -> None:
        """Nobody will hear how it ended."""


class Telemetry:
    """Tells what happens; by itself, nobody."""

    __slots__ = ()

    def begun(self, endpoint: Endpoint, arrival: Arrival) -> Visit:
        """A request has come."""
        return _NO_VISIT

    def worked(self, work: Work) -> None:
        """Work has been done."""

    def operation_ended(self, kind: str, status: str) -> None:
        """An operation has come to its end."""

    def close(self) -> None:
        """Send what is left, as far as that can be done in a moment."""


_NO_VISIT = Visit()
OFF = Telemetry()

Teller = Callable[[Work], None]


def open_telemetry(settings: Settings) -> Telemetry:
    """What the settings ask for. From the first that is opened to another place on, threads of the SDK run.

    Raises:
        SettingsError: a variable of OpenTelemetry is wrong.
    """
    found = targets.read(dict(settings.telemetry))
    return OFF if found is None else _opened(found)


@functools.cache
def _opened(found: targets.Targets) -> Telemetry:
    from shared.api.telemetry.recording import Recording

    try:
        return Recording(found)
    except ValueError as error:
        raise SettingsError("one of the settings OTEL_BSP_* or OTEL_METRIC_* is not what the SDK takes") from error
