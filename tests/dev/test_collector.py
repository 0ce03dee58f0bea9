"""The collector for a first look tells what arrives, and takes nothing that is not OTLP."""

from __future__ import annotations

import socket

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from shared.api.telemetry import sending
from shared.api.telemetry.targets import Target
from shared.dev import collector


@pytest.fixture(scope="module")
def listening():
    with collector.collecting() as found:
        yield found


def test_each_thing_that_arrives_is_a_line():
    lines: list[str] = []
    provider = TracerProvider(shutdown_on_exit=False)
    with collector.collecting(told=lines.append) as (url, _):
        sender = sending.Sender(Target(f"{url}/v1/traces"), "traces")
        provider.add_span_processor(SimpleSpanProcessor(sending.Spans(sender)))
        provider.get_tracer("t").start_span("sweep", attributes={"b": 2, "a": "x"}).end()
    (line,) = lines
    assert line.startswith("span sweep internal ")
    assert line.endswith(" a=x b=2")


@pytest.mark.parametrize(
    ("path", "kind", "body", "status"),
    [
        ("/v1/traces", "application/json", b"{}", 415),
        ("/v1/logs", collector.PROTOBUF, b"", 404),
        ("/v1/metrics", collector.PROTOBUF, b"\xff", 400),
        ("/v1/traces", collector.PROTOBUF, b"", 200),
    ],
)
def test_what_is_no_message_of_a_kind_that_is_told_is_refused(listening, path, kind, body, status):
    url, received = listening
    before = len(received.bodies)
    assert httpx.post(url + path, content=body, headers={"Content-Type": kind}).status_code == status
    assert len(received.bodies) == before + (status == 200)


def test_bodies_that_only_say_that_they_are_compressed_are_refused(listening):
    url, _ = listening
    headers = {"Content-Type": collector.PROTOBUF, "Content-Encoding": "gzip"}
    assert httpx.post(f"{url}/v1/traces", content=b"x", headers=headers).status_code == 400


def test_a_port_that_is_taken_is_said(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert collector.main(["--port", str(taken.getsockname()[1])]) == 2
    assert "cannot be used" in capsys.readouterr().err
