"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

import shared

ROOT = Path(__file__).resolve().parents[2]
BELOW_THE_DOOR = (
    "stow",
    "wado",
    "qido",
    "changefeed",
    "edits",
    "querytags",
    "worklist",
    "partitions",
    "operations",
    "health",
    "wire",
    "storage",
    "dicom",
)
# Words of our own versions. Part of a longer word or number is none: uuid1v1x, v1alpha of somebody else.
VERSION_WORD = re.compile(r"(?<![A-Za-z0-9])v[0-9]+(?![A-Za-z0-9])|prerelease|api_?version", re.IGNORECASE)
# The storage service has API versions of its own.
FOREIGN = re.compile(r"x-ms-version|MSI_API_VERSION")
SOURCES = [*sorted((ROOT / "shared").rglob("*.py")), ROOT / "function_app.py"]


def test_rooms_know_no_version():
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for room in BELOW_THE_DOOR
        for path in sorted((ROOT / "shared" / room).rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if VERSION_WORD.search(FOREIGN.sub("", line))
    ]
    assert found == []


@pytest.mark.parametrize(
    "line", ["if label == 'v1':", "/v2/studies", "V1.0-prerelease", "call.api_version", "apiVersion"]
)
def test_the_search_for_version_words_finds_them(line):
    assert VERSION_WORD.search(line)


def test_every_room_of_the_house_is_searched():
    folders = {path.name for path in (ROOT / "shared").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders - {"api", "dev"} == set(BELOW_THE_DOOR)


def test_the_package_called_shared_is_ours():
    assert Path(shared.__file__).resolve() == ROOT / "shared" / "__init__.py"


def test_no_installed_distribution_brings_a_package_of_our_names():
    brought = importlib.metadata.packages_distributions()
    assert brought, "no distribution is visible, so this test could not fail"
    assert {name: brought[name] for name in ("shared", "tests", "versions", "function_app") if name in brought} == {}


def test_the_import_contract_is_kept():
    """In a process of its own: the linter sets up logging for itself and silences all loggers it finds."""
    script = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert " 0 broken" in run.stdout


def test_azure_functions_is_imported_in_two_files_only():
    importing = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            if any(name == "azure.functions" or name.split(".")[0] == "azurefunctions" for name in names):
                importing.add(path.relative_to(ROOT).as_posix())
    assert {path for path in importing if not path.startswith("shared/dev/")} == {
        "function_app.py",
        "shared/api/triggers.py",
    }


def test_no_file_outgrows_a_reader():
    too_long = {
        path.relative_to(ROOT).as_posix(): count
        for path in SOURCES
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert too_long == {}


def test_versions_is_data_and_no_package():
    assert list((ROOT / "versions").rglob("*.py")) == []
