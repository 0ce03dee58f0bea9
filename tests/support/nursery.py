"""Hosts by the dozen, for tests that kill them: each is a fork of a process that has imported everything already.

A host of its own costs seconds of a processor before it serves; a fork costs a fraction of one. What serves is the same
local host, in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from shared.api import manifest, routes
from shared.dev import host, ports
from shared.dev.host_settings import environment
from shared.settings import Settings
from tests.support.served import ROOT

_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
_SAMPLE = str(ROOT / "local.settings.sample.json")


@dataclass(frozen=True, slots=True)
class Newborn:
    """A host that serves.

    Attributes:
        url: its base, without a trailing slash.
        pid: of its process.
    """

    url: str
    pid: int

    def kill(self) -> None:
        """End it at once, whatever it is doing."""
        os.kill(self.pid, signal.SIGKILL)

    async def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        os.kill(self.pid, signal.SIGTERM)
        until = time.monotonic() + _STOP_SECONDS
        while _lives(self.pid):
            assert time.monotonic() < until, "the host does not stop"
            await asyncio.sleep(0.05)


class Nursery:
    """Makes hosts with the same settings, as long as the block lasts.

    Args:
        settings: on top of local.settings.sample.json.
        app: folder of function_app.py.
    """

    def __init__(self, settings: Mapping[str, str], app: Path = ROOT) -> None:
        self._settings = settings
        self._app = app
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Nursery:
        # Settings of the person who runs the tests stay out of them.
        inherited = {
            name: value for name, value in environment().items() if not name.startswith(("DICOM_", "AzureWebJobs"))
        }
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the block
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.nursery", str(self._app)),
            cwd=ROOT,
            env={**inherited, **self._settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        # The end of its input ends it, and with it every host that is left; so does the end of this process.
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        self._log.close()

    async def born(self) -> Newborn:
        """A new host, once it answers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        (port,) = ports.free_ports(1)
        async with self._turn:
            self._process.stdin.write(f"{port}\n".encode())
            await self._process.stdin.drain()
            answer = await self._process.stdout.readline()
        assert answer, f"the nursery has ended:\n{self._said()}"
        made = Newborn(f"http://{ports.LOOPBACK}:{port}", int(answer))
        # Its port is taken before it has read the app; the first answer comes when it serves.
        async with httpx.AsyncClient(base_url=made.url, timeout=_START_SECONDS, trust_env=False) as client:
            until = time.monotonic() + _START_SECONDS
            while True:
                with contextlib.suppress(httpx.TransportError):
                    assert (await client.get("/admin/host/status")).status_code == 200
                    return made
                assert _lives(made.pid), f"the host did not start:\n{self._said()}"
                assert time.monotonic() < until, f"the host does not serve:\n{self._said()}"
                await asyncio.sleep(0.02)

    def _said(self) -> str:
        self._log.seek(0)
        return self._log.read()[-4000:].decode(errors="replace")


def _lives(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def _main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("app", type=Path)
    app = parser.parse_args().app
    # Nobody asks how a host ended; this has the system forget the dead.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    routes.bind(manifest.load(ROOT / "versions"), Settings())
    children = []
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            return _host(int(line), app)
        children.append(pid)
        print(pid, flush=True)
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return 0


def _host(port: int, app: Path) -> int:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    # The pipe is for the numbers of processes; what a host prints goes where it logs.
    os.dup2(2, 1)
    return host.main(["--brief", "--port", str(port), "--app", str(app), "--settings", _SAMPLE])


if __name__ == "__main__":
    code = _main()
    sys.stdout.flush()
    os._exit(code)
