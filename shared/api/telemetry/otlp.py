"""Spans and metrics of the SDK as OTLP messages in the binary form of protobuf (opentelemetry-proto 1).

Only what this service sends: no events, links, exemplars, or exponential histograms. The comments name the message
whose fields the numbers are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from opentelemetry.sdk.metrics.export import Histogram, HistogramDataPoint, Metric, MetricsData, NumberDataPoint, Sum
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_HAS_IS_REMOTE, _IS_REMOTE = 0x100, 0x200
_KINDS_FROM = 1
"""The kinds of spans are numbered as in the SDK, but from 1 on: 0 is none."""


def spans_message(spans: Sequence[ReadableSpan]) -> bytes:
    """ExportTraceServiceRequest: the spans of one provider and one tracer."""
    if not spans:
        return b""
    scope = spans[0].instrumentation_scope
    told = b"".join(_message(2, _span(span)) for span in spans)  # ScopeSpans
    return _message(1, _message(1, _resource(spans[0].resource)) + _message(2, _message(1, _scope(scope)) + told))


def metrics_message(data: MetricsData) -> bytes:
    """ExportMetricsServiceRequest."""
    request = b""
    for one in data.resource_metrics:
        scopes = b""
        for scoped in one.scope_metrics:
            told = b"".join(_message(2, _metric(metric)) for metric in scoped.metrics)  # ScopeMetrics
            scopes += _message(2, _message(1, _scope(scoped.scope)) + told)
        request += _message(1, _message(1, _resource(one.resource)) + scopes)
    return request


def _resource(resource: Resource) -> bytes:
    return _attributes(1, resource.attributes)


def _scope(scope: InstrumentationScope | None) -> bytes:
    return _text(1, scope.name) + _text(2, scope.version or "") if scope is not None else b""


# Span.
def _span(span: ReadableSpan) -> bytes:
    context, parent = span.get_span_context(), span.parent
    assert context is not None, "a span that has ended has its ids"
    flags = _HAS_IS_REMOTE | (_IS_REMOTE if parent is not None and parent.is_remote else 0)
    return b"".join(
        (
            _bytes(1, context.trace_id.to_bytes(16, "big")),
            _bytes(2, context.span_id.to_bytes(8, "big")),
            _bytes(4, parent.span_id.to_bytes(8, "big")) if parent is not None else b"",
            _text(5, span.name),
            _whole(6, span.kind.value + _KINDS_FROM),
            _fixed(7, span.start_time or 0),
            _fixed(8, span.end_time or 0),
            _attributes(9, span.attributes or {}),
            _message(15, _whole(3, span.status.status_code.value)),  # Status
            _key(16, _FOUR_BYTES) + struct.pack("<I", flags),
        )
    )


# Metric.
def _metric(metric: Metric) -> bytes:
    told = _text(1, metric.name) + _text(2, metric.description or "") + _text(3, metric.unit or "")
    data = metric.data
    if isinstance(data, Sum):
        points = b"".join(_message(1, _number(point)) for point in data.data_points)
        kind = _whole(2, data.aggregation_temporality.value) + _whole(3, int(data.is_monotonic))
        return told + _message(7, points + kind)
    assert isinstance(data, Histogram), "no other kind of instrument is made here"
    points = b"".join(_message(1, _histogram(point)) for point in data.data_points)
    return told + _message(9, points + _whole(2, data.aggregation_temporality.value))


# NumberDataPoint.
def _number(point: NumberDataPoint) -> bytes:
    value = point.value
    told = _key(4, _EIGHT_BYTES) + struct.pack("<d", value)
    if isinstance(value, int):
        told = _key(6, _EIGHT_BYTES) + struct.pack("<q", value)
    return _times(point) + told + _attributes(7, point.attributes or {})


# HistogramDataPoint.
def _histogram(point: HistogramDataPoint) -> bytes:
    counts, bounds = point.bucket_counts, point.explicit_bounds
    return b"".join(
        (
            _times(point),
            _fixed(4, point.count),
            _double(5, point.sum),
            _bytes(6, struct.pack(f"<{len(counts)}Q", *counts)),
            _bytes(7, struct.pack(f"<{len(bounds)}d", *bounds)),
            _attributes(9, point.attributes or {}),
            _double(11, point.min),
            _double(12, point.max),
        )
    )


def _times(point: NumberDataPoint | HistogramDataPoint) -> bytes:
    return _fixed(2, point.start_time_unix_nano or 0) + _fixed(3, point.time_unix_nano)


# Any: values are texts, numbers, booleans, or sequences of these.
def _attributes(field: int, attributes: Mapping[str, Any]) -> bytes:
    return b"".join(
        _message(field, _text_pair(key, value) if isinstance(value, str) else _pair(key, _value(value)))
        for key, value in attributes.items()
    )


# Few are not said again and again: templates, operations, words.
@lru_cache(maxsize=2048)
def _text_pair(key: str, value: str) -> bytes:
    return _pair(key, _value(value))


def _pair(key: str, value: bytes) -> bytes:  # KeyValue
    return _text(1, key) + _message(2, value)


# AnyValue. Its fields are one of several, so they are written when they are empty, too.
def _value(value: Any) -> bytes:
    if isinstance(value, str):
        text = value.encode("utf-8", "replace")
        return _key(1, _LENGTH) + _varint(len(text)) + text
    if isinstance(value, bool):
        return _key(2, _VARINT) + _varint(int(value))
    if isinstance(value, int):
        return _key(3, _VARINT) + _varint(value & 0xFFFF_FFFF_FFFF_FFFF)
    if isinstance(value, float):
        return _double(4, value)
    if isinstance(value, Iterable):
        return _message(5, b"".join(_message(1, _value(one)) for one in value))  # ArrayValue
    return b""


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


@cache
def _key(field: int, wire_type: int) -> bytes:
    return _varint(field << 3 | wire_type)


def _message(field: int, content: bytes) -> bytes:
    return _key(field, _LENGTH) + _varint(len(content)) + content


def _bytes(field: int, content: bytes) -> bytes:
    return _message(field, content) if content else b""


def _text(field: int, text: str) -> bytes:
    return _bytes(field, text.encode("utf-8", "replace"))


def _whole(field: int, number: int) -> bytes:
    return _key(field, _VARINT) + _varint(number) if number else b""


def _fixed(field: int, number: int) -> bytes:
    return _key(field, _EIGHT_BYTES) + struct.pack("<Q", number) if number else b""


def _double(field: int, number: float) -> bytes:
    return _key(field, _EIGHT_BYTES) + struct.pack("<d", number)
