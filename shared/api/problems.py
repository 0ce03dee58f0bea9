"""Errors → answers. The only place that knows which HTTP status a meaning has (contract C1.3, C1.4)."""

from __future__ import annotations

from shared.errors import (
    ClientGone,
    Conflict,
    DicomWebError,
    InvalidRequest,
    KeysUnavailable,
    NotAcceptable,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    OperationRunning,
    PayloadTooLarge,
    StoreUnavailable,
    Superseded,
    UnsupportedMediaType,
)
from shared.wire.call import Reply

TEXT = "text/plain; charset=utf-8"
INTERNAL = "The service could not complete this request because of a fault of its own."

_STATUSES: dict[type[DicomWebError], int] = {
    InvalidRequest: 400,
    ClientGone: 400,
    NotAuthenticated: 401,
    NotAllowed: 403,
    NotFound: 404,
    NotAcceptable: 406,
    Conflict: 409,
    OperationRunning: 409,
    Superseded: 409,
    PayloadTooLarge: 413,
    UnsupportedMediaType: 415,
    KeysUnavailable: 503,
    StoreUnavailable: 503,
}


def status_of(error: type[BaseException]) -> int:
    """The status of an error class: its own or that of the nearest class it derives from, else 500."""
    for ancestor in error.__mro__:
        if ancestor in _STATUSES:
            return _STATUSES[ancestor]
    return 500


def reply(error: BaseException) -> Reply:
    """The answer to an error: its own text when the service raised it on purpose, else one fixed text."""
    status = status_of(type(error))
    if status == 500:
        return text(500, INTERNAL)
    if isinstance(error, NotAuthenticated):
        return Reply(status, headers=(("WWW-Authenticate", error.challenge),))
    if isinstance(error, StoreUnavailable | KeysUnavailable):
        return text(status, str(error), (("Retry-After", str(error.retry_after_seconds)),))
    return text(status, str(error))


def text(status: int, message: str, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """A plain text answer; an empty message becomes a general one."""
    return Reply(status, (message or "The request was refused.").encode(), TEXT, headers)
