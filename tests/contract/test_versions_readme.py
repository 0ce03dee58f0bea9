"""versions/README.md names every difference between neighbouring versions, and nothing else."""

from __future__ import annotations

import itertools
import re
from dataclasses import fields
from pathlib import Path

from shared.api import manifest
from shared.dev.versions.notes import UNEXPLAINED, with_table

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


def lines() -> list[str]:
    text = (ROOT / "versions" / "README.md").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.startswith("| v") and "→" in line]


def test_the_readme_names_exactly_the_differences_there_are():
    table = {re.sub(r"`", "", " | ".join(cell.strip() for cell in line.strip("|").split("|")[:3])) for line in lines()}
    assert table == differences()


def test_every_difference_has_a_reason():
    reasons = [line.strip("|").split("|", 3)[3].strip() for line in lines()]
    assert [reason for reason in reasons if reason in ("", UNEXPLAINED)] == []


def test_the_command_for_the_table_finds_nothing_to_change():
    text = (ROOT / "versions" / "README.md").read_text(encoding="utf-8")
    assert with_table(text, manifest.load(ROOT / "versions").versions) == text


def test_every_command_of_the_readme_is_there():
    text = (ROOT / "versions" / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"\bmake ([a-z]+(?:-[a-z]+)*)(?=[ `\n])", text)) - {"it"}
    assert targets >= {"new-version", "deprecate", "retire", "versions", "contract", "contract-accept", "check"}
    assert [target for target in targets if f"\n{target}: " not in makefile] == []
    modules = set(re.findall(r"python -m (shared[a-z_.]+)", text))
    folders = [ROOT / name.replace(".", "/") / "__main__.py" for name in sorted(modules)]
    assert [place for place in folders if not place.is_file() and not place.parent.with_suffix(".py").is_file()] == []


def test_every_message_of_the_gate_itself_is_explained():
    rules = (ROOT / "docs" / "breaking-changes.md").read_text(encoding="utf-8")
    own = rules.partition("### Rules of the gate itself")[2].partition("\n###")[0]
    named = {
        name
        for line in own.splitlines()
        if line.startswith("- ")
        for name in re.findall(r"`([a-z]+(?:-[a-z]+)+)`", line.partition(":")[0])
    }
    assert len(named) > 10
    text = (ROOT / "versions" / "README.md").read_text(encoding="utf-8")
    assert [name for name in sorted(named) if f"`{name}`" not in text] == []
