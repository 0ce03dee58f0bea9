"""Pages as Markdown with tables (GitHub's form)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from shared.api.about.prose import Block, Line, Link, Page, Paragraph, Section, Table, code_and_text, pieces
from shared.api.about.serving import Written

_SPECIAL = re.compile(r"([\\*_\[\]<>|#~])")


TYPE = "text/markdown; charset=utf-8"


def write(page: Page) -> Written:
    """The page."""
    return Written.for_long(("\n".join(_lines(page)).strip() + "\n").encode(), TYPE)


def _lines(page: Page) -> Iterator[str]:
    yield from (f"# {_text(page.title)}", "")
    if page.links:
        yield from (" · ".join(_piece(link) for link in page.links), "")
    if page.notice:
        yield from (f"> {_line(page.notice)}", "")
    yield from (_line(page.lead), "")
    for section in page.sections:
        yield from _section(section, 2)


def _section(section: Section, level: int) -> Iterator[str]:
    yield from (f"{'#' * level} {_text(section.title)}", "")
    for block in section.blocks:
        yield from _block(block)
    for part in section.parts:
        yield from _section(part, level + 1)


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Paragraph):
        yield from (_line(block.line), "")
        return
    yield from _table(block)


def _table(table: Table) -> Iterator[str]:
    yield _row(tuple(_text(head) for head in table.head))
    yield _row(("---",) * len(table.head))
    for row in table.rows:
        yield _row(tuple(_line(cell) for cell in row))
    yield ""


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _line(line: Line) -> str:
    return "".join(_piece(piece) for piece in pieces(line))


def _piece(piece: str | Link) -> str:
    if isinstance(piece, Link):
        return f"[{_text(piece.text)}]({piece.target})"
    return "".join(f"`{_in_cell(run)}`" if is_code else _text(run) for run, is_code in code_and_text(piece))


def _text(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text.replace("\n", " "))


def _in_cell(code: str) -> str:
    """A bar ends the cell of a table even between backticks, unless it is escaped."""
    return code.replace("|", "\\|")
