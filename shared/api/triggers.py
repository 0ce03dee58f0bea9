"""Bound endpoints → HTTP triggers of the Functions app, and streams requests ⇄ Arrival and Reply.

The only module beside `function_app.py` that knows Azure Functions. The vendor's worker resolves annotations at run
time, so the imports they need are real ones and the closures have a single class as return annotation.
"""

import contextlib
import dataclasses
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

import azure.functions as func
from azurefunctions.extensions.http.fastapi import Request, Response, StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from shared.api import jobs, pipeline
from shared.api.arrival import Arrival
from shared.api.endpoints import Endpoint
from shared.api.pipeline import Door
from shared.api.streams import StreamedBody
from shared.api.telemetry.told import OFF, Telemetry, Work
from shared.errors import ClientGone, StoreUnavailable
from shared.settings import Settings
from shared.storage.meter import Meter, metered
from shared.storage.operationstore import POISON_QUEUE, QUEUE
from shared.storage.stores import Stores
from shared.stow import importing
from shared.wire.call import Headers, Reply

LOG = logging.getLogger(__name__)

# Every five minutes; a writer counts as dead after ten (storage/sweep.py).
SWEEP_SCHEDULE = "0 */5 * * * *"
WAKE_SCHEDULE = "0 * * * * *"
POLL_SCHEDULE = "30 * * * * *"

# A connection string, or the begin of the names of settings that describe an identity: the service reads the same.
CONNECTION = "DICOM_STORAGE"

Function = Callable[[Request], Coroutine[Any, Any, Response]]


def register(app: func.FunctionApp, endpoints: Sequence[Endpoint], door: Door) -> None:
    """Make one HTTP trigger of every endpoint."""
    for endpoint in endpoints:
        decorate = app.route(
            route=endpoint.pattern.template,
            methods=list(endpoint.methods),
            auth_level=func.AuthLevel.ANONYMOUS,
            trigger_arg_name="req",
        )
        app.function_name(endpoint.name)(decorate(_function(endpoint, door)))


def register_background(
    app: func.FunctionApp,
    settings: Settings,
    stores: Stores,
    steps: jobs.Steps = jobs.STEPS,
    telemetry: Telemetry = OFF,
) -> None:
    """Make the timer and queue triggers, if this app does the work that no request waits for.

    Several apps on a store share the queue. One sweep is enough; several are wasteful and do no harm.
    """
    if not settings.background:
        return
    _register_sweep(app, stores, telemetry)
    _register_jobs(app, stores, steps, telemetry)


def register_import(
    app: func.FunctionApp,
    settings: Settings,
    stores: Stores,
    conduct: importing.ImportConduct,
    telemetry: Telemetry = OFF,
) -> None:
    """Make the queue and timer triggers that store dropped files, if this app does such work."""
    if not settings.background or not settings.imports.on:
        return
    queue = settings.imports.container

    async def run(message: func.QueueMessage, context: func.Context) -> None:
        parent = traceparent(context)

        def measured(status: str, seconds: float, meter: Meter) -> None:
            telemetry.worked(Work("import", status, meter, seconds, status == importing.TRIED, parent))

        measuring = dataclasses.replace(conduct, measured=measured)
        await importing.run(message.get_body().decode(), stores, measuring)

    async def poison(message: func.QueueMessage) -> None:
        importing.poison(message.get_body().decode(), stores)

    async def poll(timer: func.TimerRequest) -> None:
        try:
            await importing.poll(stores)
        except StoreUnavailable:
            LOG.warning("no look at dropped files: storage is not available")

    queued = app.queue_trigger(arg_name="message", queue_name=queue, connection=CONNECTION)
    app.function_name("background_import")(queued(run))
    given_up = app.queue_trigger(arg_name="message", queue_name=f"{queue}-poison", connection=CONNECTION)
    app.function_name("background_import_poison")(given_up(poison))
    timed = app.timer_trigger(schedule=POLL_SCHEDULE, arg_name="timer", run_on_startup=False)
    app.function_name("background_import_poll")(timed(poll))


def traceparent(context: func.Context) -> str:
    """What the host says of the trace that an invocation is part of (W3C Trace Context); empty for nothing."""
    return str(context.trace_context.trace_parent or "")


def _register_sweep(app: func.FunctionApp, stores: Stores, telemetry: Telemetry) -> None:

    async def sweep(timer: func.TimerRequest) -> None:
        began, meter = time.monotonic(), Meter()
        try:
            with metered(meter):
                found = await stores.sweep.run()
        except StoreUnavailable as error:
            LOG.warning("no sweep: %s", type(error).__name__)
            telemetry.worked(Work("sweep", "failed", meter, time.monotonic() - began, failed=True))
            return
        seconds = time.monotonic() - began
        told = " ".join(f"{name}={number}" for name, number in dataclasses.asdict(found).items())
        LOG.info("sweep %s ms=%d %s", told, seconds * 1000, meter.line())
        telemetry.worked(Work("sweep", "succeeded", meter, seconds))

    timed = app.timer_trigger(schedule=SWEEP_SCHEDULE, arg_name="timer", run_on_startup=False)
    app.function_name("background_sweep")(timed(sweep))


def _register_jobs(app: func.FunctionApp, stores: Stores, steps: jobs.Steps, telemetry: Telemetry) -> None:
    async def run(message: func.QueueMessage, context: func.Context) -> None:
        text = message.get_body().decode()
        await jobs.run(text, stores, steps, telemetry=telemetry, parent=traceparent(context))

    async def poison(message: func.QueueMessage) -> None:
        await jobs.poison(message.get_body().decode(), stores, telemetry)

    async def wake(timer: func.TimerRequest) -> None:
        try:
            await jobs.wake(stores)
        except StoreUnavailable:
            LOG.warning("no look at operations: storage is not available")

    queued = app.queue_trigger(arg_name="message", queue_name=QUEUE, connection=CONNECTION)
    app.function_name("background_jobs")(queued(run))
    given_up = app.queue_trigger(arg_name="message", queue_name=POISON_QUEUE, connection=CONNECTION)
    app.function_name("background_jobs_poison")(given_up(poison))
    timed = app.timer_trigger(schedule=WAKE_SCHEDULE, arg_name="timer", run_on_startup=False)
    app.function_name("background_jobs_wake")(timed(wake))


def _function(endpoint: Endpoint, door: Door) -> Function:
    async def serve(req: Request) -> Response:
        return to_http(await pipeline.answer(endpoint, to_arrival(req), door))

    serve.__name__ = endpoint.name.replace("-", "_")
    serve.__doc__ = f"{', '.join(endpoint.methods)} {endpoint.pattern.template}"
    return serve


def to_arrival(req: Request) -> Arrival:
    """The request as the front door sees it."""
    lines = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in req.scope["headers"]]
    return Arrival(
        method=str(req.method).upper(),
        scheme=str(req.scope["scheme"]),
        path_values={name: str(value) for name, value in req.path_params.items() if value is not None},
        query=bytes(req.scope["query_string"]).decode("latin-1"),
        headers=Headers(lines),
        body=_chunks(req),
    )


async def _chunks(req: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in req.stream():
            if chunk:
                yield chunk
    except ClientDisconnect as error:
        raise ClientGone("The connection was closed before the request was complete.") from error


class ClosingResponse(StreamingResponse):
    """A streamed answer that closes its source whatever ends it: the last chunk, an error, or the client going away."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        try:
            with contextlib.suppress(ClientDisconnect):
                await super().__call__(scope, receive, send)
        finally:
            if isinstance(self.body_iterator, StreamedBody):
                await self.body_iterator.aclose()


def to_http(reply: Reply) -> Response:
    """The reply as a response of the streams extension."""
    response: Response
    if isinstance(reply.body, bytes):
        response = Response(content=reply.body, status_code=reply.status)
    else:
        response = ClosingResponse(content=reply.body, status_code=reply.status)
    if reply.media_type is not None:
        response.headers["Content-Type"] = reply.media_type
    for name, value in reply.headers:
        response.headers.append(name, value)
    return response
