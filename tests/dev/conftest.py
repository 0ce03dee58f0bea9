"""A repository of versions to break, and the gate that is to notice."""

from __future__ import annotations

import shutil

import pytest

from shared.dev.contract import command as contract
from shared.dev.host.settings import environment
from tests.dev.contract import gate_made


@pytest.fixture(scope="session")
def repository_made_once(tmp_path_factory):
    root = tmp_path_factory.mktemp("gate") / "repository"
    gate_made.make(root)
    return root


@pytest.fixture
def repository(repository_made_once, tmp_path, monkeypatch):
    """A repository with small versions, of one commit."""
    # Where the tests run inside a git hook, its variables name another repository.
    for name in environment():
        if name.startswith("GIT_"):
            monkeypatch.delenv(name)
    return shutil.copytree(repository_made_once, tmp_path / "repository")


@pytest.fixture
def gate(repository, capsys):
    """The gate as a command: gives back its exit code and all it printed."""

    def run(where=repository, today=gate_made.TODAY, **options):
        capsys.readouterr()
        more = [text for name, value in options.items() for text in (f"--{name}", value)]
        code = contract.main(["check", "--root", str(where), "--today", today, *more])
        return code, "".join(capsys.readouterr())

    return run
