"""answer(): check the request in the order of the contract (C1.1), call the handler, add headers, log one line."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from shared.api import audit, browser, forwarded, params, problems, streams, traces
from shared.api.access.gate import Gate
from shared.api.arrival import Arrival, CountedBody
from shared.api.endpoints import Endpoint, Service
from shared.api.fallback import Fallback
from shared.api.patterns import VersionSlot
from shared.api.telemetry.told import OFF, Ending, Telemetry, Visit
from shared.api.usage import Usage, product
from shared.errors import (
    DicomWebError,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    ReplacedMeanwhile,
    StoreUnavailable,
    UnsupportedMediaType,
)
from shared.settings import Settings
from shared.storage.meter import metered
from shared.storage.partitions import DEFAULT_NAME
from shared.storage.stores import Stores
from shared.wire import media
from shared.wire.call import Call, Reply

LOG = logging.getLogger(__name__)


def log_undeclared(operation: str, status: int) -> None:
    """What happens in production when an operation answers a status that its row does not name."""
    LOG.error("undeclared status operation=%s status=%d", operation, status)


@dataclass(frozen=True, slots=True)
class Door:
    """What all requests share.

    Attributes:
        stores: handed to handlers.
        settings: of the app.
        undeclared: called with operation and status when a row answers a status it does not name.
        gate: who gets in; what the settings say of it when none is given.
        telemetry: told of each request.
    """

    stores: Stores
    settings: Settings
    undeclared: Callable[[str, int], None] = log_undeclared
    gate: Gate = None  # type: ignore[assignment] # set below: no reader ever sees None
    telemetry: Telemetry = OFF

    def __post_init__(self) -> None:
        if self.gate is None:
            object.__setattr__(self, "gate", Gate.of(self.settings))


async def answer(endpoint: Endpoint, arrival: Arrival, door: Door) -> Reply:
    """The complete answer to a request. Errors of any kind become answers; only a hook that raises gets through.

    A streamed body is a `StreamedBody`; whoever sends it closes it.
    """
    usage = Usage(product(arrival.headers))
    visit = door.telemetry.begun(endpoint, arrival)
    try:
        with metered(usage.meter):
            reply = await _answered(endpoint, arrival, door)
    except BaseException:
        visit.dropped()
        raise
    reply = replace(reply, headers=reply.headers + usage.headers(door.settings))
    return _logged(reply, endpoint, usage, visit)


async def _answered(endpoint: Endpoint, arrival: Arrival, door: Door) -> Reply:
    body = CountedBody(arrival.body, door.settings.max_request_bytes)
    headers = endpoint.headers
    visit = audit.Visit()
    try:
        if door.settings.trust_forwarded:
            arrival = forwarded.seen(arrival)
        _check_query(arrival)
        _check_version(endpoint, arrival)
        if isinstance(endpoint.work, Fallback):
            reply, headers = endpoint.work.reply(arrival)
        else:
            reply = await _served(endpoint, endpoint.work, _Asked(arrival, body, visit), door)
    except DicomWebError as error:
        _note(error)
        reply = problems.reply(error)
    except Exception as error:  # noqa: BLE001  the last catch of the service: whatever it is, the client gets an answer
        _note(error)
        reply = problems.reply(error)
    if isinstance(endpoint.work, Service):
        audit.write(endpoint, endpoint.work, visit, reply)
        if reply.status not in endpoint.work.statuses:
            door.undeclared(endpoint.operation, reply.status)
    if arrival.has_body:
        await body.read_on()
    farewell = endpoint.farewell.headers(arrival) if endpoint.farewell else ()
    always = browser.headers(arrival, door.settings.cors_origins)
    return replace(reply, headers=always + headers + farewell + reply.headers)


@dataclass(frozen=True, slots=True)
class _Asked:
    arrival: Arrival
    body: CountedBody
    visit: audit.Visit


async def _served(endpoint: Endpoint, service: Service, asked: _Asked, door: Door) -> Reply:
    arrival, visit = asked.arrival, asked.visit
    _check_media_type(service, arrival)
    if service.rule.action is not None:
        visit.caller = await door.gate.identify(arrival.headers)
        visit.custom = audit.custom_headers(arrival.headers)
    partition = visit.partition = _partition(service, arrival, door.settings)
    choice = None
    if service.offers:
        named = params.media_types(arrival.query)
        choice = media.choose(service.offers, arrival.headers.joined("Accept"), named)
    values = params.read(service.parameters, arrival.path_values, arrival.query, arrival.headers)
    visit.resources = audit.resources(service, values)
    root = arrival.service_root
    if service.media_types and (arrival.declared_bytes or 0) > door.settings.max_request_bytes:
        raise PayloadTooLarge(door.settings.max_request_bytes)
    if service.rule.action is not None:
        # Here, as in the original: what is wrong with the request is told before, the body is read afterwards (C1.1).
        door.gate.admit(visit.caller, service.rule.action)
    call = Call(
        operation=endpoint.operation,
        parameters=values,
        headers=arrival.headers,
        body=asked.body,
        service_root=root,
        partition=partition,
        behaviours=service.behaviours,
        choice=choice,
    )
    try:
        return await streams.begun(await service.handler(call, door.stores))
    except ReplacedMeanwhile:
        if service.media_types:
            raise
        # Nothing was sent, and no body was read: the handler finds what has come in its place.
        return await streams.begun(await service.handler(call, door.stores))


def _check_query(arrival: Arrival) -> None:
    """Contract C1.8."""
    if "<" in arrival.query or "%3c" in arrival.query.lower():
        raise InvalidRequest("The query string contains a character that is not allowed: <")


def _check_version(endpoint: Endpoint, arrival: Arrival) -> None:
    """The host matched the version segment already, but its end of text also matches before a line feed."""
    lead = endpoint.pattern.parts[0]
    if isinstance(lead, VersionSlot) and not endpoint.pattern.matches_lead(arrival.path_values.get("version", "")):
        raise NotFound("This is no version of the service.")


def _check_media_type(service: Service, arrival: Arrival) -> None:
    """Only the bare media type is looked at; what its parameters mean is the handler's (contract C2.1)."""
    if not service.media_types:
        return
    given = (arrival.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    if given not in service.media_types:
        raise UnsupportedMediaType(f"The body must be {' or '.join(service.media_types)}.")


def _partition(service: Service, arrival: Arrival, settings: Settings) -> str:
    """The partition a call is about (contract C13)."""
    if service.partition is None:
        return DEFAULT_NAME
    name = arrival.path_values.get(service.partition.name)
    if not settings.data_partitions:
        if name is not None:
            raise InvalidRequest("Data partitions are not in use here; leave partitions/… out of the path.")
        return DEFAULT_NAME
    if name is None:
        raise InvalidRequest("Data partitions are in use here; the path must name one: partitions/{partitionName}/…")
    return str(params.value_of(service.partition, name))


def _logged(reply: Reply, endpoint: Endpoint, usage: Usage, visit: Visit) -> Reply:
    """The reply; its access line is written, and telemetry is told, now or at the end of its stream."""

    def write(sent_bytes: int, how: str, error: BaseException | None) -> None:
        if error is not None:
            LOG.error("stream failed operation=%s\n%s", endpoint.operation, traces.trace(error))
        LOG.info(
            "request operation=%s version=%s status=%d %s bytes=%d end=%s",
            endpoint.operation,
            endpoint.version or "-",
            reply.status,
            usage.line(),
            sent_bytes,
            how,
        )
        visit.ended(Ending(reply.status, usage, sent_bytes, how, "" if error is None else traces.name(error)))

    if isinstance(reply.body, streams.StreamedBody):
        reply.body.on_end(write)
    elif isinstance(reply.body, bytes):
        write(len(reply.body), streams.COMPLETE, None)
    return reply


def _note(error: Exception) -> None:
    """Log what nobody meant to happen; errors that are an answer to the client's own mistake are not logged."""
    if isinstance(error, StoreUnavailable):
        LOG.warning("storage unavailable causes=%s", " < ".join(traces.name(one) for one in traces.chain(error)))
    elif problems.status_of(type(error)) == 500:
        LOG.error("unexpected error\n%s", traces.trace(error))
