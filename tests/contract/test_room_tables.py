"""A stranger finds every room and every file of storage in the table of its README."""

import re
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"
ROW = re.compile(r"^\|.*?`([^`]+)`", re.MULTILINE)


def named(folder: Path) -> list[str]:
    """What the rows of the tables of a README begin with."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    return [name.rstrip("/") for name in ROW.findall(text)]


def modules(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.py")} - {"__init__.py"}


def rooms(folder: Path) -> set[str]:
    return {path.parent.relative_to(SHARED).as_posix() for path in folder.glob("*/__init__.py")}


@pytest.mark.parametrize(
    ("folder", "there"),
    [
        (SHARED, modules(SHARED) | rooms(SHARED) | rooms(SHARED / "api")),
        (SHARED / "storage", modules(SHARED / "storage")),
    ],
    ids=["shared", "storage"],
)
def test_the_table_of_a_readme_has_a_row_for_each_and_for_nothing_else(folder, there):
    rows = named(folder)
    of_files = {name for name in rows if name.endswith(".py") or (folder == SHARED and "." not in name)}
    assert of_files == there
    assert all(rows.count(name) == 1 for name in there)
