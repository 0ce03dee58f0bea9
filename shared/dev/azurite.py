"""The storage emulator: Azurite's three services, each a process and a port of its own, started and stopped as one."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from shared.dev import ports
from shared.dev.processes import Child, Guard
from shared.dev.repository import ROOT

_SERVICES = ("blob", "queue", "table")
DEFAULT_PORTS = (10000, 10001, 10002)
DEVELOPMENT_STORAGE = "UseDevelopmentStorage=true"
# The emulator's account and key are fixed and public.
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
_ATTEMPTS = 3


class AzuriteError(Exception):
    """The emulator cannot be started; the text says why."""


class EndedAtStart(AzuriteError):
    """A process of the emulator ended before it listened, as it does when its port is taken."""


def connection_string(service_ports: Sequence[int]) -> str:
    """How clients reach an emulator on these ports (blob, queue, table)."""
    endpoints = "".join(
        f"{service.capitalize()}Endpoint=http://{ports.LOOPBACK}:{port}/{_ACCOUNT};"
        for service, port in zip(_SERVICES, service_ports, strict=True)
    )
    return f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={_KEY};{endpoints}"


def expanded(connection: str) -> str:
    """A connection string with the short form of the emulator's written out."""
    if connection.strip().rstrip(";").lower() == DEVELOPMENT_STORAGE.lower():
        return connection_string(DEFAULT_PORTS)
    return connection


@dataclass(frozen=True, slots=True)
class Azurite:
    """A running emulator.

    Attributes:
        connection_string: for its clients.
        ports: of blob, queue and table.
        children: its processes, in the same order.
    """

    connection_string: str
    ports: tuple[int, ...]
    children: tuple[Child, ...]

    def dead(self) -> Child | None:
        """A process of it that has ended, if any."""
        return next((child for child in self.children if child.exit_code() is not None), None)


class RunningAzurite:
    """Starts the emulator on enter and stops it on exit; it also ends when this process is killed.

    Args:
        data: folder to keep the data in; None keeps it in memory.
        environment: for the processes.
        service_ports: three ports; None takes free ones.
    """

    def __init__(
        self, data: Path | None, environment: Mapping[str, str], service_ports: tuple[int, ...] | None = None
    ) -> None:
        self._data = data
        self._environment = environment
        self._ports = service_ports
        self._stack = ExitStack()

    def __enter__(self) -> Azurite:
        # Somebody may take a free port before the emulator does; then other ones are tried.
        for _ in range(_ATTEMPTS - 1 if self._ports is None else 0):
            with contextlib.suppress(EndedAtStart, ports.PortTaken):
                return self._cleanly()
        return self._cleanly()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _cleanly(self) -> Azurite:
        try:
            return self._start()
        except BaseException:
            self._stack.close()
            raise

    def _start(self) -> Azurite:
        if self._data is not None:
            self._data.mkdir(parents=True, exist_ok=True)
            self._stack.enter_context(_locked(self._data))
        service_ports = self._ports or ports.free_ports(len(_SERVICES))
        commands = [_command(service, port, self._data) for service, port in zip(_SERVICES, service_ports, strict=True)]
        taken = next((port for port in service_ports if not ports.is_free(port)), None)
        if taken is not None:
            raise ports.PortTaken(taken)
        guard = Guard(self._environment)
        self._stack.callback(guard.dismiss)
        children = []
        for service, command in zip(_SERVICES, commands, strict=True):
            # The table service saves what it holds on SIGINT and not on SIGTERM.
            child = Child(f"Azurite ({service})", command, self._environment, stop_signal=signal.SIGINT)
            self._stack.callback(child.stop, _STOP_SECONDS)
            guard.watch(child.pid)
            children.append(child)
        for child, port in zip(children, service_ports, strict=True):
            _wait(child, port)
        return Azurite(connection_string(service_ports), service_ports, tuple(children))


def _command(service: str, port: int, data: Path | None) -> list[str]:
    node = shutil.which("node")
    if node is None:
        raise AzuriteError("Node.js 20 or newer is needed to run Azurite, and no `node` is on the PATH")
    script = ROOT / "node_modules" / "azurite" / "dist" / "src" / service / "main.js"
    if not script.is_file():
        raise AzuriteError("Azurite is not installed; run `make setup`")
    place = ["--inMemoryPersistence"] if data is None else ["--location", str(data.resolve())]
    address = [f"--{service}Host", ports.LOOPBACK, f"--{service}Port", str(port)]
    return [node, str(script), *address, *place, "--skipApiVersionCheck", "--disableTelemetry", "--silent"]


def _wait(child: Child, port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not ports.answers(port):
        if child.exit_code() is not None:
            raise EndedAtStart(f"{child.name} ended at start:\n{child.last_lines()}")
        if time.monotonic() > deadline:
            raise AzuriteError(f"{child.name} did not listen on port {port} within {_START_SECONDS:.0f} s")
        time.sleep(0.05)


def _locked(folder: Path) -> IO[str]:
    """Two emulators on one folder would overwrite each other's data; the lock falls with its process."""
    lock = (folder / ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise AzuriteError(f"another emulator is using {folder}; choose another folder with DATA=…") from error
    return lock
