"""What requests make storage do, as `infra/requests.yaml` has it: recorded from the service, not written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from shared.dev.repository import ROOT

REQUESTS = ROOT / "infra" / "requests.yaml"
_HEADER = """\
# What a request makes storage do, and how many bytes of log it leaves: lines of the service, without what Azure adds.
# Recorded by `python -m shared.dev.costs record`; not to be edited by hand.
"""


class CountsError(Exception):
    """The file cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What storage was asked for.

    Attributes:
        blobs_written: PUT of blobs and blocks, and lists, which are billed alike.
        blobs_read: GET and HEAD of blobs.
        blobs_deleted: DELETE of blobs, which are not billed in the hot tier.
        tables: calls to tables; a transaction is one.
        queues: calls to queues.
        log_bytes: length of the lines in the log.
    """

    blobs_written: int = 0
    blobs_read: int = 0
    blobs_deleted: int = 0
    tables: int = 0
    queues: int = 0
    log_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Timer:
    """A timer of the background work, on a store in which nobody does anything.

    Attributes:
        runs_a_month: in 30 days.
        each: what a run makes storage do.
    """

    runs_a_month: int
    each: Counted


@dataclass(frozen=True, slots=True)
class Counts:
    """All that is recorded.

    Attributes:
        requests: by what they are, in the order of the tables.
        timers: by name.
        row_bytes: rows of an instance that is one of 20 in a series, without its extended query tags.
    """

    requests: Mapping[str, Counted] = field(default_factory=dict)
    timers: Mapping[str, Timer] = field(default_factory=dict)
    row_bytes: int = 0

    def of(self, name: str) -> Counted:
        """What a request costs storage.

        Raises:
            CountsError: there is none of that name.
        """
        if name not in self.requests:
            raise CountsError(f"{REQUESTS.name} has no request {name!r}")
        return self.requests[name]


def read(path: Path = REQUESTS) -> Counts:
    """What is recorded.

    Raises:
        CountsError: the file has another form.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        requests = {str(name): Counted(**each) for name, each in found["requests"].items()}
        timers = {
            str(name): Timer(int(each.pop("runs_a_month")), Counted(**each)) for name, each in found["timers"].items()
        }
        return Counts(requests, timers, int(found["row_bytes"]))
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CountsError(f"{path.name} is not as `python -m shared.dev.costs record` writes it") from error


def write(counts: Counts, path: Path = REQUESTS) -> None:
    """Record counts."""
    text = {
        "row_bytes": counts.row_bytes,
        "requests": {name: _given(each) for name, each in counts.requests.items()},
        "timers": {
            name: {"runs_a_month": each.runs_a_month, **_given(each.each)} for name, each in counts.timers.items()
        },
    }
    path.write_text(_HEADER + yaml.safe_dump(text, sort_keys=False, width=120), encoding="utf-8")


def _given(counted: Counted) -> dict[str, Any]:
    return {name: number for name, number in asdict(counted).items() if number}


def differences(recorded: Counts, measured: Counts, near: float = 0.1) -> Sequence[str]:
    """Where two disagree by more than a tenth, so that calls below ten have to be the same.

    Args:
        recorded: one of them.
        measured: the other one; what it lacks is not compared.
        near: the share; times and ids have no fixed length, and deletes not always the same calls.
    """
    pairs = [(name, recorded.requests.get(name, Counted()), each) for name, each in measured.requests.items()]
    pairs += [
        (name, before.each if before else Counted(), each.each)
        for name, each in measured.timers.items()
        for before in [recorded.timers.get(name)]
    ]
    numbers = [
        (f"{name}: {key}", number, asdict(now)[key])
        for name, before, now in pairs
        for key, number in asdict(before).items()
    ]
    if measured.row_bytes:
        numbers.append(("row_bytes", recorded.row_bytes, measured.row_bytes))
    return [f"{name} {old}, now {new}" for name, old, new in numbers if abs(old - new) > near * max(old, new)]
