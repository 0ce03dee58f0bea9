"""Local hosts by the dozen: each is a fork of one process that has imported everything already.

A host of its own costs seconds of a processor before it serves, most of them for imports; a fork costs a fraction of
one. What serves is the same local host, in a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from shared.api import manifest, routes
from shared.dev import ports
from shared.dev.host import command as host
from shared.dev.host.settings import environment
from shared.settings import Settings

_ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 60.0
_SAMPLE = str(_ROOT / "local.settings.sample.json")
_LAST_BYTES = 8000


def own_environment() -> dict[str, str]:
    """The environment without the settings of the person who runs the tests."""
    return {name: value for name, value in environment().items() if not name.startswith(("DICOM_", "AzureWebJobs"))}


@dataclass(frozen=True, slots=True)
class Forked:
    """A forked host.

    Attributes:
        pid: of its process.
        log: what it prints.
        ending: where its exit code is once it has ended.
    """

    pid: int
    log: Path
    ending: Path

    def exit_code(self) -> int | None:
        """None while it runs."""
        text = self.ending.read_text() if self.ending.exists() else ""
        return int(text) if text.endswith("\n") else None

    def last_lines(self) -> str:
        """The end of what it has printed."""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - _LAST_BYTES))
            return file.read().decode(errors="replace")

    def stop(self, wait_seconds: float) -> None:
        """Ask it to end; after the wait, make it."""
        for number, wait in ((signal.SIGTERM, wait_seconds), (signal.SIGKILL, wait_seconds)):
            if self.exit_code() is not None:
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            until = time.monotonic() + wait
            while self.exit_code() is None and time.monotonic() < until:
                time.sleep(0.02)

    def kill(self) -> None:
        """End it at once, whatever it is doing."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


class _Forks:
    """The process that is forked. It ends, with all hosts that are left, when this process does."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._folder = tempfile.TemporaryDirectory(prefix="hosts-")
        self._count = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.nursery"],
            cwd=_ROOT,
            env=own_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def fork(self, arguments: Sequence[str], settings: Mapping[str, str]) -> Forked:
        """A host with these arguments and settings, as soon as it is a process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._turn:
            self._count += 1
            paths = [Path(self._folder.name) / f"{self._count}.{end}" for end in ("log", "exit")]
            paths[0].touch()
            order = {"arguments": list(arguments), "settings": dict(settings), "paths": [str(path) for path in paths]}
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        assert answer, "the process that is forked has ended"
        return Forked(int(answer), *paths)


@functools.cache
def _forks() -> _Forks:
    return _Forks()


def forked(arguments: Sequence[str], settings: Mapping[str, str]) -> Forked:
    """A local host.

    Args:
        arguments: of `python -m shared.dev.host`.
        settings: its environment beside that of this process.
    """
    return _forks().fork(arguments, settings)


@dataclass(frozen=True, slots=True)
class Newborn:
    """A host that serves.

    Attributes:
        url: its base, without a trailing slash.
        process: its process.
    """

    url: str
    process: Forked

    def kill(self) -> None:
        """End it at once, whatever it is doing."""
        self.process.kill()

    async def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        await asyncio.to_thread(self.process.stop, 15)
        assert self.process.exit_code() == 0, self.process.last_lines()


@dataclass(slots=True)
class Nursery:
    """Makes hosts with the same settings; those that are left at the end of the block are killed.

    Attributes:
        settings: on top of local.settings.sample.json.
        app: folder of function_app.py.
    """

    settings: Mapping[str, str]
    app: Path = _ROOT
    _born: list[Forked] = field(default_factory=list)

    async def __aenter__(self) -> Nursery:
        return self

    async def __aexit__(self, *_: object) -> None:
        for one in self._born:
            if one.exit_code() is None:
                one.kill()

    async def born(self) -> Newborn:
        """A new host, once it answers."""
        (port,) = ports.free_ports(1)
        arguments = ["--brief", "--port", str(port), "--app", str(self.app), "--settings", _SAMPLE]
        process = await asyncio.to_thread(forked, arguments, self.settings)
        self._born.append(process)
        made = Newborn(f"http://{ports.LOOPBACK}:{port}", process)
        # Its port is taken before it has read the app; the first answer comes when it serves.
        async with httpx.AsyncClient(base_url=made.url, timeout=_START_SECONDS, trust_env=False) as client:
            until = time.monotonic() + _START_SECONDS
            while True:
                with contextlib.suppress(httpx.TransportError):
                    assert (await client.get("/admin/host/status")).status_code == 200
                    return made
                assert process.exit_code() is None, f"the host did not start:\n{process.last_lines()}"
                assert time.monotonic() < until, f"the host does not serve:\n{process.last_lines()}"
                await asyncio.sleep(0.02)


def _main() -> int:
    # Nobody asks the system how a host ended; this has it forget the dead.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    routes.bind(manifest.load(_ROOT / "versions"), Settings())
    pids = []
    for line in sys.stdin:
        order = json.loads(line)
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.close(reading)
            return _watch(order, writing)
        os.close(writing)
        with os.fdopen(reading) as told:
            pids.append(int(told.readline()))
        print(pids[-1], flush=True)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return 0


def _watch(order: Mapping[str, list[str]], writing: int) -> int:
    """Fork the host, tell its number, and write down how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    log, ending = order["paths"]
    # The pipe is for the numbers of processes; what a host prints goes where it logs.
    printed = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        os.setsid()
        os.environ.update(order["settings"])  # type: ignore[arg-type]  # noqa: TID251 - a host reads its settings there
        return host.main(order["arguments"])
    os.write(writing, f"{pid}\n".encode())
    os.close(writing)
    _, status = os.waitpid(pid, 0)
    Path(ending).write_text(f"{os.waitstatus_to_exitcode(status)}\n")
    return 0


if __name__ == "__main__":
    code = _main()
    sys.stdout.flush()
    os._exit(code)
