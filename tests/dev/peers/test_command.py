"""Programs of other people are asked for only where they are wanted, and nothing is installed unasked."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from shared.dev.peers import command, programs
from tests.support.served import ROOT


def test_a_program_that_is_missing_is_named_with_what_installs_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(programs.MissingPeer, match=r"^no-such-program is not installed\. .*shared\.dev\.peers install"):
        programs.program("no-such-program")


def test_a_program_is_found_where_servers_are(monkeypatch, tmp_path):
    file = tmp_path / "Orthanc"
    file.write_text("#!/bin/sh\n")
    file.chmod(0o700)
    monkeypatch.setattr(programs, "_SERVERS", (str(tmp_path),))
    monkeypatch.setenv("PATH", "")
    assert programs.found("Orthanc") == str(file)


def test_without_apt_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(command.CannotInstall, match=r"no apt-get here\. Install orthanc dcmtk "):
        command.apt_commands(["orthanc", "dcmtk"])


@pytest.mark.parametrize("root", [True, False])
def test_only_root_is_let_install(monkeypatch, tmp_path, root):
    apt = tmp_path / "apt-get"
    apt.write_text("#!/bin/sh\n")
    apt.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
    if root:
        commands = command.apt_commands(["dcmtk"])
        assert commands == [[str(apt), "update"], [str(apt), "install", "--yes", "--no-install-recommends", "dcmtk"]]
    else:
        with pytest.raises(command.CannotInstall, match=r"Only root .*: apt-get install dcmtk$"):
            command.apt_commands(["dcmtk"])


def test_the_list_ends_badly_while_something_is_missing(monkeypatch, tmp_path, capsys):
    nothing = programs.Package("nothing", ("no-such-program",))
    monkeypatch.setattr(programs, "PACKAGES", (nothing,))
    assert command.main(["list"]) == 1
    assert re.search(r"^nothing +missing$.*peers install", capsys.readouterr().out, re.MULTILINE | re.DOTALL)


def test_tests_with_them_are_run_only_when_asked_for():
    """In the conftest of their folder; here it is seen to be in force."""
    source = (ROOT / "tests" / "peers" / "conftest.py").read_text(encoding="utf-8")
    assert "pytest_deselected" in source
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert [line for line in makefile.splitlines() if "peers" in line and "pytest" in line] == [
        "\t@$(VENV_PYTHON) -m pytest -m peers tests/peers"
    ]


def test_the_document_names_tests_that_are_there():
    text = (ROOT / "docs" / "peers.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/peers/test_\w+\.py)::(test_\w+)`", text)
    assert len(named) > 10
    sources = {file: Path(ROOT, file).read_text(encoding="utf-8") for file, _ in named}
    assert [(file, test) for file, test in named if not re.search(rf"def {test}\(", sources[file])] == []
    every = {file.relative_to(ROOT).as_posix() for file in (ROOT / "tests" / "peers").glob("test_*.py")}
    assert every == set(sources)
    for package in programs.PACKAGES:
        assert f"`{package.name}`" in text


def test_what_it_leaves_is_kept_out_of_the_tree():
    told = subprocess.run(
        ["git", "check-ignore", str(programs.FOLDER / "ohif-list-v2.png")], cwd=ROOT, capture_output=True, check=False
    )
    assert told.returncode == 0
