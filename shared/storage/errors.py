"""What storage answers, as meanings. Rooms see `shared.errors.StoreUnavailable`; the rest stays in this package."""

from __future__ import annotations


class StorageFailed(Exception):
    """Storage refused a request.

    Attributes:
        status: HTTP status of the refusal.
        code: storage's own error code, for example `EntityAlreadyExists`.
    """

    def __init__(self, status: int, code: str, operation: str) -> None:
        super().__init__(f"{operation}: {status} {code}")
        self.status = status
        self.code = code


class TransactionFailed(StorageFailed):
    """A table transaction was rolled back.

    Attributes:
        index: zero-based number of the operation that failed.
    """

    def __init__(self, status: int, code: str, operation: str, index: int) -> None:
        super().__init__(status, code, operation)
        self.index = index


class OutcomeUnknown(Exception):
    """A write was sent and its answer never came: it may or may not have happened."""
