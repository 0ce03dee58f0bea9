"""Spans and metrics of requests and work, recorded with the SDK (docs/operating.md has the table).

The providers are our own and not the global ones: libraries that look for those (the web framework, the clients of
storage) would tell paths and queries, which name patients' studies. Nothing of a path, a query or a header is told here
but the operation's template, the client's product and the ids of `traceparent`.
"""

from __future__ import annotations

import atexit
import contextlib
import re
import time
import uuid
from collections.abc import Mapping

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from shared.api.arrival import Arrival
from shared.api.endpoints import Endpoint
from shared.api.patterns import Part, Pattern, Placeholder, VersionSlot
from shared.api.telemetry import sending
from shared.api.telemetry.targets import Targets
from shared.api.telemetry.told import Ending, Telemetry, Visit, Work
from shared.api.usage import UNKNOWN
from shared.storage.meter import Meter

SERVICE = "open-dicom-service"
SCOPE = "dicom"
CLOSE_SECONDS = 3.0
"""So much time has what is left when a worker ends."""

# Semantic conventions, "HTTP metrics".
_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
# As the conventions have it, and beyond: a study takes minutes on a slow line, a slice up to one.
_WORK_BOUNDS = (*_BOUNDS, 30.0, 60.0, 120.0, 300.0, 900.0)
# W3C Trace Context §3.2.2: version 00, or a later one that begins with the same.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.{0,200})?")
_OTHER = "_OTHER"

Attributes = Mapping[str, str | int | float]


class Recording(Telemetry):
    """Tells one or two places.

    Args:
        targets: the places.
        seconds: how long each of them may let us wait.

    Raises:
        ValueError: the SDK does not take one of its variables.
    """

    __slots__ = ("_active", "_calls", "_duration", "_ended", "_meters", "_read", "_routes", "_senders", "_tracer",
                 "_tracers", "_waited", "_work", "_written")  # fmt: skip

    def __init__(self, targets: Targets, seconds: float = sending.SECONDS) -> None:
        own = {"service.name": SERVICE, "service.instance.id": str(uuid.uuid4())}
        resource = Resource(own).merge(OTELResourceDetector().detect())
        self._senders: list[sending.Sender] = []
        # Where no sampler is named, the flag of the caller decides nothing: the platform's says no whenever it does not
        # trace itself, and clients are not asked what we watch.
        sampler = None if targets.sampler else sampling.ALWAYS_ON
        self._tracers = TracerProvider(sampler, resource, shutdown_on_exit=False)
        if targets.traces is not None:
            sender = sending.Sender(targets.traces, "traces", seconds=seconds)
            self._senders.append(sender)
            self._tracers.add_span_processor(BatchSpanProcessor(sending.Spans(sender)))
        self._tracer = self._tracers.get_tracer(SCOPE) if targets.traces is not None else trace.NoOpTracer()
        readers = []
        if targets.metrics is not None:
            sender = sending.Sender(targets.metrics, "metrics", seconds=seconds)
            self._senders.append(sender)
            readers.append(PeriodicExportingMetricReader(sending.Metrics(sender, deltas=targets.deltas)))
        self._meters = MeterProvider(
            readers, resource, exemplar_filter=AlwaysOffExemplarFilter(), shutdown_on_exit=False
        )
        self._make_instruments()
        self._routes: dict[str, str] = {}
        atexit.register(self.close)

    def _make_instruments(self) -> None:
        meter = self._meters.get_meter(SCOPE)
        self._duration = meter.create_histogram(
            "http.server.request.duration", "s", "Duration of requests.", explicit_bucket_boundaries_advisory=_BOUNDS
        )
        self._active = meter.create_up_down_counter("http.server.active_requests", "{request}", "Requests under way.")
        self._work = meter.create_histogram(
            "dicom.work.duration", "s", "Work of no request.", explicit_bucket_boundaries_advisory=_WORK_BOUNDS
        )
        self._ended = meter.create_counter("dicom.operations.ended", "{operation}", "Operations that ended.")
        self._calls = meter.create_counter("dicom.storage.calls", "{call}", "Calls to storage, each try of one.")
        self._waited = meter.create_counter("dicom.storage.duration", "s", "Time spent waiting for storage.")
        self._read = meter.create_counter("dicom.storage.read", "By", "Bodies that came from storage.")
        self._written = meter.create_counter("dicom.storage.written", "By", "Bodies that went to storage.")

    def begun(self, endpoint: Endpoint, arrival: Arrival) -> Visit:
        """A request has come."""
        route = self._routes.get(endpoint.name)
        if route is None:
            route = self._routes[endpoint.name] = _route(endpoint.pattern)
        method = arrival.method if arrival.method in endpoint.methods else _OTHER
        always = {"http.request.method": method, "url.scheme": arrival.scheme}
        named = always | {"http.route": route, "dicom.operation": endpoint.operation}
        if endpoint.version:
            named["dicom.api_version"] = endpoint.version
        self._active.add(1, always)
        return _RecordedVisit(self, always, named, arrival.headers.get("traceparent") or "")

    def left(self, always: Attributes) -> None:
        """A request is not under way any more."""
        self._active.add(-1, always)

    def answered(self, named: Attributes, parent: str, ending: Ending) -> None:
        """A request has ended."""
        usage = ending.usage
        seconds = usage.seconds
        told: dict[str, str | int | float] = {**named, "http.response.status_code": ending.status}
        error = ending.error or (str(ending.status) if ending.status >= 500 else "")
        if error:
            told["error.type"] = error
        self._duration.record(seconds, told)
        self._count_storage(usage.meter, named)
        told |= {"http.response.body.size": ending.sent_bytes, "dicom.reply.end": ending.how}
        if usage.client != UNKNOWN:
            told["user_agent.original"] = usage.client
        told |= _storage(usage.meter)
        self._span(str(named["dicom.operation"]), SpanKind.SERVER, seconds, told, parent, failed=bool(error))

    def worked(self, work: Work) -> None:
        """Work has been done."""
        named = {"dicom.operation": work.operation}
        told = {**named, "dicom.work.status": work.status}
        self._work.record(work.seconds, told)
        self._count_storage(work.meter, named)
        about = {**told, **_storage(work.meter)}
        self._span(work.operation, SpanKind.INTERNAL, work.seconds, about, work.parent, failed=work.failed)

    def operation_ended(self, kind: str, status: str) -> None:
        """An operation has come to its end."""
        self._ended.add(1, {"dicom.operation": kind, "dicom.work.status": status})

    def close(self) -> None:
        """Send what is left, as far as that can be done in a moment."""
        atexit.unregister(self.close)
        for sender in self._senders:
            sender.close(CLOSE_SECONDS)
        self._tracers.shutdown()
        # It raises when its thread does not end in time, for whatever reason.
        with contextlib.suppress(Exception):
            self._meters.shutdown(CLOSE_SECONDS * 1000)

    def _count_storage(self, meter: Meter, named: Attributes) -> None:
        about = {name: value for name, value in named.items() if name in ("dicom.operation", "dicom.api_version")}
        if meter.calls:
            self._calls.add(meter.calls, about)
            self._waited.add(meter.waited_seconds, about)
            self._read.add(meter.read_bytes, about)
            self._written.add(meter.written_bytes, about)

    def _span(
        self, name: str, kind: SpanKind, seconds: float, attributes: Attributes, parent: str, *, failed: bool
    ) -> None:
        """Write down what is over: there is nothing below a span, so nobody needs it while it runs."""
        end = time.time_ns()
        span = self._tracer.start_span(
            name, context_of(parent), kind, attributes, start_time=end - int(seconds * 1_000_000_000)
        )
        if failed:
            span.set_status(Status(StatusCode.ERROR))
        span.end(end)


class _RecordedVisit(Visit):
    """A request under way."""

    __slots__ = ("_always", "_named", "_parent", "_recording")

    def __init__(self, recording: Recording, always: Attributes, named: Attributes, parent: str) -> None:
        self._recording = recording
        self._always = always
        self._named = named
        self._parent = parent

    def ended(self, ending: Ending) -> None:
        self._recording.left(self._always)
        self._recording.answered(self._named, self._parent, ending)

    def dropped(self) -> None:
        self._recording.left(self._always)


def context_of(traceparent: str) -> Context:
    """The context that a `traceparent` names (W3C Trace Context); an empty one for what is none.

    `tracestate` is not read: anybody can write anything there, and what goes on from here is nothing.
    """
    found = _TRACEPARENT.fullmatch(traceparent.strip())
    if found is None or (traceparent.startswith("00") and len(traceparent.strip()) != 55):
        return Context()
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    if not trace_id or not span_id:
        return Context()
    parent = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags & TraceFlags.SAMPLED))
    return trace.set_span_in_context(NonRecordingSpan(parent), Context())


def _storage(meter: Meter) -> dict[str, int | float]:
    return {
        "dicom.storage.calls": meter.calls,
        "dicom.storage.duration": meter.waited_seconds,
        "dicom.storage.read_bytes": meter.read_bytes,
        "dicom.storage.written_bytes": meter.written_bytes,
    }


def _route(pattern: Pattern) -> str:
    """The template of a path, with the label in place of all its spellings."""
    parts = [_written(part) for part in pattern.parts]
    return "/" + "/".join([*parts, "{path}"] if pattern.open_ended else parts)


def _written(part: Part) -> str:
    if isinstance(part, Placeholder):
        return f"{{{part.name}}}"
    if isinstance(part, VersionSlot):
        return "{version}" if part.label is None else part.label.text
    return part
