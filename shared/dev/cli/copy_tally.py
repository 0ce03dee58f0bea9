"""What became of instances that `dicom copy` copies, by their UIDs, and how far it is."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shared.dev.cli.files import Found, Journal
from shared.dev.cli.get import Instance
from shared.dev.cli.report import FAULTS, Fate, Outcome, Tally
from shared.dev.cli.screen import Screen, counted, size_text

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_SETTLED = (Outcome.STORED, Outcome.WARNED, Outcome.THERE)
_NAMED_MISSING = 200


def entry(instance: Instance) -> Found:
    """An instance as a journal knows it. Nothing of it but its UIDs counts: an instance does not change."""
    name = Path("/", instance.study_uid, instance.series_uid, instance.sop_instance_uid)
    return Found(name, 0, 0, instance.sop_instance_uid)


class Shown:
    """How far a copy is: studies, instances, bytes.

    Args:
        studies: how many there are.
        progress: where it is shown; None for nowhere.
    """

    def __init__(self, studies: int, progress: Progress | None = None) -> None:
        self._studies = studies
        self._progress = progress
        self._done = self._instances = 0
        self._size_bytes = 0.0
        self._task: TaskID | None = progress.add_task(self._text(), total=studies) if progress else None

    def advance(self, amount: float) -> None:
        """Some bytes more, or fewer."""
        self._size_bytes += amount
        self._show()

    def reach(self, done: float, total: float | None = None) -> None:
        """So many bytes."""
        self.advance(done - self._size_bytes)

    def instance(self) -> None:
        """One more instance."""
        self._instances += 1
        self._show()

    def study(self) -> None:
        """One more study."""
        self._done += 1
        self._show()

    def _show(self) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=self._done, description=self._text())

    def _text(self) -> str:
        studies = f"{self._done:,} of {counted(self._studies, 'study', 'studies')}"
        return f"Copying: {studies}, {counted(self._instances, 'instance')}, {size_text(int(self._size_bytes))}"


@contextmanager
def shown(screen: Screen, studies: int) -> Iterator[Shown]:
    """A progress bar, where somebody looks at it."""
    if screen.quiet or screen.json or not sys.stderr.isatty():
        yield Shown(studies)
        return
    # Here, because a copy that nobody watches need not wait for the import.
    from rich import progress
    from rich.console import Console

    columns = (progress.TextColumn("{task.description}", markup=False), progress.BarColumn())
    console = Console(file=sys.stderr)
    with progress.Progress(*columns, progress.TimeRemainingColumn(), console=console, transient=True) as made:
        yield Shown(studies, made)


@dataclass(slots=True)
class Studies:
    """What became of studies.

    Attributes:
        seen: studies that were looked at to their end.
        failed: those that the source does not list.
        cut: those of which the source may have more than it lists.
        missing: instances that are not there after copying.
        list_cut: whether the source may have more studies than it lists.
    """

    seen: int = 0
    failed: int = 0
    cut: int = 0
    missing: int = 0
    list_cut: bool = False


class CopyTally(Tally):
    """Tells of instances, and keeps the journal.

    Args:
        screen: where to tell it.
        journal: of what is there.
        bar: how far the copy is.
    """

    def __init__(self, screen: Screen, journal: Journal, bar: Shown) -> None:
        super().__init__(screen)
        self.studies = Studies()
        self._to = screen
        self._journal = journal
        self._bar = bar
        self._under_way: dict[Path, Instance] = {}
        self._reasons: Counter[tuple[int | None, str]] = Counter()

    @property
    def is_well(self) -> bool:
        """Whether everything is there that should be, as far as is known."""
        told = self.studies
        return not (self.faults or told.failed or told.cut or told.missing or told.list_cut)

    def name(self, path: Path, instance: Instance) -> None:
        """A file is this instance."""
        self._under_way[path] = instance

    def add(self, path: Path, size_bytes: int, fate: Fate) -> None:
        """The fate of a file that has a name."""
        self.settle(self._under_way.pop(path), size_bytes, fate)

    def settle(self, instance: Instance, size_bytes: int, fate: Fate) -> None:
        """The fate of an instance."""
        if fate.outcome in _SETTLED:
            self._journal.add(entry(instance))
        if fate.outcome in FAULTS:
            self._reasons[fate.code, fate.words] += 1
        super().add(Path(instance.study_uid, instance.series_uid, instance.sop_instance_uid), size_bytes, fate)
        self._bar.instance()

    def study_failed(self, study_uid: str, why: str) -> None:
        """A study cannot be copied."""
        self.studies.failed += 1
        self._to.give({"study": study_uid, "outcome": "failed", "words": why})
        self._to.error(f"{study_uid}: failed: {why}")

    def list_cut(self, number: int) -> None:
        """The source may have more studies than it lists."""
        self.studies.list_cut = True
        listed = counted(number, "study", "studies")
        self._to.error(
            f"The source lists {listed} and does not know `offset`: there may be more. "
            "Copy portions, such as StudyDate=20260101-20260131."
        )

    def study_cut(self, study_uid: str) -> None:
        """The source may have more of a study than it lists."""
        self.studies.cut += 1
        self._to.give({"study": study_uid, "outcome": "incomplete"})
        self._to.error(f"{study_uid}: the source does not list all instances, because it does not know `offset`")

    def missing(self, instance: Instance) -> None:
        """An instance is not there."""
        self.studies.missing += 1
        name = f"{instance.study_uid}/{instance.series_uid}/{instance.sop_instance_uid}"
        self._to.give({"missing": name})
        if self.studies.missing <= _NAMED_MISSING or self._to.verbose:
            self._to.error(f"{name}: missing")

    def close(self) -> None:
        """Sum up."""
        self._to.say(f"studies        {self.studies.seen:,}")
        super().close()
        for (code, words), number in self._reasons.most_common():
            self._to.say(f"  {number:,} × {words}" + (f" ({code})" if code is not None else ""))
        told = self.studies
        numbers = {"failed": told.failed, "incomplete": told.cut, "missing": told.missing}
        for name, number in numbers.items():
            what = counted(number, "instance") if name == "missing" else counted(number, "study", "studies")
            if number:
                self._to.say(f"{name:<13}  {what}")
        self._to.give({"studies": {"seen": told.seen, **numbers}})
