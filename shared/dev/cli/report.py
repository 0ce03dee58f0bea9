"""What became of files: a store report (PS3.18 §I.2) attributed to the files that were sent, reason codes in words."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from shared.dev.cli.files import Found
from shared.dev.cli.screen import Screen, counted, size_text
from shared.dicom.reasons import FailureReason, WarningReason

_REFERENCED_SOP_INSTANCE = "00081155"
_WARNING_REASON, _FAILURE_REASON = "00081196", "00081197"
_FAILED, _STORED = "00081198", "00081199"
_FAILED_ATTRIBUTES, _ERROR_COMMENT = "00741048", "00000902"

_NAMED_FILES = 200

# Contract C2.7; the others are those of other services (PS3.18 §I.2.2).
_FAILURES = {
    FailureReason.PROCESSING_FAILURE: "the service had a fault of its own; try again",
    FailureReason.VALIDATION_FAILURE: "the data set breaks a rule",
    43265: "the instance belongs to another study than the request",
    FailureReason.ALREADY_EXISTS: "the same instance is stored already",
    45071: "the same instance is being stored by somebody else; try again",
    290: "instances of this SOP class are not taken",
    49442: "this transfer syntax is not taken",
}
_FAILURE_RANGES = (
    (range(42752, 43008), "the service has no room left"),
    (range(43264, 43520), "the data set does not match its SOP class"),
    (range(49152, 53248), "the service cannot understand the data set"),
)
_WARNINGS = {
    WarningReason.INVALID_ATTRIBUTES: "values break the rules of their VR; they are in the file, but not in metadata",
    WarningReason.SOP_CLASS_MISMATCH: "the data set is in implicit VR, or does not match its SOP class",
    45056: "the service changed elements",
    45062: "the service left elements out",
}


class Outcome(Enum):
    """What became of a file. Values are words for programs."""

    STORED = "stored"
    WARNED = "warned"
    THERE = "there"
    KNOWN = "known"
    REFUSED = "refused"
    UNREADABLE = "unreadable"
    PASSED_OVER = "skipped"


FAULTS = (Outcome.REFUSED, Outcome.UNREADABLE)


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one file.

    Attributes:
        code: reason code; None when there is none.
        words: why, for people.
        comments: what is wrong with single attributes, without values.
    """

    outcome: Outcome
    code: int | None = None
    words: str = ""
    comments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attribution:
    """Whose fate is whose.

    Attributes:
        fates: by the place of the file in its request. One is missing whose fate the report does not tell for sure.
        uids: what the report calls these files.
        left: fates of the others, by what the report calls them.
    """

    fates: dict[int, Fate]
    uids: dict[int, str]
    left: dict[str, Fate]


def attributed(files: Sequence[Found], report: Any) -> Attribution:
    """The fates in a report.

    Args:
        files: of a request, in the order in which they were sent; no UID is among them twice.
        report: DICOM JSON.
    """
    told = [_stored(item) for item in _items(report, _STORED)] + [_failed(item) for item in _items(report, _FAILED)]
    named = Counter(uid for uid, _ in told)
    places = {file.sop_instance_uid: place for place, file in enumerate(files)}
    sure = {places[uid]: (uid, fate) for uid, fate in told if uid and uid in places and named[uid] == 1}
    others = [(uid, fate) for uid, fate in told if not (uid and uid in places and named[uid] == 1)]
    open_places = [place for place in range(len(files)) if place not in sure]
    if len(open_places) == len(others) and len({fate for _, fate in others}) == 1:
        # Whichever is whose, it is the same.
        sure.update(zip(open_places, others, strict=True))
        others = []
    # Of two with one name the one that was stored came first, so it has to be the last to be put in.
    left = {uid: fate for uid, fate in reversed(others) if uid}
    fates = {place: fate for place, (_, fate) in sure.items()}
    return Attribution(fates, {place: uid for place, (uid, _) in sure.items()}, left)


def _stored(item: Any) -> tuple[str, Fate]:
    code = _number(item, _WARNING_REASON)
    comments = _comments(item)
    outcome = Outcome.STORED if code is None and not comments else Outcome.WARNED
    return _text(item, _REFERENCED_SOP_INSTANCE), Fate(outcome, code, warning_words(code), comments)


def _failed(item: Any) -> tuple[str, Fate]:
    code = _number(item, _FAILURE_REASON)
    outcome = Outcome.THERE if code == FailureReason.ALREADY_EXISTS else Outcome.REFUSED
    return _text(item, _REFERENCED_SOP_INSTANCE), Fate(outcome, code, failure_words(code), _comments(item))


def warning_words(code: int | None) -> str:
    """A WarningReason for people; empty when there is none."""
    return "" if code is None else _WARNINGS.get(code, "something about it is odd")


def failure_words(code: int | None) -> str:
    """A FailureReason for people."""
    if code is None:
        return "the service does not say why"
    known = _FAILURES.get(code)
    return known or next((words for codes, words in _FAILURE_RANGES if code in codes), "the service does not say why")


def _items(dataset: Any, tag: str) -> list[Any]:
    element = dataset.get(tag) if isinstance(dataset, dict) else None
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []


def _text(item: Any, tag: str) -> str:
    return str(next(iter(_items(item, tag)), "") or "")


def _number(item: Any, tag: str) -> int | None:
    value = next(iter(_items(item, tag)), None)
    return value if isinstance(value, int) else None


def _comments(item: Any) -> tuple[str, ...]:
    return tuple(_text(inner, _ERROR_COMMENT) for inner in _items(item, _FAILED_ATTRIBUTES))


class Tally:
    """What became of all files of a command, told as it happens and summed up at its end."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._counts: Counter[Outcome] = Counter()
        self._named = 0
        self._stored_bytes = 0
        # Folders are walked in a thread of its own.
        self._lock = threading.Lock()

    @property
    def told(self) -> int:
        """How many files something is known about."""
        return self._counts.total()

    @property
    def told_of_files(self) -> int:
        """How many of them may be DICOM files."""
        return self.told - self._counts[Outcome.PASSED_OVER]

    @property
    def faults(self) -> int:
        """How many were not stored, and should have been."""
        return sum(self._counts[one] for one in FAULTS)

    def add(self, path: Path, size_bytes: int, fate: Fate) -> None:
        """One more file."""
        with self._lock:
            self._add(path, size_bytes, fate)

    def _add(self, path: Path, size_bytes: int, fate: Fate) -> None:
        self._counts[fate.outcome] += 1
        if fate.outcome in (Outcome.STORED, Outcome.WARNED):
            self._stored_bytes += size_bytes
        entry = {"file": str(path), "outcome": fate.outcome.value, "reason": fate.code, "words": fate.words}
        self._screen.give({key: value for key, value in entry.items() if value not in (None, "")} | _listed(fate))
        self._name(path, fate)

    def _name(self, path: Path, fate: Fate) -> None:
        is_news = fate.outcome in (*FAULTS, Outcome.WARNED)
        if self._screen.json or not (self._screen.verbose or is_news):
            return
        self._named += 1
        if self._named > _NAMED_FILES and not self._screen.verbose:
            if self._named == _NAMED_FILES + 1:
                self._screen.note("More files are not named; -v names all, --json tells them to programs.")
            return
        code = f" ({fate.code})" if fate.code is not None else ""
        words = f": {fate.words}" if fate.words else ""
        line = "\n".join([f"{path}: {fate.outcome.value}{code}{words}", *(f"    {one}" for one in fate.comments)])
        if fate.outcome in FAULTS:
            self._screen.error(line)
        else:
            self._screen.note(line)

    def close(self) -> None:
        """Sum up."""
        counts = self._counts
        stored = counts[Outcome.STORED] + counts[Outcome.WARNED]
        self._screen.give({"summary": {one.value: counts[one] for one in Outcome}})
        warned = f", {counted(counts[Outcome.WARNED], 'warning')}" if counts[Outcome.WARNED] else ""
        self._screen.say(f"stored         {stored:,} ({size_text(self._stored_bytes)}{warned})")
        known = f" ({counts[Outcome.KNOWN]:,} by the journal)" if counts[Outcome.KNOWN] else ""
        self._screen.say(f"already there  {counts[Outcome.THERE] + counts[Outcome.KNOWN]:,}{known}")
        self._screen.say(f"refused        {self.faults:,}")
        if counts[Outcome.PASSED_OVER]:
            self._screen.say(f"skipped        {counts[Outcome.PASSED_OVER]:,} that are no DICOM files")


def _listed(fate: Fate) -> dict[str, list[str]]:
    return {"comments": list(fate.comments)} if fate.comments else {}
