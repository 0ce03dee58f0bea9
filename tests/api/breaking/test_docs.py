"""The page about breaking changes says what the code does."""

from __future__ import annotations

import json
from pathlib import Path

from shared.api.breaking import catalogue
from shared.api.breaking.findings import JSON_SCHEMA

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "breaking-changes.md").read_text(encoding="utf-8")


def test_the_page_lists_every_rule_as_it_is():
    rows = [line for line in PAGE.partition("## The rules")[2].splitlines() if line.startswith("| `")]
    assert rows == [f"| `{rule.id}` | {rule.level.value} | {rule.why} |" for rule in catalogue.all_rules()]


def test_the_page_shows_the_schema_of_findings():
    assert f"```json\n{json.dumps(JSON_SCHEMA, indent=2)}\n```" in PAGE
