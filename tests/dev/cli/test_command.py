"""The `dicom` command line: help, options, exit codes, and faults in words."""

from __future__ import annotations

import argparse
import json
import shlex
import socket
import subprocess
import sys
import tomllib

import pytest

from shared.dev.cli import command as cli
from shared.dev.cli.options import session
from shared.dev.cli.screen import Ended, Exit, Screen, printable, table
from shared.dev.host.settings import environment
from tests.dev.cli.made import dicom, gateway
from tests.support.served import ROOT

VERSIONS = '200 OK\nContent-Type: application/json\n\n{"current": "v2", "versions": []}'
OPERATION = "0f8fad5bd9cb469fa16570867728950e"


def parsers(parser=None, name=""):
    """All commands, by name."""
    parser = parser or cli.parser()
    inner = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    if not inner:
        return {name: parser}
    return {
        key: value
        for child, one in inner[0].choices.items()
        for key, value in parsers(one, f"{name} {child}".strip()).items()
    }


COMMANDS = parsers()


def chosen(*arguments, **variables):
    return session(cli.parser().parse_args([*arguments, "versions"]), variables)


def test_all_commands_are_there():
    assert sorted(name for name in COMMANDS if " " not in name) == [
        "copy",
        "export",
        "get",
        "import",
        "search",
        "store",
        "update",
        "versions",
    ]
    assert {name.split()[1] for name in COMMANDS if name.startswith("tags")} == {
        "add",
        "delete",
        "disable",
        "enable",
        "errors",
        "get",
        "list",
    }
    assert {name.split()[1] for name in COMMANDS if name.startswith("operation")} == {"show", "wait"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples_that_can_be_typed(name):
    ran = dicom(*name.split(), "--help")
    assert (ran.code, ran.err) == (0, "")
    examples = ran.out.split("examples:\n")[1].splitlines()
    assert examples
    for line in examples:
        words = shlex.split(line, comments=True)
        assert words[0] == "dicom"
        assert cli.parser().parse_args(words[1:]).run is not None
        assert words[1 : 1 + len(name.split())] == name.split()


def test_help_tells_the_exit_codes():
    ran = dicom("--help")
    assert {int(code) for code in Exit} == {
        int(line.split()[0])
        for line in ran.out.split("exit codes:\n")[1].splitlines()
        if line[:3].strip().isdigit() or line.strip()[:3] == "130"
    }


def test_the_module_runs_as_a_command():
    command = [sys.executable, "-m", "shared.dev.cli", "--help"]
    ran = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.startswith("usage: dicom")) == (0, True)


@pytest.mark.parametrize(
    "line", ["", "nonsense", "store", "get ../../etc --to x", "get .. --to x", "store x --parallel 0", "tags add X"]
)
def test_a_wrong_command_line_is_said(line):
    ran = dicom(*line.split())
    assert ran.code == Exit.USAGE
    assert ran.err.startswith("usage: dicom")


def test_options_may_stand_before_the_command_or_behind_it():
    before = cli.parser().parse_args(["--url", "http://a", "-q", "versions"])
    behind = cli.parser().parse_args(["versions", "--url", "http://a", "-q"])
    assert session(before, {}) == session(behind, {})
    assert session(behind, {}).target.url == "http://a"


def test_the_command_line_wins_over_the_environment():
    variables = {"DICOM_URL": "https://a/", "DICOM_API_VERSION": "1", "DICOM_TOKEN": "secret", "DICOM_PARTITION": "p"}
    target = chosen(**variables).target
    assert (target.url, target.version, target.token, target.partition) == ("https://a", "v1", "secret", "p")
    target = chosen("--url", "https://b", "--api-version", "V2", "--partition", "q", **variables).target
    assert (target.url, target.version, target.partition) == ("https://b", "v2", "q")
    assert chosen().target.url == "http://localhost:7071"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--url", "localhost:7071"], "--url is an address"),
        (["--url", "ftp://a"], "--url is an address"),
        (["--url", "http://a:99999"], "--url is an address"),
        (["--url", "http://me:secret@a"], "neither user"),
        (["--url", "http://a?b=secret"], "neither user"),
        (["--url", "http://a/v2/"], "give --api-version v2"),
        (["--api-version", "two/three"], "is a label"),
        (["--partition", "a/b"], "--partition is"),
        (["--partition", ".."], "--partition is"),
        (["--ca-file", "/nowhere.pem"], "--ca-file"),
        (["--token", "secret", "--url", "http://example.org"], "without TLS"),
    ],
)
def test_options_that_cannot_be_are_said_without_what_is_secret(options, text):
    with pytest.raises(Ended, match=text) as ended:
        chosen(*options)
    assert ended.value.code == Exit.USAGE
    assert "secret" not in str(ended.value)
    assert dicom(*options, "versions").code == Exit.USAGE


def test_a_token_may_go_without_tls_to_this_machine():
    assert chosen("--token", "secret", "--url", "http://127.0.0.1:7071").target.token == "secret"


def test_nobody_there_is_said_with_what_to_do():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        ran = dicom("--url", url, "search", "studies")
    text = f"dicom: Nobody answers at {url}. Is the service running? `make run` starts one. --url names another one.\n"
    assert (ran.code, ran.err) == (Exit.UNREACHABLE, text)


def test_a_service_without_tls_is_said():
    with gateway("", "400 Bad\n\n") as gate:
        ran = dicom("--url", gate.url.replace("http", "https"), "versions")
    assert ran.code == Exit.UNREACHABLE
    assert "No secure connection" in ran.err


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        ("401 Unauthorized\n\n", Exit.NOT_ALLOWED, "wants to know who asks: give --token, or set DICOM_TOKEN (401)."),
        ("403 Forbidden\n\nNo.", Exit.NOT_ALLOWED, "may not do this (403): No."),
        ("404 Not Found\n\n", Exit.REFUSED, "There is no such thing (404)."),
        ("308 Moved\nLocation: https://b/\n\n", Exit.REFUSED, "sends on to https://b/; give that as --url."),
        ("400 Bad\nContent-Type: text/html\n\n<p>", Exit.REFUSED, "refuses this (400)."),
        (
            '400 Bad\nContent-Type: application/json\napi-supported-versions: 1, 2\n\n{"error": {"code": '
            '"UnsupportedApiVersion", "message": "-"}}',
            Exit.REFUSED,
            "Version v7 does not serve this (400). These do: v1, v2.",
        ),
        ("200 OK\n\n<html>", Exit.REFUSED, "is not JSON. Is --url the address of the service?"),
    ],
)
def test_refusals_are_put_into_words(answer, code, text):
    with gateway("", answer) as gate:
        ran = dicom("--url", gate.url, "--api-version", "7", "search", "studies")
    assert ran.code == code
    assert text in ran.err


def test_a_token_that_is_not_taken_is_said_and_not_shown():
    with gateway("", "401 Unauthorized\n\n") as gate:
        ran = dicom("--url", gate.url, "--token", "secret", "--api-version", "2", "search", "studies")
    assert (ran.code, "does not take this token (401)" in ran.err, "secret" in ran.both) == (4, True, False)


def test_an_address_that_is_no_service_is_said():
    with gateway("", "404 Not Found\n\n") as gate:
        ran = dicom("--url", gate.url, "search", "studies")
    assert (ran.code, "Is this the address of the service?" in ran.err) == (1, True)


def test_without_a_stable_version_one_has_to_be_named():
    with gateway("", VERSIONS.replace('"v2"', "null")) as gate:
        ran = dicom("--url", gate.url, "search", "studies")
    assert (ran.code, "no stable version" in ran.err) == (1, True)


def test_the_end_of_a_version_is_told_once():
    head = "200 OK\nDeprecation: @1\nSunset: Sun, 01 Aug 2027 00:00:00 GMT\n\n"
    pages = [f"{head}[{','.join(['{}'] * 200)}]", f"{head}[]"]
    with gateway("", VERSIONS, *pages, *pages) as gate:
        ran = dicom("--url", gate.url, "tags", "list")
        told = "Version v2 is deprecated and may be gone after Sun, 01 Aug 2027 00:00:00 GMT"
        assert (ran.code, ran.err) == (0, f"{told}; `dicom versions` names its successor.\n")
        assert dicom("--url", gate.url, "--api-version", "2", "tags", "list", "-q").both == ""


def test_programs_are_told_of_errors_too():
    with gateway("", "404 Not Found\n\n") as gate:
        ran = dicom("--url", gate.url, "--api-version", "2", "operation", "show", OPERATION, "--json")
    assert json.loads(ran.out) == {"error": "There is no such thing (404).", "exitCode": 1}


def test_work_that_has_begun_is_not_begun_twice_when_the_answer_is_lost():
    with gateway("", VERSIONS, "drop") as gate:
        ran = dicom("--url", gate.url, "tags", "add", "PatientSex", "--level", "study")
        assert len(gate.requests) == 2
    assert (ran.code, "It is not known whether the request was taken." in ran.err) == (3, True)


@pytest.mark.parametrize("text", ["zz", "0f8fad5b", "https://elsewhere/v2/operations/" + OPERATION])
def test_an_operation_is_named_by_its_id_or_its_url(text):
    ran = dicom("--url", "http://localhost:1", "operation", "wait", text)
    assert (ran.code, ran.err.startswith("dicom: ")) == (Exit.USAGE, True)


def test_waiting_obeys_the_service_and_ends_with_its_results():
    running = '202 Accepted\nRetry-After: 0\n\n{"type": "export", "status": "running"}'
    results = '{"exported": 1, "skipped": 2, "errorHref": "u"}'
    ended = f'200 OK\n\n{{"type": "export", "status": "failed", "reason": "why", "results": {results}}}'
    with gateway("", running, running, ended) as gate:
        ran = dicom(
            "--url", gate.url, "--api-version", "2", "operation", "wait", f"{gate.url}/v2/operations/{OPERATION}"
        )
        assert len(gate.requests) == 3
    text = "export: failed\n  reason: why\n  1 instance exported, 2 skipped\n  what was skipped: u\n"
    assert (ran.code, ran.err, ran.out) == (1, text, "")


def test_waiting_may_end_before_the_work():
    running = '202 Accepted\nRetry-After: 9\n\n{"type": "update", "status": "running", "percentComplete": 40}'
    with gateway("", running) as gate:
        ran = dicom(
            "--url", gate.url, "--api-version", "2", "operation", "wait", OPERATION, "--timeout", "0.2", terminal=True
        )
    assert ran.code == Exit.UNFINISHED
    assert f"dicom operation wait {OPERATION}" in ran.err
    assert "Updating" in ran.err


@pytest.mark.parametrize(
    "line",
    [
        "export",
        "export --all",
        "export --all --studies 1.2 --to https://a",
        "export --studies 1.2/3 --to https://a",
        "export --series 1.2 --to https://a",
        "export --studies 1.2 --connection c",
        "export --studies 1.2 --to https://a --container b",
        "export --studies 1.2 --to https://a --connection c --container d",
        "export --studies 1.2 --connection c --container d --identity",
        "update --studies 1.2",
        "update --studies 1.2 --set PatientName",
        "update --studies 1.2 --set Nonsense=1",
        "update --studies 1.2 --set PatientWeight=heavy",
        "update --studies 1.2 --from /nowhere",
        "search studies PatientID",
        "import /nowhere",
        "store /nowhere",
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_sent(line):
    # Nobody listens there.
    ran = dicom("--url", "http://localhost:1", "--api-version", "2", *line.split())
    assert (ran.code, ran.err.startswith("dicom: ")) == (Exit.USAGE, True), ran.both


def test_texts_of_others_do_not_steer_the_terminal():
    assert printable("a\x1b[2Jb\r\nc\u202e") == "a\ufffd[2Jb\ufffd\nc\ufffd"
    assert table(("a", "b"), [("1\n2\x07", "x")]) == "a     b\n1 2\ufffd  x"


def test_a_reader_that_has_seen_enough_is_no_fault():
    with gateway(
        "", '200 OK\n\n{"current": "v2", "versions": [' + ",".join(['{"label": "v2"}'] * 4_000) + "]}"
    ) as gate:
        command = f"{shlex.quote(sys.executable)} -m shared.dev.cli --url {gate.url} versions | head -1"
        ran = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {command}"],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_quiet_screen_still_tells_errors(capsys):
    screen = Screen(quiet=True)
    screen.say("a")
    screen.note("b")
    screen.error("c")
    assert tuple(capsys.readouterr()) == ("", "c\n")


def test_what_the_command_needs_is_pinned_for_development_only():
    """It is never deployed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert any(one.startswith("rich") for one in project["dependency-groups"]["dev"])
    assert not any(one.startswith("rich") for one in project["project"]["dependencies"])
