"""What the tests read pages with."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from html.parser import HTMLParser

from shared.api.endpoints import Endpoint
from tests.api import made

Row = dict[str, str]


@functools.cache
def bound() -> dict[str, Endpoint]:
    """The endpoints of the real version files, bound once for all tests."""
    return made.bound()


def tables(markdown: str) -> dict[str, list[list[Row]]]:
    """The tables of a Markdown page below each heading, rows by the words of their head."""
    found: dict[str, list[list[Row]]] = {}
    heading = ""
    head: list[str] = []
    for line in markdown.splitlines():
        if line.startswith("#"):
            heading, head = line.lstrip("# "), []
        elif not line.startswith("|"):
            head = []
        elif not head:
            head = _cells(line)
            found.setdefault(heading, []).append([])
        elif not re.fullmatch(r"[| -]+", line):
            found[heading][-1].append(dict(zip(head, _cells(line), strict=True)))
    return found


def _cells(line: str) -> list[str]:
    cells = re.split(r"(?<!\\)\|", line)[1:-1]
    return [re.sub(r"\\(.)", r"\1", cell.replace("`", "")).strip() for cell in cells]


def tags_of(keywords: list[str]) -> list[str]:
    """Tags out of attributes that are written with keyword and tag."""
    return [
        f"{match[1]}{match[2]}" for text in keywords if (match := re.search(r"\(([0-9A-F]{4}),([0-9A-F]{4})\)", text))
    ]


class Names(HTMLParser):
    """Everything a page refers to, and its scripts that stand in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: list[str] = []
        self.handlers: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "href" and tag == "a":
                self.links.append(value or "")
            elif name in ("href", "src"):
                self.loaded.append(value or "")
            elif name == "id":
                self.anchors.append(value or "")
            elif name.startswith("on") or name == "style":
                self.handlers.append(name)

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script" and data.strip():
            self.scripts.append(data)
        self.text.append(data)


def words(page: str) -> Iterator[str]:
    """The text of a page without its markup."""
    yield from Names(page).text
