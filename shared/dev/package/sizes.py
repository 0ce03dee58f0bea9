"""How large a package is, and of what: for people, and for docs/package.md."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MEGA = 1_000_000
# Flex Consumption: an instance has 0.8 GB of temporary disk, which uploads and the package share.
DISK_LIMIT = 800 * MEGA
ITSELF = "the app itself"
_LISTED = 1 * MEGA
_BEGIN, _END = "<!-- sizes -->", "<!-- end of sizes -->"
_ROW = re.compile(r"^\| (?P<name>.+?) \| (?P<unpacked>[\d,.]+) \| (?P<packed>[\d,.]+) \|$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Size:
    """How many bytes a part of a package takes in the zip, and unpacked."""

    name: str
    unpacked: int
    packed: int


def measure(parts: Mapping[str, Mapping[str, int]], packed: Mapping[str, int]) -> tuple[Size, ...]:
    """Sizes of the parts of a package, largest first.

    Args:
        parts: bytes of each file by its name in the zip, by part.
        packed: bytes of each file in the zip.
    """
    sizes = (Size(name, sum(files.values()), sum(packed[file] for file in files)) for name, files in parts.items())
    return tuple(sorted(sizes, key=lambda size: (-size.unpacked, size.name)))


def total(sizes: Sequence[Size]) -> Size:
    """All of it."""
    return Size("all", sum(size.unpacked for size in sizes), sum(size.packed for size in sizes))


def warnings(sizes: Sequence[Size]) -> list[str]:
    """Limits of the platform that the package is beyond of, or near to."""
    whole = total(sizes)
    need = whole.unpacked + whole.packed
    if need <= DISK_LIMIT:
        return []
    return [f"zip and files take {_mega(need)} MB; an instance of Flex Consumption has {_mega(DISK_LIMIT)} MB of disk"]


def listing(sizes: Sequence[Size]) -> str:
    """Every part on a line, for a terminal."""
    width = max(len(size.name) for size in sizes)
    rows = [f"  {'':{width}}  {'unpacked':>9}  {'in the zip':>10}  MB"]
    rows += [f"  {size.name:{width}}  {_mega(size.unpacked):>9}  {_mega(size.packed):>10}" for size in sizes]
    whole = total(sizes)
    return "\n".join([*rows, f"  {whole.name:{width}}  {_mega(whole.unpacked):>9}  {_mega(whole.packed):>10}"])


def table(sizes: Sequence[Size]) -> str:
    """The same as Markdown, small packages together."""
    small = [size for size in sizes if size.unpacked < _LISTED and size.name != ITSELF]
    rest = total(small)
    shown = [size for size in sizes if size not in small]
    shown += [Size(f"{len(small)} smaller ones", rest.unpacked, rest.packed), total(sizes)]
    rows = [f"| {size.name} | {_mega(size.unpacked)} | {_mega(size.packed)} |" for size in shown]
    return "\n".join(["| package | unpacked, MB | in the zip, MB |", "| --- | ---: | ---: |", *rows])


def written(document: Path, sizes: Sequence[Size]) -> None:
    """Put the table in its place in a document.

    Raises:
        ValueError: the document has no place for it.
    """
    text = document.read_text(encoding="utf-8")
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{document} has no place for the table of sizes")
    document.write_text(f"{before}{_BEGIN}\n{table(sizes)}\n{_END}{after}", encoding="utf-8")


def is_told(document: str, sizes: Sequence[Size]) -> bool:
    """Whether a document's table is about right: the same packages, and no size off by more than a tenth."""
    told, true = _numbers(document), _numbers(table(sizes))
    return told.keys() == true.keys() and all(_is_near(told[name], true[name]) for name in true)


def _numbers(text: str) -> dict[str, tuple[float, float]]:
    rows = ((found["name"], found["unpacked"], found["packed"]) for found in _ROW.finditer(text))
    return {name: (float(one.replace(",", "")), float(other.replace(",", ""))) for name, one, other in rows}


def _is_near(told: tuple[float, float], true: tuple[float, float]) -> bool:
    return all(abs(one - other) <= 0.1 * other + 0.2 for one, other in zip(told, true, strict=True))


def _mega(count: int) -> str:
    return f"{count / MEGA:,.1f}"
