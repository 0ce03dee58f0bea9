"""The state that clients were promised, from the history: which commit it is, and the files it had. Reads only."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from shared.dev.contract.remarks import GateError

_SECONDS = 60
_MAIN_BRANCHES = ("origin/main", "main")


@dataclass(frozen=True, slots=True)
class Reference:
    """A commit to compare with.

    Attributes:
        commit: its id.
        text: what it is, for people.
        day: when it was made, in UTC.
    """

    commit: str
    text: str
    day: date


class History:
    """The history around a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def reference(self, wanted: str = "") -> Reference | None:
        """The last state that landed, or a revision that was asked for; None where there is no commit at all.

        Raises:
            GateError: git is missing or refuses, or the revision is not there.
        """
        if wanted:
            commit = self._commit(wanted)
            if not commit:
                raise GateError(f"the history has no commit {wanted!r}")
            return self._described(commit, f"{wanted}, as asked for")
        # An archive of the sources has no history; a clone that git refuses to read is an error below.
        if not any((folder / ".git").exists() for folder in (self._root, *self._root.parents)):
            return None
        head = self._commit("HEAD")
        if not head:
            return None
        for branch in _MAIN_BRANCHES:
            tip = self._commit(f"refs/remotes/{branch}" if "/" in branch else f"refs/heads/{branch}")
            if tip:
                return self._landed(branch, tip, head)
        return self._before(
            head, "there is neither origin/main nor main here, so earlier commits of a branch are not seen"
        )

    def names(self, commit: str, folder: str) -> tuple[str, ...]:
        """Names of what a folder held at a commit; none when there was no such folder."""
        listed = self._git("ls-tree", "-z", "--name-only", commit, f"{folder}/").decode()
        return tuple(path.rpartition("/")[2] for path in listed.split("\0") if path)

    def content(self, commit: str, path: str) -> bytes:
        """A file as it was at a commit."""
        return self._git("show", f"{commit}:./{path}")

    def _landed(self, branch: str, tip: str, head: str) -> Reference:
        common = self._git("merge-base", head, tip, may_fail=True).decode().strip()
        if not common:
            hint = "this clone is shallow" if self._shallow() else "the histories have nothing in common"
            return self._described(tip, f"the tip of {branch}, because no merge base is known ({hint})")
        if common != head:
            return self._described(common, f"the merge base of HEAD and {branch}")
        return self._before(head, f"HEAD is part of {branch}")

    def _before(self, head: str, reason: str) -> Reference:
        """With changes in the work tree, what they start from; without, what the last commit started from."""
        if self._git("status", "--porcelain", "--untracked-files=no"):
            return self._described(head, f"HEAD, because {reason}")
        parent = self._commit("HEAD~1")
        if parent:
            return self._described(parent, f"the first parent of HEAD, because {reason} and nothing is changed since")
        lack = "this clone is shallow" if self._shallow() else "HEAD is the first commit"
        return self._described(head, f"HEAD ITSELF, because {lack}: what HEAD changed is not seen")

    def _described(self, commit: str, text: str) -> Reference:
        seconds = int(self._git("show", "--no-patch", "--format=%ct", commit))
        day = datetime.fromtimestamp(seconds, UTC).date()
        return Reference(commit, f"{commit[:12]} of {day}: {text}", day)

    def _commit(self, name: str) -> str:
        asked = ("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        return self._git(*asked, may_fail=True).decode().strip()

    def _shallow(self) -> bool:
        return self._git("rev-parse", "--is-shallow-repository").strip() == b"true"

    def _git(self, *arguments: str, may_fail: bool = False) -> bytes:
        """What git prints. With `may_fail`, its quiet no (exit code 1) is an empty answer."""
        try:
            run = subprocess.run(
                # Build machines often check sources out as another user, and git then refuses to read them.
                ["git", "-c", "safe.directory=*", "--no-optional-locks", *arguments],
                cwd=self._root,
                capture_output=True,
                check=False,
                timeout=_SECONDS,
            )
        except FileNotFoundError as error:
            raise GateError("git is not on the PATH, and the history is needed to know what was promised") from error
        except subprocess.TimeoutExpired as error:
            raise GateError(f"git {arguments[0]} took longer than {_SECONDS} seconds") from error
        if run.returncode and not (may_fail and run.returncode == 1):
            said = run.stderr.decode(errors="replace").strip() or f"exit code {run.returncode}"
            raise GateError(f"git {arguments[0]}: {said}")
        return run.stdout
