"""The workflows of GitHub Actions parse, ask for little, and call what there is. They themselves run on GitHub only."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.dev import lock, preflight
from shared.dev.package import command as package

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".github" / "workflows"
PATHS = sorted(FOLDER.glob("*.y*ml"))
PINNED = re.compile(r"(?P<action>[\w.-]+/[\w./-]+)@(?P<commit>[0-9a-f]{40})")
MAKE = re.compile(r"(?:^|[;&|(]\s*)make\s+(?P<words>[^\n;&|#]*)", re.MULTILINE)
EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}")
MAY_WRITE = {("release.yml", "publish"): {"contents"}, ("deploy.yml", "deploy"): {"id-token"}}
"""Jobs that need more than to read, and what."""


def load(path: Path) -> dict[str, Any]:
    # `on` is a boolean to YAML 1.1; GitHub reads it as a word.
    return {("on" if key is True else key): value for key, value in yaml.safe_load(path.read_text()).items()}


WORKFLOWS = {path.name: load(path) for path in PATHS}
JOBS = [(name, job, body) for name, workflow in WORKFLOWS.items() for job, body in workflow["jobs"].items()]
STEPS = [(name, job, step) for name, job, body in JOBS for step in body.get("steps", [])]
RUNS = [(name, step["run"]) for name, _, step in STEPS if "run" in step]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def made_targets(script: str) -> list[str]:
    """Targets that a script makes."""
    return [word for found in MAKE.finditer(script) for word in found["words"].split() if "=" not in word]


def test_there_are_workflows_for_checking_releasing_and_deploying():
    assert list(WORKFLOWS) == ["ci.yml", "deploy.yml", "release.yml"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_nobody_from_outside_can_run_one_with_rights(name):
    events = WORKFLOWS[name]["on"]
    assert set(events) & {"pull_request_target", "workflow_run", "issue_comment", "issues", "discussion"} == set()
    assert "pull_request" not in events or name == "ci.yml"


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_may_read_the_sources_and_nothing_else(name):
    assert WORKFLOWS[name]["permissions"] == {"contents": "read"}


def test_only_the_jobs_that_need_it_may_write():
    writing = {
        (name, job): {right for right, how in body["permissions"].items() if how != "read"}
        for name, job, body in JOBS
        if "permissions" in body
    }
    assert writing == MAY_WRITE


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_there_are_no_secrets(path):
    """Azure knows a workflow by GitHub's own token; its ids are no secrets, and are variables of the environment."""
    text = path.read_text()
    assert "secrets" not in re.sub(r"#.*", "", text)
    assert not re.search(r"publish-profile|creds:|password|connection[_-]?string|AccountKey", text, re.IGNORECASE)


def test_azure_is_logged_in_to_with_ids_only():
    logins = [step["with"] for _, _, step in STEPS if step.get("uses", "").startswith("azure/login@")]
    assert [set(each) for each in logins] == [{"client-id", "tenant-id", "subscription-id"}]
    assert all(re.fullmatch(r"\$\{\{ vars\.\w+ \}\}", value) for each in logins for value in each.values())


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_every_action_is_pinned_to_a_commit_and_says_its_version(path):
    lines = [line for line in path.read_text().splitlines() if re.match(r"\s*(- )?uses: (?!\./)", line)]
    wrong = [line for line in lines if not re.search(rf"uses: {PINNED.pattern} # v\d+\.\d+\.\d+$", line)]
    assert wrong == []


def test_an_action_has_one_version_everywhere():
    commits: dict[str, set[str]] = {}
    for _, _, step in STEPS:
        if found := PINNED.fullmatch(step.get("uses", "")):
            commits.setdefault(found["action"], set()).add(found["commit"])
    assert len(commits) >= 6
    assert {action for action, found in commits.items() if len(found) > 1} == set()


def test_a_workflow_that_another_one_calls_is_there_and_can_be_called():
    called = [body["uses"] for _, _, body in JOBS if "uses" in body]
    assert called == ["./.github/workflows/ci.yml"]
    assert "workflow_call" in WORKFLOWS["ci.yml"]["on"]


def test_every_make_target_is_there():
    made = [target for _, script in RUNS for target in made_targets(script)]
    assert {"check", "package", "setup"} <= set(made)
    assert set(made) - TARGETS == set()


@pytest.mark.parametrize("script", ["make cheque", "cd x && make cheque", "set -e\nmake cheque PYTHON=python"])
def test_the_search_for_make_finds_targets(script):
    assert made_targets(script) == ["cheque"]
    assert "cheque" not in TARGETS


def test_every_path_that_a_command_names_is_there():
    named = {word for _, script in RUNS for word in re.findall(r"\b(?:tests|shared|docs)/[\w/.*-]+", script)}
    assert named, "no command names a file, so this test could not fail"
    assert {word for word in named if not list(ROOT.glob(word))} == set()


def test_nothing_that_a_person_types_becomes_part_of_a_command():
    """What is put into a script by an expression is run; in the environment it is a value."""
    assert [script for _, script in RUNS if EXPRESSION.search(script)] == []


@pytest.mark.parametrize(("name", "script"), RUNS)
def test_every_script_is_one_to_bash(name, script):
    checked = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, f"{name}: {checked.stderr}"


def test_no_job_can_hang_for_hours():
    assert [(name, job) for name, job, body in JOBS if "uses" not in body and not body.get("timeout-minutes")] == []


def test_sources_are_fetched_without_leaving_a_token_behind():
    checkouts = [step for _, _, step in STEPS if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert [step for step in checkouts if step["with"].get("persist-credentials") is not False] == []


def test_every_expression_names_what_there_is():
    faults = []
    for name, job, body in JOBS:
        outputs = {step["id"] for step in body.get("steps", []) if "id" in step}
        for found in EXPRESSION.findall(yaml.safe_dump(body)):
            for kind, what in re.findall(r"\b(needs|steps|inputs|matrix)\.([\w-]+)", found):
                known = {
                    "needs": body.get("needs", []),
                    "steps": outputs,
                    "inputs": WORKFLOWS[name]["on"].get("workflow_dispatch", {}).get("inputs", {}),
                    "matrix": body.get("strategy", {}).get("matrix", {}),
                }[kind]
                if what not in known:
                    faults.append(f"{name}: {job}: {kind}.{what}")
    assert faults == []


def test_every_job_that_is_waited_for_is_there():
    needed = [(name, body["needs"]) for name, _, body in JOBS if "needs" in body]
    assert needed
    assert [each for each in needed if each[1] not in WORKFLOWS[each[0]]["jobs"]] == []


def test_every_python_that_is_promised_is_checked():
    matrix = WORKFLOWS["ci.yml"]["jobs"]["check"]["strategy"]["matrix"]["python"]
    major, highest = preflight.HIGHEST_PYTHON
    promised = [f"{major}.{minor}" for minor in range(preflight.LOWEST_PYTHON[1], highest + 1)]
    assert matrix == promised
    assert lock.read_project(ROOT)["project"]["requires-python"] == f">={promised[0]},<{major}.{highest + 1}"


def test_node_is_new_enough_for_the_emulator():
    versions = [step["with"]["node-version"] for _, _, step in STEPS if "node-version" in step.get("with", {})]
    assert versions
    assert all(preflight.node_fault(f"v{version}.0.0") == "" for version in versions)


def test_the_package_is_built_and_started_by_the_python_that_is_deployed():
    chosen = {
        (name, job): step["with"]["python-version"]
        for name, job, step in STEPS
        if job == "package" and step.get("uses", "").startswith("actions/setup-python@")
    }
    assert chosen == dict.fromkeys([("ci.yml", "package"), ("release.yml", "package")], package.DEPLOYED_PYTHON)


def test_what_is_deployed_is_what_was_released():
    fetch = next(script for name, script in RUNS if name == "deploy.yml" and "gh release download" in script)
    assert "sha256sum --check" in fetch
    pattern = re.search(r'--pattern "\*-(.+)\*"', fetch)
    assert pattern
    target = f"cp{package.DEPLOYED_PYTHON.replace('.', '')}-linux-x86_64"
    assert pattern[1] == f"{target}.zip"
    deployed = next(step["with"] for _, _, step in STEPS if step.get("uses", "").startswith("azure/functions-action@"))
    assert deployed["sku"] == "flexconsumption"
    assert deployed["remote-build"] == "false"
    assert f"mv -- *.zip {deployed['package']}" in fetch


STUBS = {
    "az": 'case "$*" in *appsettings*) echo "$LABELS";; *) printf "group\\tapp.example.org\\n";; esac',
    "curl": 'for word; do :; done; echo "$word" >> "$ASKED"; case "$word" in *"$DOWN"*) exit 22;; esac',
}
"""Commands that the runner has, in place of which these say what they are asked."""


@pytest.mark.parametrize(
    ("labels", "address", "asked"),
    [
        ("", "", ["https://app.example.org/health/ready"]),
        ("v1", "", ["https://app.example.org/health/ready", "https://app.example.org/v1/api.yaml"]),
        (
            "v2,v1.0-prerelease",
            "https://door.example.org",
            [
                f"https://door.example.org/{path}"
                for path in ("health/ready", "v2/api.yaml", "v1.0-prerelease/api.yaml")
            ],
        ),
    ],
    ids=("all versions", "one version", "two behind a door"),
)
@pytest.mark.parametrize("down", ["nothing", "api.yaml"])
def test_an_app_is_deployed_when_it_and_its_versions_answer(tmp_path, labels, address, asked, down):
    script = next(script for name, script in RUNS if name == "deploy.yml" and "health/ready" in script)
    for name, text in STUBS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    given = {"LABELS": labels, "ADDRESS": address, "APP": "app", "ASKED": str(tmp_path / "asked"), "DOWN": down}
    path = f"{tmp_path}:/usr/local/bin:/usr/bin:/bin"
    # As GitHub runs a script that names no shell: errors end it.
    ran = subprocess.run(["bash", "-e", "-c", script], env={**given, "PATH": path}, capture_output=True, check=False)
    done = (tmp_path / "asked").read_text().split()
    failing = down == "api.yaml" and labels != ""
    assert (ran.returncode != 0) == failing, ran.stderr
    assert done == (asked[:2] if failing else asked)


def test_every_variable_of_an_environment_is_explained_and_set_by_the_guide():
    text = (FOLDER / "deploy.yml").read_text()
    used = set(re.findall(r"vars\.(\w+)", text))
    guide = (ROOT / "infra" / "README.md").read_text()
    assert used == set(re.findall(r"gh variable set (\w+)", guide))
    assert {name for name in used if f"#   {name}" not in text and f", {name}" not in text.partition("on:")[0]} == set()
    assert all(f"--field {name}=" in guide for name in WORKFLOWS["deploy.yml"]["on"]["workflow_dispatch"]["inputs"])
