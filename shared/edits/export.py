"""Export at work (contract C12): part after part of what was asked for, into somebody's container.

A slice may be done again from the state it began with, also by two workers at once: blobs have the names of what is in
them, and lines for the log of errors are saved with the state first and appended, at the length that the log had then,
by the slice behind it. Whoever comes second finds the log longer, and the lines in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from shared.edits.export_copy import Copier, Outcome, Refused
from shared.edits.export_request import ExportRequest
from shared.edits.export_source import Found, Part, Place, part_of
from shared.storage.destinationaddress import Access, Target
from shared.storage.destinations import BLOCK_BYTES, Container, DestinationClosed, DestinationUnreachable
from shared.storage.operations import Operation, Progress
from shared.storage.partitions import DataPartition
from shared.storage.stores import Stores

_AT_ONCE = 8
_MOST_MISSES = 20
MISS_SECONDS = 15.0
"""How long a slice waits when the destination does not answer."""


@dataclass(frozen=True, slots=True)
class ExportState:
    """Where an export stands, as its operation keeps it. It ends with the operation, and what opens the container too.

    Attributes:
        partition: number of the data partition.
        partition_name: its name.
        url: of the container.
        access: what opens it.
        sas: the secret that does; empty without one.
        values: identifiers; None for everything.
        at: how far it is, as `Place`.
        study_uid: the same.
        row: the same.
        through: everything was looked at.
        exported: how many instances are there.
        skipped: how many instances or identifiers are not.
        logged_bytes: how long the log of errors is.
        lines: what is to be appended to it.
        misses: how often in a row the destination did not answer.
    """

    partition: int
    partition_name: str
    url: str
    access: str
    sas: str = field(repr=False)
    values: Sequence[str] | None
    at: int = 0
    study_uid: str = ""
    row: str = ""
    through: bool = False
    exported: int = 0
    skipped: int = 0
    logged_bytes: int = 0
    lines: str = ""
    misses: int = 0


def beginning(partition: DataPartition, request: ExportRequest) -> dict[str, Any]:
    """The state that an export begins with."""
    target = request.target
    values = None if request.values is None else list(request.values)
    return asdict(ExportState(partition.number, partition.name, target.url, target.access.value, target.sas, values))


def results_folder(operation_id: str) -> str:
    """What the names of copies begin with."""
    return f"{operation_id}/results"


def log_name(operation_id: str) -> str:
    """Name of the blob that says what could not be exported."""
    return f"{operation_id}/errors.log"


async def step(operation: Operation, stores: Stores) -> Progress:
    """One slice of an export.

    Raises:
        StoreUnavailable: the service's own storage fails.
    """
    state = ExportState(**operation.state)
    async with stores.destinations.open(Target(state.url, Access(state.access), state.sas)) as container:
        href = container.href(log_name(operation.id))
        try:
            after = await _Slice(stores, container, operation.id, state).run()
        except DestinationUnreachable:
            return await _missed(state, href)
        except DestinationClosed as closed:
            reason = f"The destination does not take files any more: {closed.status} {closed.code}".rstrip() + "."
            return Progress({}, None, _results(state, href), failed=reason)
    if after.through and not after.lines:
        return Progress({}, None, _results(after, href), done=True)
    return Progress(asdict(after), None, _results(after, href))


async def _missed(state: ExportState, href: str) -> Progress:
    """The destination may be back at the next slice."""
    if state.misses >= _MOST_MISSES:
        return Progress({}, None, _results(state, href), failed="The destination cannot be reached.")
    await asyncio.sleep(MISS_SECONDS)
    return Progress(asdict(replace(state, misses=state.misses + 1)), None, _results(state, href))


def _results(state: ExportState, href: str) -> Mapping[str, Any]:
    """What clients are told (contract C10)."""
    return {"exported": state.exported, "skipped": state.skipped, "errorHref": href}


class _Slice:
    """One slice at work."""

    def __init__(self, stores: Stores, container: Container, operation_id: str, state: ExportState) -> None:
        self._stores = stores
        self._container = container
        self._operation_id = operation_id
        self._state = state
        self._partition = DataPartition(state.partition, state.partition_name)

    async def run(self) -> ExportState:
        """The state behind it.

        Raises:
            DestinationUnreachable: the container does not answer.
            DestinationClosed: it is not there, or not open any more.
        """
        state = await self._logged()
        if state.through:
            return state
        place = Place(state.at, state.study_uid, state.row)
        part = await part_of(self._stores, self._partition, state.values, place)
        outcomes = await self._copied(part.found)
        refused = [
            (found.identifier, outcome.text)
            for found, outcome in zip(part.found, outcomes, strict=True)
            if isinstance(outcome, Refused)
        ]
        return _behind(state, part, outcomes.count(Outcome.EXPORTED), refused)

    async def _logged(self) -> ExportState:
        """The state when the lines that it had are in the log."""
        state = self._state
        if state.lines:
            content = state.lines.encode()
            await self._container.append(log_name(self._operation_id), content, state.logged_bytes)
            state = replace(state, logged_bytes=state.logged_bytes + len(content), lines="")
        return replace(state, misses=0)

    async def _copied(self, found: Sequence[Found]) -> list[Outcome | Refused]:
        """What became of each; a long one has the connection, and the memory, for itself."""
        folder = results_folder(self._operation_id)
        copier = Copier(self._stores.instances, self._partition, self._container, folder)
        gate, alone = asyncio.Semaphore(_AT_ONCE), asyncio.Lock()
        failed = asyncio.Event()

        async def one(wanted: Found) -> Outcome | Refused:
            is_long = wanted.instance.length_bytes > BLOCK_BYTES
            async with alone if is_long else gate:
                if failed.is_set():
                    return Outcome.GONE  # never seen: the error that was first is raised
                try:
                    return await copier.copy(wanted)
                except Exception:
                    failed.set()
                    raise

        outcomes = await asyncio.gather(*map(one, found), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]


def _behind(state: ExportState, part: Part, exported: int, refused: Sequence[tuple[str, str]]) -> ExportState:
    missing = [(identifier, "Nothing is stored under this identifier.") for identifier in part.missing]
    errors = [*missing, *refused]
    now = datetime.now(UTC).isoformat()
    return replace(
        state,
        at=part.place.at,
        study_uid=part.place.study_uid,
        row=part.place.row,
        through=part.through,
        exported=state.exported + exported,
        skipped=state.skipped + len(errors),
        lines="".join(_line(now, *error) for error in errors),
    )


def _line(timestamp: str, identifier: str, error: str) -> str:
    return orjson.dumps({"timestamp": timestamp, "identifier": identifier, "error": error}).decode() + "\n"
