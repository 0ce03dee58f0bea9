"""What is sent is what OpenTelemetry's own exporter would have sent."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode

from shared.api.telemetry import otlp
from shared.api.telemetry.recording import context_of

RESOURCE = Resource({"service.name": "dicom", "empty": "", "half": 0.5})
ATTRIBUTES: dict[str, Any] = {
    "text": "Grüße ☃",
    "empty": "",
    "long": "x" * 300,
    "zero": 0,
    "less": -1,
    "largest": 2**63 - 1,
    "smallest": -(2**63),
    "half": 0.5,
    "nothing": 0.0,
    "yes": True,
    "no": False,
    "several": ("a", ""),
    "numbers": (1, 0),
}


@pytest.fixture
def tracing():
    """A tracer, and what it has finished."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider.get_tracer("dicom", "1"), exporter.get_finished_spans
    provider.shutdown()


def expect_the_same(spans):
    assert ExportTraceServiceRequest.FromString(otlp.spans_message(spans)) == encode_spans(spans)


@pytest.mark.parametrize("kind", SpanKind)
@pytest.mark.parametrize("parent", ["", f"00-{'ab' * 16}-{'cd' * 8}-01"])
def test_a_span_is_written_as_by_the_exporter_of_the_project(tracing, kind, parent):
    tracer, finished = tracing
    tracer.start_span("storeInstances", context_of(parent), kind, ATTRIBUTES, start_time=1).end(2**62)
    expect_the_same(finished())


def test_several_spans_and_their_status_are(tracing):
    tracer, finished = tracing
    for code in StatusCode:
        span = tracer.start_span("sweep")
        span.set_status(Status(code))
        span.end()
    assert len(finished()) == 3
    expect_the_same(finished())


def test_no_spans_are_an_empty_message():
    assert otlp.spans_message([]) == b""


@pytest.mark.parametrize("temporality", [AggregationTemporality.CUMULATIVE, AggregationTemporality.DELTA])
def test_metrics_are(temporality):
    reader = InMemoryMetricReader({Counter: temporality, Histogram: temporality})
    provider = MeterProvider([reader], RESOURCE, shutdown_on_exit=False)
    meter = provider.get_meter("dicom", "1")
    seconds = meter.create_histogram("d", "s", "How long.", explicit_bucket_boundaries_advisory=(0.0, 0.5, 10.0))
    for value in (0.0, 0.4, 0.5, 700.0):
        seconds.record(value, {"a": "b", "n": 200})
    seconds.record(1.5)
    under_way = meter.create_up_down_counter("u")
    under_way.add(-3, ATTRIBUTES)
    meter.create_counter("c", "By").add(2**40)
    meter.create_counter("w", "s").add(0.25)
    data = reader.get_metrics_data()
    assert data is not None
    theirs = encode_metrics(data)
    assert len(theirs.resource_metrics[0].scope_metrics[0].metrics) == 4
    assert ExportMetricsServiceRequest.FromString(otlp.metrics_message(data)) == theirs
    provider.shutdown()
