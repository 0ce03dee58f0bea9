"""A collector that is there, is not there, refuses, or hangs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import time

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from shared.api import pipeline
from shared.api.pipeline import Door
from shared.api.telemetry import sending
from shared.api.telemetry.recording import Recording
from shared.api.telemetry.sending import Sender
from shared.api.telemetry.targets import Target, Targets
from shared.dev.collector import collecting
from tests.api import made


@contextlib.contextmanager
def answering(*answers):
    """A server that gives these answers one after the other, then hangs; with what it was sent."""
    left, sent = list(answers), []
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            with contextlib.suppress(OSError):
                while not done.is_set():
                    connection, _ = listening.accept()
                    threading.Thread(target=one, args=(connection,), daemon=True).start()

        def one(connection):
            with connection, contextlib.suppress(OSError):
                sent.append(connection.recv(100_000))
                if left:
                    connection.sendall(left.pop(0))
                else:
                    done.wait(30)

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1/traces", sent
        finally:
            done.set()


def answer(status, *lines):
    return "\r\n".join([f"HTTP/1.1 {status} x", *lines, "Content-Length: 0", "Connection: close", "", ""]).encode()


def sender(url, **more):
    return Sender(Target(url, **more), "traces", pauses=(0.0, 0.0), seconds=5)


def test_what_is_sent_carries_the_headers_of_the_operator(monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with answering(answer(200)) as (url, sent):
        assert sender(url, headers=(("api-key", "k"), ("authorization", "Basic c"))).send(b"body")
    (request,) = sent
    head = request.lower()
    assert b"api-key: k\r\n" in head
    assert b"authorization: basic c\r\n" in head
    assert b"content-type: application/x-protobuf" in head


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_collector_that_is_busy_is_asked_again(status):
    with answering(answer(status), answer(200)) as (url, sent):
        assert sender(url).send(b"")
    assert len(sent) == 2


@pytest.mark.parametrize(
    ("status", "lines"), [(400, ()), (401, ()), (500, ()), (302, ("Location: http://127.0.0.1:9/",))]
)
def test_one_that_refuses_is_not_asked_again_and_not_followed_elsewhere(status, lines):
    with answering(answer(status, *lines), answer(200)) as (url, sent):
        assert not sender(url).send(b"")
    assert len(sent) == 1


def test_failures_are_one_line_in_the_log_and_say_nothing_of_the_place(caplog):
    caplog.set_level(logging.INFO)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    lost = Sender(Target(f"http://key@127.0.0.1:{port}/v1/traces"), "traces", pauses=(), seconds=5)
    assert not any(lost.send(b"") for _ in range(5))
    lines = [one.getMessage() for one in caplog.records if one.name == sending.LOG.name]
    assert lines == ["telemetry does not arrive signal=traces reason=ConnectionError"]


def test_a_collector_that_comes_back_is_told_of_once(caplog):
    caplog.set_level(logging.INFO)
    with answering(answer(400), answer(200), answer(200)) as (url, _):
        one = sender(url)
        assert [one.send(b"") for _ in range(3)] == [False, True, True]
    lines = [one.getMessage() for one in caplog.records if one.name == sending.LOG.name]
    assert lines == [
        "telemetry does not arrive signal=traces reason=status 400",
        "telemetry arrives again signal=traces",
    ]


def test_compressed_bodies_can_be_read():
    provider = TracerProvider(shutdown_on_exit=False)
    with collecting() as (url, received):
        compressing = sender(f"{url}/v1/traces", compressed=True)
        provider.add_span_processor(SimpleSpanProcessor(sending.Spans(compressing)))
        provider.get_tracer("t").start_span("one").end()
    assert [span.name for span in received.spans] == ["one"]
    assert received.headers["content-encoding"] == "gzip"
    provider.shutdown()


def arrived(sent):
    until = time.monotonic() + 20
    while not sent and time.monotonic() < until:
        time.sleep(0.01)
    return bool(sent)


async def test_a_collector_that_hangs_holds_up_no_request_and_no_end(monkeypatch):
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    endpoint = made.bound(room=made.Room())["v2_retrieveStudy"]
    with answering() as (url, sent):
        recording = Recording(Targets(Target(url), Target(url)), seconds=0.5)
        door = Door(made.door().stores, made.SETTINGS, telemetry=recording)
        for _ in range(50):
            reply = await pipeline.answer(endpoint, made.arrival(path={"studyInstanceUid": "1.2"}), door)
            assert reply.status == 200
        assert await asyncio.to_thread(arrived, sent)
        begun = time.monotonic()
        recording.close()
        # Thirty seconds is what the SDK by itself would wait for each of its threads.
        assert time.monotonic() - begun < 25
