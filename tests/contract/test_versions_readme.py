"""versions/README.md names every difference between neighbouring versions, and nothing else."""

from __future__ import annotations

import itertools
import re
from dataclasses import fields
from pathlib import Path

from shared.api import manifest

ROOT = Path(__file__).resolve().parents[2]


def differences() -> set[str]:
    """One line for each: older, newer, what, before, after."""
    versions = manifest.load(ROOT / "versions").versions
    found = set()
    for older, newer in itertools.pairwise(versions):
        pair = f"{older.label.text} → {newer.label.text}"
        if older.stability != newer.stability:
            found.add(f"{pair} | stability | {older.stability} → {newer.stability}")
        for field in fields(older.behaviours):
            before, after = (getattr(one.behaviours, field.name).value for one in (older, newer))
            if before != after:
                found.add(f"{pair} | {field.name} | {before} → {after}")
        rows = [{row.operation: row for row in one.rows} for one in (older, newer)]
        for operation in rows[0].keys() | rows[1].keys():
            before, after = (one.get(operation) for one in rows)
            if before != after:
                change = "added" if before is None else "removed" if after is None else "changed"
                found.add(f"{pair} | {operation} | {change}")
    return found


def test_the_readme_names_exactly_the_differences_there_are():
    text = (ROOT / "versions" / "README.md").read_text(encoding="utf-8")
    table = {
        re.sub(r"`", "", " | ".join(cell.strip() for cell in line.strip("|").split("|")[:3]))
        for line in text.splitlines()
        if line.startswith("| v") and "→" in line
    }
    assert table == differences()
