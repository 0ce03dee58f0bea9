"""The pages of the repository, Markdown: their blocks with the marks that say who runs them, their links, their code.

A block of commands is fenced and has one mark behind `sh`:

| mark | who runs it |
| --- | --- |
| `served` | tests/served/test_pages.py, in a shell, against a running service; `served slow` in `make test-all` only |
| `local` | tests/dev/test_operating_docs.py, against storage |
| `make` | its targets and what they start are looked up; tests/dev/test_newcomer.py runs those of README |
| `long` | its arguments are parsed; tests/dev/bench and tests/dev run it with small ones |
| `azure` | nobody here: it needs an Azure subscription or GitHub |
| `tools` | nobody here: it needs a program that `make setup` does not install |

Transcripts are fenced as `console`: tests/dev/cli runs them and compares every line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.served import ROOT

MARKS = frozenset({"served", "local", "make", "long", "azure", "tools"})
FOLDERS = ("docs", "infra", "versions", "shared", "tests", ".github")
BASE_URL = "http://localhost:7071"
"""Where pages say that the service is."""

_PROGRAMS = (
    *("make", "curl", "python", "python3", "pip", "pytest", "ruff", "mypy", "dicom", "git", "az", "azcopy", "bicep"),
    *("gh", "func", "npm", "npx", "node", "docker", "podman", "cp", "mv", "rm", "mkdir", "cd", "export", "alias", "sh"),
    *("bash", "source", "openapi-python-client", "storescu", "uv"),
)
COMMAND = re.compile(
    rf"(?:\$ )?(?:[A-Z_]+=\S+ )*(?:(?:{'|'.join(_PROGRAMS)})(?= |$)|\.venv/bin/|\. \S|[A-Z_]+=\$\(|for \w+ in )"
)
_FENCE = re.compile(r"^```(\w*)([^\n`]*)$")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^()\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_HEADING = re.compile(r"^#+ (.*)$")


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a page that stands apart from its text.

    Attributes:
        page: path from the root, with slashes.
        line: of its first line, one-based.
        language: what is behind the fence; `indented` when there is none.
        marks: the words behind the language.
    """

    page: str
    line: int
    language: str
    marks: tuple[str, ...]
    text: str

    @property
    def place(self) -> str:
        """For people who look for it."""
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str:
        """Name of the file that it is, as `json workitem.json` says behind the fence; empty when it is none."""
        named = [mark for mark in self.marks if "." in mark]
        return named[0] if named and self.language != "sh" else ""

    @property
    def commands(self) -> list[str]:
        """Its lines, those that a backslash breaks put together, without empty ones and comments."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line for line in lines if line.strip() and not line.startswith("#")]


def names() -> list[str]:
    """All pages, as paths from the root."""
    found = [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def text_of(page: str) -> str:
    """A page as it is written."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    """The blocks of a page, in their order."""
    return [block for block in _parts(page) if isinstance(block, Block)]


def marked(mark: str) -> list[Block]:
    """The blocks of commands of all pages that have a mark."""
    return [block for page in names() for block in blocks(page) if block.language == "sh" and mark in block.marks]


def prose(page: str) -> str:
    """A page without its blocks."""
    return "\n".join(part for part in _parts(page) if isinstance(part, str))


def spans(page: str) -> list[str]:
    """What stands between backticks in the text of a page."""
    return _CODE.findall(prose(page))


def links(page: str) -> list[str]:
    """Targets of links, as they are written."""
    return _LINK.findall(prose(page))


def anchors(page: str) -> set[str]:
    """What links can name behind `#`, as GitHub makes it of headings."""
    found: list[str] = []
    for line in prose(page).splitlines():
        heading = _HEADING.match(line)
        if heading:
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
            slug = re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")
            found.append(f"{slug}-{found.count(slug)}" if slug in found else slug)
    return set(found)


def _parts(page: str) -> Iterator[Block | str]:
    """Blocks, and the lines between them."""
    lines = text_of(page).splitlines()
    place = 0
    while place < len(lines):
        fence = _FENCE.match(lines[place])
        if fence:
            end = next((at for at in range(place + 1, len(lines)) if lines[at] == "```"), len(lines))
            yield Block(page, place + 1, fence[1], tuple(fence[2].split()), _joined(lines[place + 1 : end]))
            place = end + 1
        elif lines[place].startswith("    ") and (place == 0 or not lines[place - 1].strip()):
            end = next((at for at in range(place, len(lines)) if not lines[at].startswith("    ")), len(lines))
            yield Block(page, place + 1, "indented", (), _joined(line[4:] for line in lines[place:end]))
            place = end
        else:
            yield lines[place]
            place += 1


def _joined(lines: Iterator[str] | list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def relative(page: str, target: str) -> Path:
    """The file or folder that a link of a page leads to."""
    return (ROOT / page).parent / target.partition("#")[0] if not target.startswith("#") else ROOT / page
