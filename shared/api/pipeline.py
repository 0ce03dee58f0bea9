"""answer(): check the request in the order of the contract (C1.1), call the handler, add headers, log one line."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from shared.api import params, problems, streams, traces
from shared.api.arrival import Arrival, CountedBody
from shared.api.endpoints import Endpoint, Service
from shared.api.fallback import Fallback
from shared.api.lineup import HeaderLines
from shared.api.patterns import VersionSlot
from shared.errors import (
    DicomWebError,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    StoreUnavailable,
    UnsupportedMediaType,
)
from shared.settings import Settings
from shared.storage.partitions import DEFAULT_NAME
from shared.storage.stores import Stores
from shared.wire import media
from shared.wire.call import Call, Reply

LOG = logging.getLogger(__name__)

# Contract C1.2.
BASE_HEADERS: HeaderLines = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "SAMEORIGIN"),
    ("Content-Security-Policy", "frame-src 'self';"),
)


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
    """

    stores: Stores
    settings: Settings
    undeclared: Callable[[str, int], None] = log_undeclared


async def answer(endpoint: Endpoint, arrival: Arrival, door: Door) -> Reply:
    """The complete answer to a request. Errors of any kind become answers; only a hook that raises gets through.

    A streamed body is a `StreamedBody`; whoever sends it closes it.
    """
    started = time.perf_counter()
    body = CountedBody(arrival.body, door.settings.max_request_bytes)
    headers = endpoint.headers
    try:
        _check_query(arrival)
        _check_version(endpoint, arrival)
        if isinstance(endpoint.work, Fallback):
            reply, headers = endpoint.work.reply(arrival)
        else:
            reply = await _served(endpoint, endpoint.work, arrival, body, door)
    except DicomWebError as error:
        _note(error)
        reply = problems.reply(error)
    except Exception as error:  # noqa: BLE001  the last catch of the service: whatever it is, the client gets an answer
        _note(error)
        reply = problems.reply(error)
    if isinstance(endpoint.work, Service) and reply.status not in endpoint.work.statuses:
        door.undeclared(endpoint.operation, reply.status)
    if arrival.has_body:
        await body.read_on()
    farewell = endpoint.farewell.headers(arrival) if endpoint.farewell else ()
    reply = replace(reply, headers=BASE_HEADERS + headers + farewell + reply.headers)
    return _logged(reply, endpoint, started)


async def _served(endpoint: Endpoint, service: Service, arrival: Arrival, body: CountedBody, door: Door) -> Reply:
    _check_media_type(service, arrival)
    partition = _partition(service, arrival, door.settings)
    choice = None
    if service.offers:
        asked = params.media_types(arrival.query)
        choice = media.choose(service.offers, arrival.headers.joined("Accept"), asked)
    values = params.read(service.parameters, arrival.path_values, arrival.query, arrival.headers)
    root = _service_root(arrival)
    if service.media_types and (arrival.declared_bytes or 0) > door.settings.max_request_bytes:
        raise PayloadTooLarge(door.settings.max_request_bytes)
    call = Call(
        operation=endpoint.operation,
        parameters=values,
        headers=arrival.headers,
        body=body,
        service_root=root,
        partition=partition,
        behaviours=service.behaviours,
        choice=choice,
    )
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


def _service_root(arrival: Arrival) -> str:
    """Contract C1.11: the version as the caller spelled it, and the partition when the path has one."""
    root = f"{arrival.scheme}://{arrival.host}"
    if "version" in arrival.path_values:
        root = f"{root}/{arrival.path_values['version']}"
    if "partitionName" in arrival.path_values:
        root = f"{root}/partitions/{arrival.path_values['partitionName']}"
    return root


def _logged(reply: Reply, endpoint: Endpoint, started: float) -> Reply:
    """The reply; its access line is written now, or at the end of its stream."""

    def write(sent_bytes: int, how: str, error: BaseException | None) -> None:
        if error is not None:
            LOG.error("stream failed operation=%s\n%s", endpoint.operation, traces.trace(error))
        LOG.info(
            "request operation=%s version=%s status=%d ms=%d bytes=%d end=%s",
            endpoint.operation,
            endpoint.version or "-",
            reply.status,
            (time.perf_counter() - started) * 1000,
            sent_bytes,
            how,
        )

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
