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


class NotAuthenticated(DicomWebError):
    """The caller has not shown who they are: no token, or none that can be believed.

    Args:
        challenge: what the caller is told to do (RFC 6750 §3); no part of the token is in it.
    """

    def __init__(self, challenge: str) -> None:
        super().__init__("A valid token is needed.")
        self.challenge = challenge


class NotAllowed(DicomWebError):
    """The caller is known, and none of their roles allows this."""

    def __init__(self) -> None:
        super().__init__("The roles of this token do not allow this operation.")


class KeysUnavailable(DicomWebError):
    """Nobody can be told from anybody: the keys of the identity provider cannot be had.

    Args:
        retry_after_seconds: how long a client should wait before it tries again.
    """

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__("Tokens cannot be checked at the moment. Please try again.")
        self.retry_after_seconds = retry_after_seconds


class NotFound(DicomWebError):
    """Nothing is stored under that name."""


class ReplacedMeanwhile(NotFound):
    """What was found was replaced or deleted before it could be read; whoever looks again sees what is there now."""

    def __init__(self) -> None:
        super().__init__("The instance was replaced or deleted a moment ago.")


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


class PartitionsLeft(StoreUnavailable):
    """Data are in partitions, and the app is set to know of none (contract C13)."""

    _TEXT = (
        "This service holds data in partitions and is set not to use them, so it would not show all that is stored. "
        "Its operator has to set DICOM_DATA_PARTITIONS to on."
    )

    def __init__(self) -> None:
        super().__init__(retry_after_seconds=60)
