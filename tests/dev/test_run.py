"""`make run`: starts all, says what it does, stops all."""

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from shared.dev import azurite as azurite_module
from shared.dev import ports, run
from shared.dev.host.settings import environment
from tests.support.served import ROOT

pytestmark = pytest.mark.azurite


@contextlib.contextmanager
def running(*arguments):
    env = {name: value for name, value in environment().items() if not name.startswith(("DICOM_", "AzureWebJobs"))}
    command = [sys.executable, "-u", "-m", "shared.dev.run", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)
        process.stdout.close()


def read_until(process, text, seconds=90.0):
    """What was printed up to the line that holds the text."""
    deadline = time.monotonic() + seconds
    seen = ""
    while text not in seen:
        line = process.stdout.readline()
        assert line, f"ended without {text!r}:\n{seen}"
        assert time.monotonic() < deadline, f"{text!r} was not printed:\n{seen}"
        seen += line
    return seen


@pytest.fixture
def started(tmp_path):
    (port,) = ports.free_ports(1)
    with running("--port", str(port), "--data", str(tmp_path / "the data")) as process:
        yield process, port, read_until(process, "curl ")


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_it_serves_until_told_to_stop_and_leaves_nothing_behind(started, number, tmp_path):
    process, port, printed = started
    assert f"Ready: http://localhost:{port}" in printed
    assert run.status_of(port, "/health/live") == 200
    storage = [int(word.strip(",")) for word in printed.split("Azurite listens on ")[1].split()[:3]]
    assert all(ports.answers(each) for each in storage)
    process.send_signal(number)
    assert process.wait(30) == 0
    assert "Stopped." in process.stdout.read()
    assert not any(ports.answers(each) for each in [*storage, port])
    assert (tmp_path / "the data").is_dir()


@pytest.mark.slow
def test_the_line_it_prints_stores_a_file(started):
    _, _, printed = started
    line = next(line for line in printed.splitlines() if line.strip().startswith("curl "))
    command = [*shlex.split(line), "-o", os.devnull, "-w", "%{http_code}"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    assert answer.stdout in ("200", "202")


@pytest.mark.slow
def test_the_death_of_a_child_ends_it_with_the_childs_last_lines(started):
    process, port, printed = started
    host = int(printed.split("Starting the service, process ")[1].split()[0])
    os.kill(host, signal.SIGKILL)
    assert process.wait(30) == 1
    rest = process.stdout.read()
    assert "the service ended by itself (exit code -9). Its last lines:" in rest
    assert f"Base URL: http://localhost:{port}" in rest.split("Its last lines:")[1]


@pytest.mark.slow
def test_with_an_issuer_it_prints_tokens_that_work_and_a_line_that_stores_a_file_with_one(tmp_path):
    (port,) = ports.free_ports(1)
    with running("--port", str(port), "--data", str(tmp_path / "data"), "--auth", "local") as process:
        printed = read_until(process, "--data-binary")
        assert run.status_of(port, "/v2/changefeed") == 401
        answers = {}
        for name, token in re.findall(r"^(.+):\n(ey\S+)$", printed, re.MULTILINE):
            headers = {"Authorization": f"Bearer {token}"}
            request = urllib.request.Request(f"http://127.0.0.1:{port}/v2/changefeed", headers=headers)
            with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(request) as answer:
                answers[name] = answer.status
        assert answers == dict.fromkeys(("globalReader", "globalAdmin", "DICOM Data Reader", "DICOM Data Owner"), 200)
        line = next(line for line in printed.splitlines() if line.strip().startswith("curl ") and "@" in line)
        command = [*shlex.split(line), "-o", os.devnull, "-w", "%{http_code}"]
        stored = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
        assert stored.stdout in ("200", "202")


@pytest.mark.slow
def test_where_the_usual_ports_are_taken_it_says_how_tools_reach_storage(tmp_path):
    with contextlib.ExitStack() as stack:
        taken = stack.enter_context(socket.socket())
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # another process may have it already, which is as good
            taken.bind((ports.LOOPBACK, azurite_module.DEFAULT_PORTS[0]))
            taken.listen()
        (port,) = ports.free_ports(1)
        process = stack.enter_context(running("--port", str(port), "--data", str(tmp_path)))
        printed = read_until(process, "curl ")
        (connection,) = re.findall(r"^For fsck, sweep and backup: export DICOM_STORAGE='(.+)'$", printed, re.MULTILINE)
        check = [sys.executable, "-m", "shared.dev.fsck"]
        env = {**environment(), "DICOM_STORAGE": connection}
        subprocess.run(check, cwd=ROOT, env=env, capture_output=True, timeout=60, check=True)


def test_a_taken_port_is_named_with_the_way_out(azurite, tmp_path):
    taken = azurite.ports[0]
    with running("--port", str(taken), "--data", str(tmp_path)) as process:
        printed = process.stdout.read()
        assert process.wait(30) == 1
    assert f"port {taken} is taken by another process; choose another one: make run PORT=7072" in printed


def test_the_sample_becomes_the_settings_once(tmp_path):
    (tmp_path / "local.settings.sample.json").write_text("sample")
    settings = run.ensure_local_settings(tmp_path)
    assert settings.read_text() == "sample"
    settings.write_text("mine")
    assert run.ensure_local_settings(tmp_path).read_text() == "mine"


def test_only_the_emulators_short_form_is_replaced():
    values = {"AzureWebJobsStorage": "UseDevelopmentStorage=true", "DICOM_STORAGE": "AccountName=real"}
    assert run.storage_overrides(values, {}, "new") == {"AzureWebJobsStorage": "new"}
    assert run.storage_overrides(values, {"AzureWebJobsStorage": "AccountName=mine"}, "new") == {}
    assert run.storage_overrides({}, {"DICOM_STORAGE": "usedevelopmentstorage=true;"}, "new") == {
        "DICOM_STORAGE": "new"
    }


def test_the_example_names_a_real_file_and_quotes_it():
    words = shlex.split(run.example_line("http://localhost:1"))
    assert words[-1] == "http://localhost:1/v2/studies"
    (data,) = [word for word in words if word.startswith("@")]
    assert (ROOT / data.removeprefix("@")).read_bytes()[128:132] == b"DICM"
