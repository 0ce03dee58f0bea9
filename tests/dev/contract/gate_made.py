"""What the tests of the gate are made of: a repository with small versions, and what is done to it."""

from __future__ import annotations

import shutil
import subprocess

from shared.dev.contract import command as contract
from shared.dev.host.settings import environment
from tests.support.served import ROOT
from tests.support.versions import FIRST, file_of_first

# Enough rows to break something in; the gate is the same for all.
KEPT_ROWS = ("getOpenApi", "getChangeFeed", "getLatestChange")
FIRST_DAY, TODAY = "2026-12-01", "2027-01-15"
LATEST = "returns: {200: changeEntry, 204: noChange}"


def git(root, *arguments, day=FIRST_DAY):
    own = {name: value for name, value in environment().items() if not name.startswith("GIT_")}
    moment = f"{day}T12:00:00+00:00"
    own |= {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    own |= {"GIT_COMMITTER_DATE": moment, "GIT_AUTHOR_DATE": moment}
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    run = subprocess.run([*command, *arguments], cwd=root, env=own, capture_output=True, check=False, timeout=60)
    assert run.returncode == 0, run.stderr.decode()


def commit(root, day=FIRST_DAY):
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "--message", "A change", day=day)


def edit(root, name, *changes):
    path = root / "versions" / name
    text = path.read_text(encoding="utf-8")
    for before, after in changes:
        assert before in text, f"{name} does not have {before!r}"
        text = text.replace(before, after)
    path.write_text(text, encoding="utf-8")


def deprecate(root, deprecation, label="v1"):
    edit(root, f"{label}.yaml", ("deprecation: null", f"deprecation: {deprecation}"))


def accept(root):
    assert contract.main(["accept", "--root", str(root)]) == 0


def make(root, rows_kept=KEPT_ROWS):
    """A repository of one commit."""
    folder = root / "versions"
    folder.mkdir(parents=True)
    for name in ("shapes.yaml", "service.yaml"):
        shutil.copy(ROOT / "versions" / name, folder)
    for label in FIRST:
        head, *rows = file_of_first(label).split("\n  - operation: ")
        kept = [row.rstrip() + "\n" for row in rows if row.split("\n")[0] in rows_kept]
        assert len(kept) == len(rows_kept)
        (folder / f"{label}.yaml").write_text("\n  - operation: ".join([head, *kept]), encoding="utf-8")
    (folder / "accepted-breaks.yaml").write_text("accepted: []\n", encoding="utf-8")
    accept(root)
    git(root, "init", "--quiet")
    commit(root)


def failures(said):
    """Lines of what fails, without their sentence."""
    told = []
    for line in said.splitlines():
        if line.startswith(("ERR ", "WARN ", "INFO ")):
            told.append(line.split("]")[0] + "]")
        elif line.startswith("     does not fail"):
            told.pop()
    return [line for line in told if line.startswith("ERR ")]
