"""The small files around the code say the same as the code."""

import json
import re
import subprocess

import pathspec
import pytest

from shared.dev.host.settings import LocalSettingsError, environment, read_values
from shared.settings import DEFAULT_MAX_REQUEST_BYTES, Settings
from tests.support.served import ROOT

SAMPLE = read_values(ROOT / "local.settings.sample.json")


class Recorder(dict[str, str]):
    """Settings as a mapping that notes every name somebody asks for."""

    def __init__(self, values):
        super().__init__(values)
        self.asked = set()

    def get(self, name, default=None):
        self.asked.add(name)
        return super().get(name, default)


def test_every_setting_the_service_reads_is_in_the_sample_and_in_the_readme():
    recorder = Recorder({"DICOM_STORAGE": "UseDevelopmentStorage=true"})
    Settings.from_env(recorder)
    assert {name for name in SAMPLE if name.startswith("DICOM_")} == recorder.asked
    readme = (ROOT / "README.md").read_text()
    assert [name for name in SAMPLE if f"`{name}`" not in readme] == []


def test_the_sample_is_a_valid_set_of_settings():
    # The defaults, and a viewer's own development server may use what runs on the same machine.
    assert Settings.from_env(SAMPLE) == Settings(cors_origins=("http://localhost:3000",))


def test_the_platform_lets_through_a_little_more_than_the_service_takes():
    """So that it is the service that refuses, with a body and its headers."""
    assert DEFAULT_MAX_REQUEST_BYTES < int(SAMPLE["FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"]) <= 210 * 1024 * 1024


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"Values": {"A": 1}}', '{"IsEncrypted": true, "Values": {}}'])
def test_a_settings_file_of_another_form_is_refused(tmp_path, text):
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(LocalSettingsError, match=r"settings\.json"):
        read_values(tmp_path / "settings.json")


@pytest.fixture(scope="module")
def ignored():
    return pathspec.PathSpec.from_lines("gitignore", (ROOT / ".funcignore").read_text().splitlines())


@pytest.mark.parametrize(
    "path",
    [
        "function_app.py",
        "host.json",
        "requirements.txt",
        "versions/v1.yaml",
        "versions/v1.0-prerelease.yaml",
        "shared/__init__.py",
        "shared/api/triggers.py",
        "shared/api/breaking/engine.py",
        "shared/api/about/handlers.py",
        "shared/api/about/assets/page.css",
        "shared/api/about/assets/docs.js",
        "shared/settings.py",
    ],
)
def test_what_the_app_needs_is_deployed(ignored, path):
    assert not ignored.match_file(path)


@pytest.mark.parametrize(
    "path",
    [
        "tests/conftest.py",
        "infra/main.bicep",
        "shared/dev/host/command.py",
        "node_modules/azurite/package.json",
        ".venv/bin/python",
        ".azurite/__azurite_db_blob__.json",
        ".git/config",
        ".gitignore",
        ".ci/run",
        "local.settings.json",
        "local.settings.sample.json",
        "requirements-dev.txt",
        "README.md",
        "docs/one.md",
        "shared/api/__pycache__/a.pyc",
    ],
)
def test_what_the_app_does_not_need_is_not_deployed(ignored, path):
    assert ignored.match_file(path)


def test_every_version_file_is_deployed(ignored):
    assert not [path.name for path in (ROOT / "versions").glob("*.yaml") if ignored.match_file(f"versions/{path.name}")]


def test_azurite_is_pinned_and_its_lock_names_no_host():
    wanted = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert wanted == {"azurite": "3.35.0"} == packages[""]["devDependencies"]
    assert packages["node_modules/azurite"]["version"] == "3.35.0"
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert not [name for name, package in packages.items() if name and "integrity" not in package]


def test_continuous_integration_is_make_check():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    commands = [line for line in script.read_text().splitlines() if line and not line.startswith("#")]
    assert commands[-1] == "exec make check"


def test_make_check_is_every_check_in_order():
    planned = subprocess.run(
        ["make", "-n", "check"], cwd=ROOT, env=environment(), capture_output=True, text=True, check=True, timeout=60
    ).stdout
    steps = ["ruff check", "ruff format --check", "shared.dev.contract check"]
    stores = [f"tests/{room}" for room in ("storage", "querytags", "edits", "qido")]
    others = ["tests/served", "tests/dev", *stores]
    parts = [
        f'-m pytest -m "not slow" {" ".join(stores)}\n',
        '-m pytest -m "not slow" tests/served\n',
        f'-m pytest -m "not slow" {" ".join(f"--ignore {room}" for room in others)}\n',
        '-m pytest -m "not slow" tests/dev\n',
    ]
    places = [planned.index(step) for step in [*steps, *parts, "-m mypy", "lint_imports_command"]]
    assert places == sorted(places)


def test_make_help_names_every_target():
    printed = subprocess.run(
        ["make", "help"], cwd=ROOT, env=environment(), capture_output=True, text=True, check=True, timeout=60
    ).stdout
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert targets
    assert [name for name in targets[1].split() if name != "preflight" and f"make {name} " not in printed] == []
