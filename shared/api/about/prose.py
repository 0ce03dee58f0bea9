"""A page as sections, paragraphs and tables, before anybody knows whether it becomes HTML or Markdown.

Texts may hold `code` between backticks; everything else in them is plain and is escaped by whoever writes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Link:
    """A link.

    Attributes:
        text: what is read.
        target: absolute, or relative to the page.
    """

    text: str
    target: str


Piece = str | Link
# What stands in a paragraph or in the cell of a table.
Line = Piece | tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph."""

    line: Line


@dataclass(frozen=True, slots=True)
class Table:
    """A table; rows have as many cells as the head."""

    head: tuple[str, ...]
    rows: tuple[tuple[Line, ...], ...]


Block = Paragraph | Table


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page.

    Attributes:
        title: its heading, of which the anchor is made.
        blocks: in order.
        parts: sections below it, one level at most.
    """

    title: str
    blocks: tuple[Block, ...] = ()
    parts: tuple[Section, ...] = ()

    @property
    def anchor(self) -> str:
        """The title in lower-case letters, digits and hyphens."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


@dataclass(frozen=True, slots=True)
class Page:
    """A whole page.

    Attributes:
        title: of the page.
        links: to other pages, for the top.
        notice: what a reader has to see first, such as the end of a version; empty for nothing.
        lead: the first paragraph.
        sections: in order.
    """

    title: str
    links: tuple[Link, ...]
    notice: Line
    lead: Line
    sections: tuple[Section, ...]


def pieces(line: Line) -> tuple[Piece, ...]:
    """A line taken apart."""
    return line if isinstance(line, tuple) else (line,)


def code_and_text(text: str) -> list[tuple[str, bool]]:
    """A text as runs; True for what stands between backticks."""
    runs = [(run, place % 2 == 1) for place, run in enumerate(text.split("`"))]
    return [(run, is_code) for run, is_code in runs if run]


def listed(words: tuple[str, ...], *, code: bool = True) -> str:
    """Words with commas between them, each as code when asked for."""
    return ", ".join(f"`{word}`" if code else word for word in words)
