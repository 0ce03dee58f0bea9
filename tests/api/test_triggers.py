from __future__ import annotations

import asyncio
import threading
import typing
from collections.abc import AsyncIterator
from typing import Any

import azure.functions as func
import pytest
from azure.functions.queue import QueueMessage
from azurefunctions.extensions.base import RequestTrackerMeta, ResponseTrackerMeta
from azurefunctions.extensions.http.fastapi import Request, Response

from shared.api import triggers
from shared.api.imports import conduct_of
from shared.dev.host.invoke import InvocationContext
from shared.errors import ClientGone
from shared.settings import ImportSettings, Settings
from shared.storage.operations import OperationKind, Progress
from shared.storage.operationstore import message
from shared.storage.stores import open_stores
from shared.stow.notices import notice
from shared.wire.call import Reply
from tests.api import made
from tests.support.storage import watched_stores
from tests.support.versions import MANIFESTS

CONTEXT = InvocationContext("background", "", threading.local())


def scope(**more):
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "method": "POST",
        "scheme": "https",
        "path": "/v2/studies",
        "query_string": b"a=%2C&a=2&b=",
        "headers": [(b"host", b"h"), (b"x-one", b"1"), (b"x-one", b"\xe9"), (b"content-type", b"application/dicom")],
        "path_params": {"version": "v2"},
        **more,
    }


def receiving(*messages):
    left = list(messages)

    async def receive():
        return left.pop(0)

    return receive


async def send_to(sent, response, *, receive=None, fail_after=None, spec_version="2.4"):
    async def send(message):
        if fail_after is not None and len(sent) >= fail_after:
            raise OSError("closed")
        sent.append(message)

    async def wait_for_ever():
        await asyncio.Event().wait()

    await response(scope(asgi={"version": "3.0", "spec_version": spec_version}), receive or wait_for_ever, send)


async def test_a_request_becomes_an_arrival_with_everything_raw():
    request = Request(
        scope(),
        receiving(
            {"type": "http.request", "body": b"one", "more_body": True},
            {"type": "http.request", "body": b"two", "more_body": False},
        ),
    )
    arrival = triggers.to_arrival(request)
    assert (arrival.method, arrival.scheme, arrival.host) == ("POST", "https", "h")
    assert arrival.query == "a=%2C&a=2&b="
    assert arrival.headers.joined("X-One") == "1, é"
    assert arrival.path_values == {"version": "v2"}
    assert [chunk async for chunk in arrival.body] == [b"one", b"two"]


async def test_a_client_that_goes_away_is_a_meaning_of_the_house():
    request = Request(
        scope(), receiving({"type": "http.request", "body": b"one", "more_body": True}, {"type": "http.disconnect"})
    )
    body = triggers.to_arrival(request).body
    assert await anext(body) == b"one"
    with pytest.raises(ClientGone):
        await anext(body)


async def test_a_reply_keeps_repeated_headers_and_has_its_length():
    reply = Reply(200, b"body", "application/dicom+json", (("Warning", "one"), ("Warning", "two")))
    sent: list[Any] = []
    await send_to(sent, triggers.to_http(reply))
    assert sent[0]["status"] == 200
    assert sent[0]["headers"] == [
        (b"content-length", b"4"),
        (b"content-type", b"application/dicom+json"),
        (b"warning", b"one"),
        (b"warning", b"two"),
    ]
    assert sent[1]["body"] == b"body"


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_body_has_neither_length_nor_type(status):
    sent: list[Any] = []
    await send_to(sent, triggers.to_http(Reply(status)))
    assert sent[0]["headers"] == []


class Endless:
    def __init__(self) -> None:
        self.closed = False

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x"
                await asyncio.sleep(0)
        finally:
            self.closed = True


async def streamed(source) -> Reply:
    async def act(_call):
        return Reply(200, source.chunks(), "multipart/related")

    endpoint = made.bound(room=made.Room(act))["v2_retrieveStudy"]
    return await made.ask(endpoint, made.arrival(path={"studyInstanceUid": "1.2"}))


async def test_a_stream_is_closed_when_sending_fails():
    source = Endless()
    sent: list[Any] = []
    await send_to(sent, triggers.to_http(await streamed(source)), fail_after=4)
    assert source.closed


async def test_a_stream_is_closed_when_the_client_disconnects():
    source = Endless()
    sent: list[Any] = []
    receive = receiving({"type": "http.disconnect"})
    await send_to(sent, triggers.to_http(await streamed(source)), receive=receive, spec_version="2.3")
    assert source.closed


async def test_a_stream_that_is_never_begun_to_be_sent_can_be_closed():
    source = Endless()
    reply = await streamed(source)
    await made.streaming(reply).aclose()
    assert source.closed


@pytest.fixture(scope="module")
def app() -> func.FunctionApp:
    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
    triggers.register(app, list(made.bound().values()), made.door())
    return app


def test_triggers_satisfy_the_vendors_rules_for_streams(app):
    endpoints = made.bound()
    functions = {one.get_function_name(): one for one in app.get_functions()}
    assert set(functions) == set(endpoints)
    for name, function in functions.items():
        user = function.get_user_function()
        hints = typing.get_type_hints(user)
        assert RequestTrackerMeta.check_type(hints["req"])
        assert issubclass(hints["return"], Response)
        assert ResponseTrackerMeta.check_type(hints["return"])
        trigger, output = function.get_bindings()
        assert trigger.route == endpoints[name].pattern.template
        assert tuple(str(method) for method in trigger.methods) == endpoints[name].methods
        assert (trigger.type, str(trigger.auth_level), output.type) == ("httpTrigger", "ANONYMOUS", "http")


def background_functions(stores, steps):
    app = func.FunctionApp()
    triggers.register_background(app, Settings(), stores, steps)
    return {one.get_function_name(): one.get_user_function() for one in app.get_functions()}


@pytest.mark.azurite
async def test_a_queue_message_is_worked_on_with_the_steps_of_the_app(azurite):
    seen = []

    async def step(operation, stores):
        seen.append(operation.id)
        return Progress(done=True)

    async with watched_stores(azurite.connection_string) as (stores, _):
        begun = await stores.operations.begin(OperationKind.EXPORT, {})
        run = background_functions(stores, {OperationKind.EXPORT: step})["background_jobs"]
        await run(QueueMessage(id="", body=message(begun.id).encode()), CONTEXT)
        ended = await stores.operations.find(begun.id)
        assert ended is not None
        assert ended.finished
    assert seen == [begun.id]


@pytest.mark.azurite
async def test_timers_without_storage_wait_for_the_next_time(azurite, caplog):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        functions = background_functions(stores, {})
        transport.fault = lambda _: "before"
        await functions["background_jobs_wake"](None)
        await functions["background_sweep"](None)
    assert "no look at operations: storage is not available" in caplog.text
    assert "no sweep: StoreUnavailable" in caplog.text


def import_functions(stores, settings):
    app = func.FunctionApp()
    triggers.register_import(app, settings, stores, conduct_of(MANIFESTS, settings))
    return {one.get_function_name(): one.get_user_function() for one in app.get_functions()}


@pytest.mark.azurite
async def test_messages_and_the_timer_of_imports_reach_the_work(azurite, caplog):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        functions = import_functions(stores, Settings())
        assert set(functions) == {"background_import", "background_import_poison", "background_import_poll"}
        message = QueueMessage(id="", body=notice("absent.dcm", stores.dropped).encode())
        await functions["background_import"](message, CONTEXT)
        assert transport.calls == ["HEAD blob", "GET blob"]
        await functions["background_import_poison"](message)
        assert "left to the poll" in caplog.text
        transport.forget()
        await functions["background_import_poll"](None)
        assert "PUT blob" in transport.calls  # the container is made
        transport.fault = lambda _: "before"
        await functions["background_import_poll"](None)
    assert "no look at dropped files: storage is not available" in caplog.text
    assert "absent.dcm" not in caplog.text


@pytest.mark.parametrize("settings", [Settings(background=False), Settings(imports=ImportSettings(on=False))])
def test_an_app_that_imports_nothing_has_no_function_for_it(settings):
    stores = open_stores(Settings())
    assert import_functions(stores, settings) == {}
