"""What can go wrong, as meanings. HTTP numbers are given by `shared/api/problems.py` and nowhere else.

Messages are shown to clients: they say what was wrong and where, and never carry a patient's value.
"""

from __future__ import annotations


class DicomWebError(Exception):
    """Base of everything the service raises on purpose; its text is safe to show to a client."""


class InvalidRequest(DicomWebError):
    """The request cannot be understood or breaks a rule of the operation."""


class InvalidParameter(InvalidRequest):
    """A path, query or header parameter has a value that its rules refuse.

    Args:
        name: the parameter as the documentation spells it.
        reason: what is wrong with it, without repeating the value.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name


class MalformedBody(InvalidRequest):
    """The body breaks its own framing (multipart boundaries, part headers) or ends in the middle."""


class ClientGone(DicomWebError):
    """The client closed the connection before its request was complete."""


class NotFound(DicomWebError):
    """Nothing is stored under that name."""


class Conflict(DicomWebError):
    """What is there already stands against it."""


class OperationRunning(DicomWebError):
    """Work of this kind is under way, and only one may be at a time.

    Args:
        operation_id: the operation that is under way.
    """

    def __init__(self, operation_id: str) -> None:
        super().__init__(f"Operation {operation_id} is running. Please try again when it has finished.")
        self.operation_id = operation_id


class Superseded(DicomWebError):
    """Somebody else has changed it since it was read."""


class NotAcceptable(DicomWebError):
    """No representation on offer satisfies what the client accepts."""


class UnsupportedMediaType(DicomWebError):
    """The body is of a media type the operation does not read."""


class PayloadTooLarge(DicomWebError):
    """The body is longer than the service takes.

    Args:
        limit_bytes: the largest body that would have been taken.
    """

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"The request is larger than the {limit_bytes} bytes this service takes in one request.")
        self.limit_bytes = limit_bytes


class StoreUnavailable(DicomWebError):
    """Storage did not answer in time; the same request may succeed later.

    Args:
        retry_after_seconds: how long a client should wait before it tries again.
    """

    _TEXT = "The storage behind this service is not available at the moment. Please try again."

    def __init__(self, retry_after_seconds: int = 5) -> None:
        super().__init__(self._TEXT)
        self.retry_after_seconds = retry_after_seconds


class UnknownSchema(StoreUnavailable):
    """Something is stored in a form that this release does not read: the roll-out of another one is under way."""

    _TEXT = (
        "Something that this answer needs was stored by another release of the service, in a form that this one cannot "
        "read. Please try again."
    )

    def __init__(self) -> None:
        super().__init__(retry_after_seconds=60)
