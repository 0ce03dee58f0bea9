"""What is missing on a machine is said before anything is installed."""

import ast
import shutil
import subprocess
import sys

import pytest

from shared.dev import preflight
from shared.dev.host.settings import environment
from tests.support.served import ROOT


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 4), (3, 13, 0), (3, 14, 2)])
def test_a_python_that_is_new_enough(version):
    assert preflight.python_fault(version) == ""


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 6, 15), (3, 10, 13), (3, 15, 0), (4, 0, 0)])
def test_a_python_that_is_not_is_named(version):
    assert ".".join(map(str, version)) in preflight.python_fault(version)


@pytest.mark.parametrize("answer", ["v20.0.0", "v22.11.0", "v100.0.0\n"])
def test_a_node_that_is_new_enough(answer):
    assert preflight.node_fault(answer) == ""


@pytest.mark.parametrize(
    ("answer", "expected"), [("", "no `node`"), ("v18.20.1", "this is v18.20.1"), ("what", "this is what")]
)
def test_a_node_that_is_not_is_named(answer, expected):
    assert expected in preflight.node_fault(answer)


def test_a_missing_npm_is_named():
    assert "no `npm`" in preflight.npm_fault("")


def test_an_old_python_can_read_it():
    for name in ("shared/__init__.py", "shared/dev/__init__.py", "shared/dev/preflight.py"):
        tree = ast.parse((ROOT / name).read_text(), feature_version=(3, 4))
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert not imports, "a __future__ import would stop an old Python"


def test_make_says_what_is_missing_and_installs_nothing(tmp_path):
    """A path with nothing but make, a shell and this Python."""
    for tool in ("make", "sh", "cp"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    copy = tmp_path / "a clone"
    locks = ("requirements-dev.txt", "package.json", "package-lock.json")
    for name in (*locks, "Makefile", "shared/__init__.py", "shared/dev/__init__.py", "shared/dev/preflight.py"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
    command = ["make", f"PYTHON={sys.executable}", "setup"]
    ended = subprocess.run(command, cwd=copy, env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "no `node` on the PATH" in ended.stderr
    assert "no `npm` on the PATH" in ended.stderr
    assert not (copy / ".venv").exists()


def test_make_says_when_there_is_no_python(tmp_path):
    command = ["make", "-f", str(ROOT / "Makefile"), "PYTHON=python-that-is-not-there", "preflight"]
    ended = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "there is no python-that-is-not-there on the PATH" in ended.stderr
