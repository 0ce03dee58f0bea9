"""What all benchmarks print with: a table of figures on stdout, a line of progress on stderr."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

MIB = 1024 * 1024
KIB = 1024


class BenchError(Exception):
    """The benchmark cannot be run here, or what it measures does not work; the text says why."""


@dataclass(frozen=True, slots=True)
class Figures:
    """A table: one row for each thing measured.

    Attributes:
        title: what is measured.
        columns: heads; the first one is the name of a row.
        rows: cells as they are shown.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def text(self) -> str:
        """The table, names to the left and figures to the right."""
        lines = (self.columns, *self.rows)
        widths = [max(len(line[place]) for line in lines) for place in range(len(self.columns))]
        shown = [_line(line, widths) for line in lines]
        return "\n".join([self.title, "", shown[0], "  ".join("-" * width for width in widths), *shown[1:]])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.rjust(width) if place else cell.ljust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join((first, *others)).rstrip()


class Progress:
    """One line on stderr that says what is being measured.

    Args:
        what: name of the benchmark.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._start = time.monotonic()
        self._overwrites = sys.stderr.isatty()

    def step(self, text: str) -> None:
        """Say what comes now."""
        line = f"[{time.monotonic() - self._start:5.1f} s] {self._what}: {text}"
        if self._overwrites:
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def done(self) -> None:
        """Leave the line."""
        if self._overwrites:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def machine() -> str:
    """What a reader must know of the machine to judge the figures."""
    return f"{os.cpu_count()} cores, Python {platform.python_version()}"


def number(value: float) -> str:
    """A figure with about three digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ratio(value: float, base: float) -> str:
    """How many times the base; `-` where the base is too small to be measured."""
    return f"{value / base:.2f}" if base > 0 else "-"


def middle(values: Sequence[float]) -> float:
    """The median."""
    return median(values)
