"""The command that compares two OpenAPI documents."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]  # it ships no types
import pytest
import yaml

from shared.api import openapi
from shared.api.breaking.findings import JSON_SCHEMA
from shared.dev.contract import command as contract
from tests.api import made as front_door
from tests.api.breaking import made

# Rules that the other engine has too, at the same level.
AGREED = {
    "path-removed",
    "request-enum-value-removed",
    "request-required-parameter-added",
    "request-type-changed",
    "response-property-became-optional",
    "response-success-status-removed",
    "response-type-changed",
}
ROOT = Path(__file__).resolve().parents[3]
QUERY = {"name": "q", "in": "query", "schema": {"type": "string"}}
BASE = made.document("operation", {"operationId": "read", "parameters": [QUERY]})
NARROWED = made.document("operation", {"operationId": "read"})
WIDENED = made.document("operation", {"operationId": "read", "parameters": [QUERY, {**QUERY, "name": "ä"}]})
RENAMED = made.document("paths", {"/a/{y}": {"get": {}}})
NAMED = made.document("paths", {"/a/{x}": {"get": {}}})


@pytest.fixture
def written(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return str(path)

    return write


def test_findings_are_lines_with_level_operation_rule_sentence_and_place(written, capsys):
    assert contract.main(["diff", written("base.json", BASE), written("revision.json", NARROWED)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "ERR  GET /things (read) [request-parameter-removed] the query parameter q is gone: "
        "what a client asks for with it is left out or refused.",
        "     at /paths/~1things/get/parameters/query/q",
        "1 ERR, 0 WARN, 0 INFO",
    ]


def test_findings_as_json_keep_the_schema_that_help_shows(written, capsys):
    assert contract.main(["diff", written("base", BASE), written("revision", NARROWED), "--format", "json"]) == 1
    findings = json.loads(capsys.readouterr().out)
    jsonschema.validate(findings, JSON_SCHEMA)
    assert [finding["id"] for finding in findings] == ["request-parameter-removed"]
    with pytest.raises(SystemExit):
        contract.main(["diff", "--help"])
    assert json.dumps(JSON_SCHEMA, indent=2) in capsys.readouterr().out


def test_no_findings_are_an_empty_array(written, capsys):
    path = written("base", BASE)
    assert contract.main(["diff", path, path, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_what_is_allowed_exits_with_zero(written):
    assert contract.main(["diff", written("base", BASE), written("revision", WIDENED)]) == 0


def test_a_warning_exits_with_one_only_when_asked_to(written):
    paths = [written("base", NAMED), written("revision", RENAMED)]
    assert contract.main(["diff", *paths]) == 0
    assert contract.main(["diff", *paths, "--fail-on", "WARN"]) == 1


def test_a_deprecated_operation_may_go_when_its_day_has_come(written):
    gone = written("revision", made.document("paths", {}))
    leaving = {"/a": {"get": {"deprecated": True, "x-sunset": "2030-01-01"}}}
    base = written("base", made.document("paths", leaving))
    assert contract.main(["diff", base, gone]) == 1
    assert contract.main(["diff", base, gone, "--today", "2029-12-31"]) == 1
    assert contract.main(["diff", base, gone, "--today", "2030-01-01"]) == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("swagger: '2.0'", "only OpenAPI 3.0 and 3.1 are compared"),
        ("{", "no JSON"),
        ("openapi: 3.0.3\npaths: {/a: {get: {responses: {'200': {$ref: '#/nobody'}}}}}", "points to nothing"),
    ],
)
def test_a_document_that_cannot_be_read_exits_with_two_and_is_named(written, capsys, content, said):
    bad = written("bad.yaml", content)
    assert contract.main(["diff", written("base", BASE), bad]) == 2
    assert contract.main(["diff", bad, written("base", BASE)]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert all(line.startswith(f"{bad}: ") and said in line for line in output.err.splitlines())


def test_a_file_that_is_not_there_exits_with_two(written, tmp_path, capsys):
    assert contract.main(["diff", written("base", BASE), str(tmp_path / "nothing")]) == 2
    assert contract.main(["diff", written("base", BASE), str(tmp_path)]) == 2
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["diff"], ["diff", "a"], ["diff", "a", "b", "--today", "soon"], ["other"]])
def test_a_command_nobody_can_read_exits_with_two(arguments):
    with pytest.raises(SystemExit) as left:
        contract.main(arguments)
    assert left.value.code == 2


def test_the_command_runs_as_a_module(written):
    command = [sys.executable, "-m", "shared.dev.contract", "diff", written("a", BASE), written("b", WIDENED)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()
    assert "parameter ä" in run.stdout.decode()


def test_a_second_opinion_that_is_not_there_is_said_and_changes_nothing(written, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    paths = [written("base", BASE), written("revision", NARROWED)]
    assert contract.main(["diff", *paths, "--second-opinion"]) == 1
    assert "oasdiff is not on the PATH" in capsys.readouterr().err


def test_a_second_opinion_is_printed_beside_the_findings(written, capsys, monkeypatch, tmp_path):
    """With a stand-in on the PATH: what is called, and where its words go."""
    program = tmp_path / "oasdiff"
    program.write_text('#!/bin/sh\necho "told: $1"\nexit 1\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert contract.main(["diff", written("base", BASE), written("revision", WIDENED), "--second-opinion"]) == 0
    output = capsys.readouterr()
    assert "told: breaking" in output.err
    assert "told" not in output.out


@pytest.mark.skipif(shutil.which("oasdiff") is None, reason="the second opinion needs oasdiff on the PATH")
def test_oasdiff_agrees_on_what_breaks(written):
    """On changes that its own list of breaking changes names."""
    for pair in made.pairs():
        if pair["rule"] in AGREED and pair.get("openapi", "3.0.3") == "3.0.3":
            kind = next(kind for kind in made.KINDS if pair.get(kind))
            paths = [written(name, made.document(kind, pair[name])) for name in ("base", "revision")]
            run = subprocess.run(["oasdiff", "breaking", *paths, "--fail-on", "ERR"], capture_output=True, check=False)
            assert run.returncode == 1, f"{pair['rule']}: {run.stdout.decode()}"


def test_comparing_documents_costs_a_few_times_what_reading_them_does(written, capsys):
    """From text to findings: measured about 1.5 times, beside each other, so that any machine may run it."""
    manifests = front_door.loaded()
    texts = [openapi.as_yaml(openapi.document(manifests.versions[-1], manifests)).decode()]
    paths = [written(f"{number}.yaml", text) for number, text in enumerate(texts)]
    began = time.process_time()
    for text in texts * 2:
        yaml.load(text, yaml.CSafeLoader)
    read = time.process_time()
    for path in paths:
        assert contract.main(["diff", path, path]) == 0
    assert time.process_time() - read < 10 * (read - began)
    assert capsys.readouterr().out == "0 ERR, 0 WARN, 0 INFO\n"
