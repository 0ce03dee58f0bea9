"""Bytecode of a package, so that a worker that starts has nothing to compile. The same sources make the same bytes."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from shared.dev.package.files import PackageError
from shared.dev.package.wheels import Target

_ASK = "import sys; print(sys.implementation.name, *sys.version_info[:2])"


def compiled(files: Mapping[str, bytes], target: Target, interpreter: str) -> dict[str, bytes]:
    """Bytecode of all modules but tests, by the names of files that the target's interpreter looks for.

    It is never compared with the source again: time stamps of a zip say nothing, and a package is replaced as a whole.
    An interpreter that cannot read it compiles the source, as if there was none.

    Args:
        files: of the package; what is no Python source is passed over.
        target: what the package is for.
        interpreter: a command that is of the target's version.

    Raises:
        PackageError: it is not, or not there.
    """
    _check(target, interpreter)
    sources = {name: text for name, text in files.items() if name.endswith(".py") and "/tests/" not in name}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made).resolve()
        for name, text in sources.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text)
        # Stripped of the folder, so that its name is not in the bytes. A module that does not compile has no bytecode,
        # and fails when it is imported, as it would without.
        options = ["-q", "-q", "--invalidation-mode", "unchecked-hash", "-s", str(folder), str(folder)]
        _run([interpreter, "-I", "-S", "-m", "compileall", *options])
        found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.pyc")}
    lost = sources.keys() - {source_of(name) for name in found}
    if ours := sorted(name for name in lost if name.startswith(("function_app", "shared/"))):
        raise PackageError(f"{interpreter} cannot compile {', '.join(ours)}")
    return found


def source_of(name: str) -> str:
    """The module that bytecode was made of."""
    folder, _, file = name.rpartition("__pycache__/")
    return f"{folder}{file.split('.')[0]}.py"


def _check(target: Target, interpreter: str) -> None:
    found = _run([interpreter, "-I", "-S", "-c", _ASK]).stdout.strip()
    if found != f"cpython {target.python.replace('.', ' ')}":
        raise PackageError(f"{interpreter} is {found or 'no Python'}, and makes no bytecode for Python {target.python}")


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise PackageError(f"{command[0]} cannot be run: {error.strerror}") from error
