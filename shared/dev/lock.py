"""`make lock`: pins with hashes for what pyproject.toml asks for, and the proof without network that they are fresh."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.dev.repository import ROOT

RUNTIME = "requirements.txt"
DEVELOPMENT = "requirements-dev.txt"
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;]+)(?:\s*;\s*(?P<marker>[^\\]+?))?\s*\\?$")
_DIGEST = re.compile(r"^# sha256 of those tables: ([0-9a-f]{64})$", re.MULTILINE)


class LockError(Exception):
    """The locks could not be made; the text says why."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One pinned distribution; `marker` says where it applies, empty for everywhere."""

    name: str
    version: str
    marker: str


def digest(project: Mapping[str, Any]) -> str:
    """A fingerprint of everything in pyproject.toml that the locks depend on."""
    tables = {
        "requires-python": project["project"]["requires-python"],
        "dependencies": project["project"]["dependencies"],
        "dependency-groups": project.get("dependency-groups", {}),
    }
    return hashlib.sha256(json.dumps(tables, sort_keys=True).encode()).hexdigest()


def recorded_digest(text: str) -> str | None:
    """The fingerprint that a lock was made for."""
    found = _DIGEST.search(text)
    return found.group(1) if found else None


def pins(text: str) -> tuple[Pin, ...]:
    """All pins of a lock, names in their normal form."""
    found = (_PIN.match(line) for line in text.splitlines())
    return tuple(
        Pin(re.sub(r"[-_.]+", "-", each["name"]).lower(), each["version"], each["marker"] or "")
        for each in found
        if each
    )


def read_project(root: Path = ROOT) -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


def _header(what: str, project: Mapping[str, Any]) -> str:
    return (
        f"# {what}, pinned with hashes for Python {project['project']['requires-python']}.\n"
        "# Made by `make lock` from the dependency tables of pyproject.toml; not to be edited by hand.\n"
        f"# sha256 of those tables: {digest(project)}\n"
    )


def _compile(target: Path, options: Sequence[str], *, upgrade: bool) -> None:
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes"]
    command += ["--no-emit-index-url", "--no-header", "--python-version", "3.11", "--output-file", target.name]
    command += [*(["--upgrade"] if upgrade else []), *options, "pyproject.toml"]
    if subprocess.run(command, cwd=target.parent, check=False).returncode:
        raise LockError(f"{target.name} could not be made")


def write(root: Path = ROOT, *, upgrade: bool = False) -> None:
    """Make both locks; pins that still fit are kept, unless `upgrade`.

    Raises:
        LockError: uv found no solution, or could not reach the registry.
    """
    project = read_project(root)
    jobs = (
        (RUNTIME, "What the service runs with", ()),
        (DEVELOPMENT, "What the service runs with, and the tools to work on it", ("--group", "dev", "-c", RUNTIME)),
    )
    for name, what, options in jobs:
        target = root / name
        _compile(target, options, upgrade=upgrade)
        target.write_text(_header(what, project) + target.read_text(encoding="utf-8"), encoding="utf-8")
        print(f"{name}: {len(pins(target.read_text(encoding='utf-8')))} pins")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the locks; 0 when done."""
    parser = argparse.ArgumentParser(prog="python -m shared.dev.lock", description="Pin the dependencies with hashes.")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit")
    try:
        write(upgrade=parser.parse_args(arguments).upgrade)
    except LockError as error:
        print(f"make lock: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
