"""What the tests of the version commands are made of: a repository, the commands, and what a tree holds."""

from __future__ import annotations

from shared.api import manifest
from shared.dev.versions import notes
from tests.dev.contract import gate_made
from tests.support.served import ROOT

TODAY = "2026-12-02"
SUNSET, AFTER = "2027-12-03", "2027-12-04"
LINK = "https://docs.example/v1,retires#now"
CHANGELOG = "# Changelog\n\n## Unreleased\n\n- One thing.\n\n## 0.1\n\n- Another.\n"


def complete(root):
    """Add what the commands write to beside versions, and commit it."""
    readme = root / "versions" / "README.md"
    versions = manifest.load(root / "versions").versions
    text = (ROOT / "versions" / "README.md").read_text(encoding="utf-8")
    readme.write_text(notes.with_table(text, versions), encoding="utf-8")
    (root / "CHANGELOG.md").write_text(CHANGELOG, encoding="utf-8")
    gate_made.commit(root)
    return root


def held(root):
    """Every file of a tree with its content."""
    paths = (path for path in root.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}
