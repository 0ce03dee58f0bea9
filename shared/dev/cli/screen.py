"""What the `dicom` command shows: text or JSON on standard output, notes and progress bars on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Exit(IntEnum):
    """Exit codes of all commands."""

    WELL = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_ALLOWED = 4
    UNFINISHED = 5
    INTERRUPTED = 130


class Ended(Exception):
    """A command cannot go on. The text is for people: what happened, and what to do now."""

    def __init__(self, text: str, code: Exit = Exit.REFUSED) -> None:
        super().__init__(text)
        self.code = code


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Of errors that came together, the one to tell people: why a command ended, if that is among them."""
    ended, others = group.split(Ended)
    found: BaseException = ended or others or group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def printable(text: object) -> str:
    """A text of others for a terminal: without characters that would steer it."""
    return "".join(one if one.isprintable() or one == "\n" else "\ufffd" for one in str(text))


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as their widest cell."""
    cells = [[printable(cell).replace("\n", " ") for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def size_text(size_bytes: int) -> str:
    """A number of bytes for people."""
    if size_bytes < 1000:
        return f"{size_bytes} bytes"
    units = ("kB", "MB", "GB", "TB")
    power = min(len(units), (len(str(size_bytes)) - 1) // 3)
    return f"{size_bytes / 1000**power:.1f} {units[power - 1]}"


def counted(number: int, one: str, many: str = "") -> str:
    """`1 file`, `2 files`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


class Bar(Protocol):
    """How far something is."""

    def advance(self, amount: float) -> None:
        """Go on, or back."""

    def reach(self, done: float, total: float | None = None) -> None:
        """Be there."""


class _Silence:
    def advance(self, amount: float) -> None:
        pass

    def reach(self, done: float, total: float | None = None) -> None:
        pass


class _Shown:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def advance(self, amount: float) -> None:
        self._progress.advance(self._task, amount)

    def reach(self, done: float, total: float | None = None) -> None:
        self._progress.update(self._task, completed=done, total=total)


@dataclass(frozen=True, slots=True)
class Screen:
    """Where a command speaks.

    Attributes:
        json: standard output is for programs: JSON and nothing else.
        quiet: neither reports nor notes, only errors.
        verbose: also what is not worth mentioning otherwise.
    """

    json: bool = False
    quiet: bool = False
    verbose: bool = False

    def say(self, text: str) -> None:
        """A report, for people."""
        if not self.json and not self.quiet:
            print(printable(text), flush=True)

    def give(self, value: Any) -> None:
        """A result, for programs: one JSON document on a line."""
        if self.json:
            print(json.dumps(value, ensure_ascii=False), flush=True)

    def note(self, text: str) -> None:
        """Something to know beside the result."""
        if not self.quiet:
            print(printable(text), file=sys.stderr, flush=True)

    def error(self, text: str) -> None:
        """Why the command did not do what it was asked."""
        print(printable(text), file=sys.stderr, flush=True)

    @contextmanager
    def bar(self, text: str, total: float | None, *, is_bytes: bool = False) -> Iterator[Bar]:
        """A progress bar; nothing where standard error is no terminal, or nobody wants to see one."""
        if self.quiet or self.json or not sys.stderr.isatty():
            yield _Silence()
            return
        with _progress(is_bytes=is_bytes) as progress:
            yield _Shown(progress, progress.add_task(printable(text), total=total))


def _progress(*, is_bytes: bool) -> Progress:
    # Here, because most commands show no bar and need not wait for the import.
    from rich import progress
    from rich.console import Console

    amount = (
        (progress.DownloadColumn(), progress.TransferSpeedColumn()) if is_bytes else (progress.TaskProgressColumn(),)
    )
    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        *amount,
        progress.TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        transient=True,
    )
