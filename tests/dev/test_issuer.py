"""The issuer of this machine: what it gives out is what the service's own gate believes."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest

from shared.api.access.actions import Action
from shared.api.access.gate import Gate
from shared.api.access.roles import BUILT_IN
from shared.dev import issuer as issuers
from shared.dev import ports
from shared.errors import NotAllowed, NotAuthenticated
from shared.settings import Settings
from shared.wire.call import Headers
from tests.support.nursery import own_environment
from tests.support.served import ROOT
from tests.support.tokens import bearer


def gate_of(settings):
    return Gate.of(Settings.from_env({"DICOM_STORAGE": "UseDevelopmentStorage=true", **settings}))


async def test_its_tokens_are_believed_over_http_with_the_settings_it_names():
    with issuers.running() as issuer:
        gate = gate_of(issuer.settings())
        caller = await gate.identify(Headers(bearer(issuer.token("globalReader")).items()))
        gate.admit(caller, Action.READ)
        with pytest.raises(NotAllowed):
            gate.admit(caller, Action.WRITE)
        with issuers.running() as another, pytest.raises(NotAuthenticated):
            await gate.identify(Headers(bearer(another.token("globalReader")).items()))


@pytest.fixture
def printed():
    """What the command prints; it runs, and stops when told."""
    command = [sys.executable, "-u", "-m", "shared.dev.issuer", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, env=own_environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        text = ""
        while "Ctrl-C" not in text:
            line = process.stdout.readline()
            assert line, text
            text += line
        yield text
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


async def test_the_command_prints_settings_and_a_token_for_each_role(printed):
    gate = gate_of(dict(re.findall(r"^(DICOM_\w+)=(.*)$", printed, re.MULTILINE)))
    found = re.findall(r"^(.+):\n(ey\S+)$", printed, re.MULTILINE)
    assert [name for name, _ in found] == [*(role.name for role in BUILT_IN), "no role at all"]
    for name, token in found:
        caller = await gate.identify(Headers(bearer(token).items()))
        assert caller is not None
        assert caller.roles == (() if name == "no role at all" else (name,))


def test_a_taken_port_is_told(capsys):
    with ports.bind(0) as taken:
        assert issuers.main(["--port", str(taken.getsockname()[1])]) == 1
    assert "choose another one with --port" in capsys.readouterr().err
