"""`python -m shared.dev.collector`: an OpenTelemetry collector that prints what arrives, and keeps nothing else of it.

For a first look, and for tests, which start the same one in their own process.
"""

from __future__ import annotations

import argparse
import gzip
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

PORT = 4318
"""Where collectors listen for OTLP over HTTP."""
PROTOBUF = "application/x-protobuf"

Attributes = dict[str, Any]  # Any: texts and numbers, as they were told


@dataclass(frozen=True, slots=True)
class ToldSpan:
    """A span that arrived; ids in hexadecimal, `parent_id` empty for none."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    seconds: float
    failed: bool
    attributes: Attributes
    resource: Attributes

    def line(self) -> str:
        """It in one line."""
        failed = " failed" if self.failed else ""
        parent = f" parent={self.parent_id}" if self.parent_id else ""
        return (
            f"span {self.name} {self.kind}{failed} {self.seconds * 1000:.1f} ms trace={self.trace_id}{parent}"
            f" {_listed(self.attributes)}"
        )


@dataclass(frozen=True, slots=True)
class ToldPoint:
    """A value of a metric; of a histogram, `value` is the sum of all that `count` counts."""

    metric: str
    value: float
    count: int
    bounds: tuple[float, ...]
    attributes: Attributes

    def line(self) -> str:
        """It in one line."""
        count = f" count={self.count}" if self.bounds else ""
        return f"metric {self.metric} {self.value:g}{count} {_listed(self.attributes)}"


@dataclass(slots=True)
class Received:
    """What has arrived.

    Attributes:
        spans: all, in the order of their arrival.
        points: of the metrics that arrived last.
        bodies: as they were sent, uncompressed.
        headers: of the last request.
    """

    spans: list[ToldSpan] = field(default_factory=list)
    points: list[ToldPoint] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    _news: threading.Condition = field(default_factory=threading.Condition)

    def take(self, path: str, headers: dict[str, str], body: bytes) -> Sequence[ToldSpan | ToldPoint]:
        """Keep what a request brings; gives what is new.

        Raises:
            DecodeError: the body is no message of OTLP.
            LookupError: nothing is taken at this path.
        """
        told: Sequence[ToldSpan | ToldPoint]
        if path.endswith("/v1/traces"):
            told = spans = list(_spans(ExportTraceServiceRequest.FromString(body)))
            points = None
        elif path.endswith("/v1/metrics"):
            told = points = list(_points(ExportMetricsServiceRequest.FromString(body)))
            spans = []
        else:
            raise LookupError(path)
        with self._news:
            self.spans.extend(spans)
            self.points = self.points if points is None else points
            self.bodies.append(body)
            self.headers = headers
            self._news.notify_all()
        return told

    def wait(self, enough: Callable[[Received], bool], seconds: float = 20.0) -> bool:
        """Whether what is wanted has arrived, at the latest after so long."""
        with self._news:
            return self._news.wait_for(lambda: enough(self), seconds)


@contextmanager
def collecting(port: int = 0, told: Callable[[str], None] | None = None) -> Iterator[tuple[str, Received]]:
    """Run a collector for the length of a block; gives its address and what arrives.

    Args:
        port: 0 for any that is free.
        told: called with a line for each thing that arrives.
    """
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._answer(self._status(body))

        def _status(self, body: bytes) -> int:
            if self.headers.get("Content-Type") != PROTOBUF:
                return 415
            try:
                content = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                for one in received.take(self.path, {k.lower(): v for k, v in self.headers.items()}, content):
                    if told is not None:
                        told(one.line())
            except LookupError:
                return 404
            except (DecodeError, OSError, EOFError):
                return 400
            return 200

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Type", PROTOBUF)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: what arrives is told instead."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", received
        finally:
            server.shutdown()
            thread.join()


def _spans(request: ExportTraceServiceRequest) -> Iterator[ToldSpan]:
    for one in request.resource_spans:
        resource = _attributes(one.resource.attributes)
        for scoped in one.scope_spans:
            for span in scoped.spans:
                yield ToldSpan(
                    name=span.name,
                    kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                    failed=span.status.code == Status.STATUS_CODE_ERROR,
                    attributes=_attributes(span.attributes),
                    resource=resource,
                )


def _points(request: ExportMetricsServiceRequest) -> Iterator[ToldPoint]:
    for one in request.resource_metrics:
        for scoped in one.scope_metrics:
            for metric in scoped.metrics:
                yield from _points_of(metric)


def _points_of(metric: Metric) -> Iterator[ToldPoint]:
    for number in metric.sum.data_points:
        value = number.as_double if number.HasField("as_double") else number.as_int
        yield ToldPoint(metric.name, value, 1, (), _attributes(number.attributes))
    for point in metric.histogram.data_points:
        bounds = tuple(point.explicit_bounds)
        yield ToldPoint(metric.name, point.sum, point.count, bounds, _attributes(point.attributes))


def _attributes(pairs: Sequence[KeyValue]) -> Attributes:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in pairs}


def _listed(attributes: Attributes) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(attributes.items()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what arrives until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m shared.dev.collector", description=__doc__)
    parser.add_argument(
        "--port", type=int, default=PORT, help="where to listen, on this machine (default: %(default)s)"
    )
    options = parser.parse_args(arguments)

    def told(line: str) -> None:
        print(datetime.now(UTC).strftime("%H:%M:%S"), line, flush=True)

    try:
        with collecting(options.port, told) as (url, _):
            print(f"Listening. Start the service with OTEL_EXPORTER_OTLP_ENDPOINT={url}", flush=True)
            while True:
                time.sleep(3600)
    except OSError as error:
        print(f"port {options.port} cannot be used: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
