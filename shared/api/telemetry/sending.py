"""Telemetry on its way: exporters of the SDK that send OTLP over HTTP, in threads of their own.

A collector that is away or hangs costs these threads time and nobody else; what was to be sent is dropped.
"""

from __future__ import annotations

import gzip
import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

import requests
from opentelemetry.sdk.metrics import Counter, Histogram
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from shared.api.telemetry import otlp
from shared.api.telemetry.targets import Target

LOG = logging.getLogger(__name__)

SECONDS = 5.0
"""So long a collector may take to take a connection, and as long again to answer."""
PAUSES = (1.0, 3.0)
"""Before the second and the third try."""
COMPLAIN_SECONDS = 600.0
"""At most one line in so long says that nothing arrives."""
_AGAIN = frozenset({429, 502, 503, 504})


class Sender:
    """Sends messages to one place, one at a time.

    Args:
        target: the place.
        signal: what is sent, for the log.
        pauses: between tries.
        seconds: how long each try may wait for the place.
    """

    def __init__(self, target: Target, signal: str, pauses: Sequence[float] = PAUSES, seconds: float = SECONDS) -> None:
        self._target = target
        self._signal = signal
        self._pauses = pauses
        self._seconds = seconds
        self._closing = threading.Event()
        self._until: float | None = None
        self._complained: float | None = None
        self._session = requests.Session()
        # Otherwise a .netrc of the machine would come before the headers that were given.
        self._session.auth = _unchanged
        self._session.headers.update({"User-Agent": "open-dicom-service", **dict(target.headers)})
        self._session.headers["Content-Type"] = "application/x-protobuf"
        if target.compressed:
            self._session.headers["Content-Encoding"] = "gzip"

    def send(self, message: bytes) -> bool:
        """Whether a message has arrived."""
        body = gzip.compress(message, compresslevel=1) if self._target.compressed else message
        failure = ""
        for pause in (*self._pauses, None):
            failure, again = self._tried(body)
            if not failure:
                self._arrived()
                return True
            # At the end of a worker nobody waits for another try.
            if not again or pause is None or self._closing.wait(pause):
                break
        self._complain(failure)
        return False

    def close(self, seconds: float) -> None:
        """Try nothing a second time from now on, and nothing at all when so much time is over."""
        self._until = time.monotonic() + seconds
        self._closing.set()

    def _tried(self, body: bytes) -> tuple[str, bool]:
        """What went wrong, empty for nothing, and whether it may be different the next time."""
        seconds = self._seconds if self._until is None else min(self._seconds, self._until - time.monotonic())
        if seconds <= 0:
            return "the worker ends", False
        try:
            with self._session.post(
                self._target.url,
                data=body,
                timeout=seconds,
                verify=self._target.certificate or True,
                allow_redirects=False,  # the headers may be secrets, and belong to this place
                stream=True,  # whatever the answer says beyond its status, nobody reads it
            ) as answer:
                return ("" if answer.ok and not answer.is_redirect else f"status {answer.status_code}"), (
                    answer.status_code in _AGAIN
                )
        except (requests.RequestException, OSError) as error:
            return type(error).__name__, True

    def _arrived(self) -> None:
        if self._complained is not None:
            self._complained = None
            LOG.info("telemetry arrives again signal=%s", self._signal)

    def _complain(self, failure: str) -> None:
        now = time.monotonic()
        if self._complained is None or now - self._complained >= COMPLAIN_SECONDS:
            self._complained = now
            LOG.warning("telemetry does not arrive signal=%s reason=%s", self._signal, failure)


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class Spans(SpanExporter):
    """Sends spans."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch; called by the SDK's thread."""
        arrived = self._sender.send(otlp.spans_message(spans))
        return SpanExportResult.SUCCESS if arrived else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Nothing is held back here."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is held back here."""
        return True


_DELTAS: dict[type, AggregationTemporality] = {
    Counter: AggregationTemporality.DELTA,
    Histogram: AggregationTemporality.DELTA,
}


class Metrics(MetricExporter):
    """Sends metrics."""

    def __init__(self, sender: Sender, *, deltas: bool) -> None:
        super().__init__(preferred_temporality=_DELTAS if deltas else {})
        self._sender = sender

    # Any: options that the SDK may have one day.
    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_more: Any) -> MetricExportResult:
        """Send what was counted; called by the SDK's thread."""
        arrived = self._sender.send(otlp.metrics_message(metrics_data))
        return MetricExportResult.SUCCESS if arrived else MetricExportResult.FAILURE

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Nothing is held back here."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_more: Any) -> None:
        """Nothing is held back here."""
