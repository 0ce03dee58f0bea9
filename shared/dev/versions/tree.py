"""The files that a change of versions touches: read together, checked before they are written, all written or none."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from shared.api import manifest, openapi, routes
from shared.api.decode import ManifestError
from shared.api.manifest import ApiVersion, Manifests
from shared.dev.contract import promises as promises
from shared.dev.contract.gate import BASELINES, VERSIONS
from shared.dev.contract.history import History
from shared.dev.contract.promises import Promises
from shared.dev.contract.remarks import GateError
from shared.dev.versions import notes as version_notes
from shared.settings import Settings

README, CHANGELOG, GOLDEN = f"{VERSIONS}/README.md", "CHANGELOG.md", "tests/golden"
_RECORD_SECONDS = 600

Files = Mapping[str, bytes | None]


class Refused(Exception):
    """The command cannot do what was asked for, and has changed nothing; the text says why."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A work tree whose version files have no fault.

    Attributes:
        root: folder that has `versions/`.
        manifests: what the version files say.
    """

    root: Path
    manifests: Manifests

    @classmethod
    def read(cls, root: Path) -> Tree:
        """The tree below a folder.

        Raises:
            Refused: its version files have faults.
        """
        try:
            return cls(root, manifest.load(root / VERSIONS))
        except ManifestError as error:
            raise Refused(str(error)) from error

    def text(self, path: str) -> str:
        """A file."""
        try:
            return (self.root / path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"{path} cannot be read: {type(error).__name__}") from error

    def version(self, label: str) -> ApiVersion:
        """A version that is served.

        Raises:
            Refused: there is none of this label.
        """
        found = next((each for each in self.manifests.versions if each.label.text == label), None)
        if found is not None:
            return found
        if any(end.label.text == label for end in self.manifests.retired):
            raise Refused(f"{label} was retired: nothing is left of it to work with")
        known = ", ".join(each.label.text for each in self.manifests.versions)
        raise Refused(f"there is no version {label!r}; there are {known}")

    def expect_fresh(self) -> None:
        """The baselines are those of the version files, so that what is written next is this change and no other.

        Raises:
            Refused: they are not.
        """
        for version in self.manifests.versions:
            path = self.root / BASELINES / f"{version.label.text}.yaml"
            if not path.exists() or path.read_bytes() != _document(version, self.manifests):
                said = f"{BASELINES}/{path.name} is not what the versions say"
                raise Refused(f"{said}: run `make contract-accept` and have that reviewed first")

    def expect_committed(self, path: str) -> None:
        """A file is as the history has it. Sources without a history have nothing to differ from.

        Raises:
            Refused: it has changes that nobody has reviewed.
        """
        try:
            history = History(self.root)
            if history.reference() is None:
                return
            known = history.content("HEAD", path) if Path(path).name in history.names("HEAD", VERSIONS) else None
        except GateError as error:
            raise Refused(str(error)) from error
        if known != (self.root / path).read_bytes():
            raise Refused(f"{path} has changes that are not committed: commit them, or take them back, first")

    def changed(self, label: str, text: str) -> Tree:
        """The tree as it would be when a version has another file; that copy holds nothing but version files.

        Raises:
            Refused: the app would not start with it.
        """
        with tempfile.TemporaryDirectory(prefix="versions-") as folder:
            staged = Path(folder) / VERSIONS
            staged.mkdir()
            for path in sorted((self.root / VERSIONS).glob("*.yaml")):
                shutil.copy(path, staged)
            (staged / f"{label}.yaml").write_text(text, encoding="utf-8")
            try:
                manifests = manifest.load(staged)
                routes.bind(manifests, Settings())
            except ManifestError as error:
                raise Refused(str(error)) from error
        return Tree(self.root, manifests)

    def documents(self) -> dict[str, bytes | None]:
        """What the baselines are to be; those of versions that are not served are to go."""
        made: dict[str, bytes | None] = {
            f"{BASELINES}/{version.label.text}.yaml": _document(version, self.manifests)
            for version in self.manifests.versions
        }
        left = [f"{BASELINES}/{path.name}" for path in (self.root / BASELINES).glob("*.yaml")]
        return {**dict.fromkeys(left), **made}

    def notes(self, sentence: str, label: str = "", origin: str = "") -> dict[str, bytes | None]:
        """The table of differences, and a line of the changelog.

        Args:
            sentence: what the changelog says.
            label: version that is new, empty for none.
            origin: version it starts as.
        """
        try:
            table = version_notes.with_table(self.text(README), self.manifests.versions, label, origin)
            changes = version_notes.with_change(self.text(CHANGELOG), sentence)
        except version_notes.NotesError as error:
            raise Refused(str(error)) from error
        return {README: table.encode(), CHANGELOG: changes.encode()}


def expect_kept(root: Path, label: str, today: date) -> None:
    """A version of a work tree ends as its clients were told: what the gate will say of it.

    Raises:
        Refused: it does not.
    """
    try:
        history = History(root)
        past = history.reference()
        before = {} if past is None else _promised(history, past.commit)
        now = [promises.read(path.name, path.read_bytes()) for path in sorted((root / VERSIONS).glob("v*.yaml"))]
    except GateError as error:
        raise Refused(str(error)) from error
    since = past.day if past else today
    remarks = promises.life_cycle(before, {each.label: each for each in now}, today, since)
    said = [f"{label}: {remark.text} [{remark.rule}]" for remark in remarks if remark.label == label]
    if said:
        raise Refused("\n".join(said))


def _promised(history: History, commit: str) -> Promises:
    names = [name for name in history.names(commit, VERSIONS) if name.startswith("v") and name.endswith(".yaml")]
    read = [promises.read(name, history.content(commit, f"{VERSIONS}/{name}")) for name in names]
    return {each.label: each for each in read}


def _document(version: ApiVersion, manifests: Manifests) -> bytes:
    return openapi.as_yaml(openapi.document(version, manifests))


def write(root: Path, files: Files, last: Callable[[], None]) -> None:
    """Write files, or delete those without content, and do one thing more. All of it is done, or nothing.

    Args:
        root: the work tree.
        files: contents by path.
        last: what is done when they are written; what it raises undoes them.

    Raises:
        Refused: it cannot be done; nothing is changed.
    """
    try:
        with _undone_on_failure(root, files):
            for path, content in files.items():
                _put(root / path, content)
            last()
    except OSError as error:
        raise Refused(f"{Path(error.filename or root).name}: {error.strerror}; nothing is changed") from error


@contextlib.contextmanager
def _undone_on_failure(root: Path, files: Files) -> Iterator[None]:
    before = _held(root, files)
    try:
        yield
    except BaseException:
        after = _held(root, files)
        for path, content in {**dict.fromkeys(after), **before}.items():
            if after.get(path) != content:
                _put(root / path, content)
        raise


def _held(root: Path, files: Files) -> dict[str, bytes | None]:
    """Contents of some files, and of all golden replies."""
    found = {str(path.relative_to(root)) for path in (root / GOLDEN).rglob("*") if path.is_file()}
    return {path: (root / path).read_bytes() if (root / path).is_file() else None for path in {*found, *files}}


def _put(path: Path, content: bytes | None) -> None:
    """Write a file in one step, or take it away, with its folder when that is empty then."""
    if content is None:
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def record(root: Path, label: str) -> None:
    """Record the golden replies of a version, where the tree has such; those of others do not tell which versions are.

    Raises:
        Refused: the service or the storage emulator cannot be started.
    """
    if not (root / GOLDEN).is_dir():
        return
    command = [sys.executable, "-m", "shared.dev.contract", "golden", "record", "--root", ".", "--label", label]
    try:
        run = subprocess.run(command, cwd=root, check=False, timeout=_RECORD_SECONDS, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as error:
        raise Refused(f"recording golden replies took longer than {_RECORD_SECONDS} seconds") from error
    if run.returncode:
        raise Refused("golden replies cannot be recorded, as said above; nothing is changed")
