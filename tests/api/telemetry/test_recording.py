"""What is told of requests and of work, read where it arrives."""

from __future__ import annotations

import dataclasses
import functools
import logging
import re
import threading
from collections.abc import Awaitable, Callable

import azure.functions as func
import pytest
from azure.functions.queue import QueueMessage

from shared.api import imports, jobs, pipeline, triggers
from shared.api.pipeline import Door
from shared.api.streams import StreamedBody
from shared.api.telemetry.recording import Recording, context_of
from shared.api.telemetry.targets import Target, Targets
from shared.api.telemetry.told import Work
from shared.dev.collector import collecting
from shared.dev.host.invoke import InvocationContext
from shared.errors import StoreUnavailable
from shared.storage.meter import Meter
from shared.storage.operations import OperationKind
from shared.storage.operationstore import message
from shared.storage.stores import open_stores
from shared.stow.notices import notice
from shared.wire.call import Call, Reply
from tests.api import made
from tests.support.calls import bytes_of
from tests.support.files import synthetic_instance
from tests.support.imports import DropBox
from tests.support.numbers_app.counted import step
from tests.support.storage import fresh_settings, watched_stores

TRACE, PARENT = "ab" * 16, "cd" * 8
TRACEPARENT = f"00-{TRACE}-{PARENT}-00"
STUDY = "1.2.826.0.1.4711"
FIGURES = re.compile(r"storage_(?:calls|read_bytes|written_bytes)=(\d+)")


@pytest.fixture(scope="module")
def collector():
    with collecting() as found:
        yield found


@pytest.fixture
def telling(collector):
    """A recording; a call of `told` closes it and gives what arrived."""
    url, received = collector
    received.spans.clear()
    received.points.clear()
    recording = Recording(Targets(Target(f"{url}/v1/traces"), Target(f"{url}/v1/metrics")))

    def told():
        recording.close()
        return received

    yield recording, told
    recording.close()


class Acting:
    """What handlers do next: routes are bound once, because that costs more than all that is asked here."""

    act: Callable[[Call], Awaitable[Reply]] | None = None


@functools.cache
def endpoints():
    async def act(call):
        acting = Acting.act
        return await acting(call) if acting else Reply(200, b"found", "text/plain")

    return made.bound(room=made.Room(act))


async def ask(recording, name="v2_retrieveStudy", act=None, **more):
    Acting.act = act
    endpoint = endpoints()[name]
    path = {"studyInstanceUid": STUDY, **more.pop("path", {})}
    door = Door(made.door().stores, made.SETTINGS, telemetry=recording)
    return await pipeline.answer(endpoint, made.arrival(path=path, **more), door)


def points(received, metric):
    return [point for point in received.points if point.metric == metric]


async def test_a_request_is_a_span_of_its_callers_trace(telling):
    recording, told = telling
    headers = {"traceparent": TRACEPARENT, "User-Agent": "OHIF/3.9 (Linux)", "tracestate": "vendor=MarkerOfAState"}
    await ask(recording, headers=headers, query="limit=MarkerOfAQuery")
    received = told()
    (span,) = received.spans
    assert (span.name, span.kind, span.trace_id, span.parent_id) == ("retrieveStudy", "server", TRACE, PARENT)
    assert not span.failed
    assert (
        span.attributes.items()
        >= {
            "http.request.method": "GET",
            "http.route": "/v2/studies/{studyInstanceUid}",
            "http.response.status_code": 200,
            "http.response.body.size": len(b"found"),
            "url.scheme": "https",
            "user_agent.original": "OHIF/3.9",
            "dicom.operation": "retrieveStudy",
            "dicom.api_version": "v2",
            "dicom.storage.calls": 0,
            "dicom.reply.end": "complete",
        }.items()
    )
    assert span.resource["service.name"] == "open-dicom-service"
    told_bytes = b"".join(received.bodies)
    assert b"Marker" not in told_bytes
    assert STUDY.encode() not in told_bytes


async def test_every_spelling_of_a_version_is_one_route(telling):
    recording, told = telling
    for spelling in ("v2", "V2.0"):
        await ask(recording, path={"version": spelling})
    await ask(recording, "zz_unknown_version", path={"version": "v77"})
    received = told()
    routes = {point.attributes["http.route"]: point.count for point in points(received, "http.server.request.duration")}
    assert routes == {"/v2/studies/{studyInstanceUid}": 2, "/{version}/{path}": 1}
    assert not any("v77" in str(span.attributes) for span in received.spans)


async def test_the_histogram_has_the_boundaries_of_the_conventions_and_counts_requests_by_status(telling):
    recording, told = telling

    async def fail(_call):
        raise StoreUnavailable

    for act in (None, None, fail):
        await ask(recording, act=act)
    received = told()
    found = points(received, "http.server.request.duration")
    by_status = {point.attributes["http.response.status_code"]: point.count for point in found}
    assert by_status == {200: 2, 503: 1}
    assert all(point.bounds[0] == 0.005 and point.bounds[-1] == 10 and len(point.bounds) == 14 for point in found)
    errors = {point.attributes.get("error.type") for point in found}
    assert errors == {None, "503"}
    assert [span.failed for span in received.spans] == [False, False, True]
    assert [point.value for point in points(received, "http.server.active_requests")] == [0]


async def test_a_request_is_under_way_until_its_last_byte(telling):
    recording, told = telling

    async def act(_call):
        return Reply(200, made.stream(b"one", b"two"), "text/plain")

    reply = await ask(recording, act=act)
    other = await ask(recording, act=act)
    assert await bytes_of(reply) == b"onetwo"
    assert isinstance(other.body, StreamedBody)
    received = told()
    assert [point.value for point in points(received, "http.server.active_requests")] == [1]
    assert [span.attributes["http.response.body.size"] for span in received.spans] == [6]


async def test_a_stream_that_fails_names_the_class_of_its_error_and_no_more(telling):
    recording, told = telling

    async def broken():
        yield b"one"
        raise RuntimeError("MarkerOfAnError")

    async def act(_call):
        return Reply(200, broken(), "text/plain")

    reply = await ask(recording, act=act)
    with pytest.raises(RuntimeError):
        await bytes_of(reply)
    received = told()
    (span,) = received.spans
    assert (span.failed, span.attributes["dicom.reply.end"]) == (True, "failed")
    assert span.attributes["error.type"] == "builtins.RuntimeError"
    assert b"Marker" not in b"".join(received.bodies)


async def test_a_hook_that_raises_leaves_no_request_under_way(telling):
    recording, told = telling

    def undeclared(_operation, _status):
        raise AssertionError

    async def act(_call):
        return Reply(418)

    Acting.act = act
    endpoint = endpoints()["v2_retrieveStudy"]
    door = Door(made.door().stores, made.SETTINGS, undeclared, telemetry=recording)
    with pytest.raises(AssertionError):
        await pipeline.answer(endpoint, made.arrival(path={"studyInstanceUid": STUDY}), door)
    assert [point.value for point in points(told(), "http.server.active_requests")] == [0]


async def test_whatever_clients_send_makes_no_series_of_its_own(telling):
    recording, told = telling
    for number in range(4):
        await ask(
            recording,
            method=f"METHOD{number}",
            path={"studyInstanceUid": f"1.2.{number}"},
            headers={"User-Agent": f"Client{number}/1", "traceparent": f"00-{number + 1:032x}-{PARENT}-01"},
        )
    received = told()
    (point,) = points(received, "http.server.request.duration")
    assert (point.count, point.attributes["http.request.method"]) == (4, "_OTHER")
    assert len({span.trace_id for span in received.spans}) == 4


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "x",
        "é" * 55,
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-01" * 100,
    ],
)
def test_what_names_no_trace_begins_one(sent):
    """W3C Trace Context §3.2.2.3, §4.3: a vendor that cannot parse the header makes a new one."""
    assert not context_of(sent)


@pytest.mark.parametrize("sent", [TRACEPARENT, f" {TRACEPARENT} ", f"01-{TRACE}-{PARENT}-01-more"])
def test_what_names_a_trace_is_followed(sent):
    """A later version may have more behind its flags (W3C Trace Context §4.3)."""
    assert context_of(sent)


def test_work_is_told_with_what_it_has_cost(telling):
    recording, told = telling
    meter = Meter(calls=3, read_bytes=10, written_bytes=20, waited_seconds=0.5)
    recording.worked(Work("import", "stored", meter, 2.0, parent=TRACEPARENT))
    recording.worked(Work("sweep", "failed", Meter(), 1.0, failed=True))
    recording.operation_ended("export", "succeeded")
    received = told()
    by_name = {span.name: span for span in received.spans}
    assert by_name["import"].parent_id == PARENT
    assert by_name["import"].seconds == 2
    assert by_name["import"].attributes == {
        "dicom.operation": "import",
        "dicom.work.status": "stored",
        "dicom.storage.calls": 3,
        "dicom.storage.duration": 0.5,
        "dicom.storage.read_bytes": 10,
        "dicom.storage.written_bytes": 20,
    }
    assert (by_name["sweep"].failed, by_name["sweep"].parent_id) == (True, "")
    values = {(point.metric, point.attributes["dicom.operation"]): point.value for point in received.points}
    assert values[("dicom.storage.calls", "import")] == 3
    assert values[("dicom.storage.read", "import")] == 10
    assert values[("dicom.work.duration", "sweep")] == 1
    assert values[("dicom.operations.ended", "export")] == 1


@pytest.mark.azurite
async def test_slices_are_told_as_their_lines_tell_them(telling, azurite, caplog):
    caplog.set_level(logging.INFO, jobs.LOG.name)
    recording, told = telling

    async def fail(_operation, _stores):
        raise RuntimeError("MarkerOfAnError")

    async with watched_stores(azurite.connection_string) as (stores, _):
        numbers = {"next": 0, "total": 6, "pause": 0, "slices": []}
        good = await stores.operations.begin(OperationKind.EXPORT, numbers)
        bad = await stores.operations.begin(OperationKind.REINDEX, {})
        steps = {OperationKind.EXPORT: step, OperationKind.REINDEX: fail}
        await jobs.run(message(good.id), stores, steps, telemetry=recording, parent=TRACEPARENT)
        with pytest.raises(jobs.StepFailed):
            await jobs.run(message(bad.id), stores, steps, telemetry=recording)
    received = told()
    lines = [one.getMessage() for one in caplog.records if one.getMessage().startswith("slice kind=export")]
    slices = [span for span in received.spans if span.name == "export slice"]
    assert lines
    assert [
        f"storage_calls={span.attributes['dicom.storage.calls']} " in line
        for span, line in zip(slices, lines, strict=True)
    ]
    assert {span.parent_id for span in slices} == {PARENT}
    assert slices[-1].attributes["dicom.work.status"] == "succeeded"
    (failed,) = [span for span in received.spans if span.name == "reindex slice"]
    assert (failed.failed, failed.attributes["dicom.work.status"]) == (True, "failed try")
    ended = points(received, "dicom.operations.ended")
    assert [(one.value, one.attributes["dicom.operation"]) for one in ended] == [(1, "export")]


@pytest.mark.azurite
async def test_imported_files_and_sweeps_are_told_as_their_lines_tell_them(telling, azurite, caplog):
    caplog.set_level(logging.INFO)
    recording, told = telling
    content = synthetic_instance(extra={"PatientName": "MarkerOfAName"})
    settings = fresh_settings(azurite.connection_string)
    stores = open_stores(settings)
    try:
        async with DropBox(settings.storage_connection) as box:
            await box.drop("MarkerOfAPath.dcm", content)
            app = func.FunctionApp()
            triggers.register_background(app, made.SETTINGS, stores, telemetry=recording)
            conduct = imports.conduct_of(made.loaded(), made.SETTINGS)
            triggers.register_import(app, made.SETTINGS, stores, conduct, recording)
            functions = {one.get_function_name(): one.get_user_function() for one in app.get_functions()}
            dropped = QueueMessage(id="", body=notice("MarkerOfAPath.dcm", stores.dropped).encode())
            await functions["background_import"](dropped, InvocationContext("background_import", "", threading.local()))
            await functions["background_sweep"](None)
            assert await box.left() == []
    finally:
        await stores.close()
    received = told()
    lines = [one.getMessage() for one in caplog.records if one.getMessage().startswith(("file ", "sweep "))]
    for name, line in zip(("import", "sweep"), lines, strict=True):
        (span,) = [one for one in received.spans if one.name == name]
        figures = [span.attributes[f"dicom.storage.{one}"] for one in ("calls", "read_bytes", "written_bytes")]
        assert [int(number) for number in FIGURES.findall(line)] == figures
        assert figures[0] > 0
        assert span.attributes["dicom.work.status"] == {"import": "stored", "sweep": "succeeded"}[name]
    assert b"Marker" not in b"".join(received.bodies)


def test_a_recording_that_is_closed_leaves_no_thread(collector):
    url, _ = collector
    before = set(threading.enumerate())
    recording = Recording(Targets(Target(f"{url}/v1/traces"), Target(f"{url}/v1/metrics")))
    assert len(set(threading.enumerate()) - before) == 2
    recording.close()
    assert not [one for one in set(threading.enumerate()) - before if one.name.startswith("Otel")]


def test_a_named_sampler_decides(collector, monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    url, received = collector
    received.spans.clear()
    targets = Targets(Target(f"{url}/v1/traces"), None)
    for found in (targets, dataclasses.replace(targets, sampler=True)):
        recording = Recording(found)
        recording.worked(Work("sweep", "succeeded", Meter(), 1.0))
        recording.close()
    assert len(received.spans) == 1


def test_resources_are_named_by_the_variables_of_the_standard(collector, monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "radiology")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    url, received = collector
    received.spans.clear()
    recording = Recording(Targets(Target(f"{url}/v1/traces"), None))
    recording.worked(Work("sweep", "succeeded", Meter(), 1.0))
    recording.close()
    (span,) = received.spans
    assert span.resource.items() >= {"service.name": "radiology", "deployment.environment.name": "test"}.items()
