"""Pages as HTML that needs nothing else: its style is part of it, and there is no script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from functools import cache
from html import escape
from pathlib import Path

from shared.api.about.prose import Block, Line, Link, Page, Paragraph, Section, Table, code_and_text, pieces
from shared.api.about.serving import HeaderLines, Written

TYPE = "text/html; charset=utf-8"
_SHORT = 30
_WORTH_CONTENTS = 4


@cache
def style() -> str:
    """The style sheet that is part of every page."""
    return (Path(__file__).parent / "assets" / "page.css").read_text(encoding="utf-8")


def write(page: Page) -> Written:
    """The page."""
    return Written.for_long("\n".join(_lines(page)).encode(), TYPE, policy(_own_policy()))


def policy(text: str) -> HeaderLines:
    """The header with a content security policy. It comes on top of the one that every answer has; both hold."""
    return (("Content-Security-Policy", text),)


def _own_policy() -> str:
    """That style, and nothing from anywhere."""
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def notice(line: Line) -> str:
    """What a reader has to see first; nothing for an empty line."""
    return f'<p class="notice">{_line(line)}</p>' if line else ""


def _lines(page: Page) -> Iterator[str]:
    title = escape(page.title)
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{title}</title>\n<style>{style()}</style>\n</head>\n<body>"
    yield f"<header>{navigation(page.links)}</header>"
    yield f"<main>\n<h1>{title}</h1>"
    yield notice(page.notice)
    yield f'<p class="lead">{_line(page.lead)}</p>'
    if len(page.sections) >= _WORTH_CONTENTS:
        yield '<nav class="contents" aria-label="Contents"><ul>'
        yield from (f"<li>{_link(Link(one.title, f'#{one.anchor}'))}</li>" for one in page.sections)
        yield "</ul></nav>"
    for section in page.sections:
        yield from _section(section, 2)
    yield "</main>\n</body>\n</html>\n"


def navigation(links: tuple[Link, ...]) -> str:
    """Links in a row."""
    return f"<nav>{' '.join(_link(link) for link in links)}</nav>"


def _section(section: Section, level: int) -> Iterator[str]:
    anchor = escape(section.anchor)
    yield f'<section>\n<h{level} id="{anchor}">{escape(section.title)} '
    yield f'<a class="anchor" href="#{anchor}" aria-label="Link to this section">#</a></h{level}>'
    for block in section.blocks:
        yield from _block(block)
    for part in section.parts:
        yield from _section(part, level + 1)
    yield "</section>"


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Paragraph):
        yield f"<p>{_line(block.line)}</p>"
        return
    yield from _table(block)


def _table(table: Table) -> Iterator[str]:
    yield '<div class="wide" tabindex="0"><table>'
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in table.head)
    yield f"<thead><tr>{heads}</tr></thead>\n<tbody>"
    for row in table.rows:
        cells = "".join(f"<td>{_line(cell)}</td>" for cell in row)
        yield f"<tr>{cells}</tr>"
    yield "</tbody></table></div>"


def _line(line: Line) -> str:
    return "".join(_piece(piece) for piece in pieces(line))


def _piece(piece: str | Link) -> str:
    if isinstance(piece, Link):
        return _link(piece)
    return "".join(_code(run) if is_code else escape(run) for run, is_code in code_and_text(piece))


def _code(run: str) -> str:
    """Code stays in one line, unless it is long: then it may be broken behind its slashes."""
    if len(run) <= _SHORT:
        return f"<code>{escape(run)}</code>"
    return f'<code class="long">{escape(run).replace("/", "/<wbr>")}</code>'


def _link(link: Link) -> str:
    return f'<a href="{escape(link.target)}">{escape(link.text)}</a>'
