"""The real service for golden requests: an emulator in memory and, for each version, a host with its own account."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from azure.storage.blob import ContainerClient

from shared.dev import azurite, ports
from shared.dev.contract.remarks import GateError
from shared.dev.host import settings
from shared.dev.processes import Child, Guard

EXPORTED_TO = "golden-export"
"""The container that requests may name."""
_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
_AZURITE_SERVICES = len(azurite.DEFAULT_PORTS)
# Settings of the person who runs this stay out of what is recorded.
_OWN_SETTINGS = ("DICOM_", "AzureWebJobs", "FUNCTIONS_", "AZURITE_")


@dataclass(frozen=True, slots=True)
class Serving:
    """A service that answers.

    Attributes:
        ports: by label.
        storage: address of the account that is exported to.
        destination: connection string that opens it.
    """

    ports: Mapping[str, int]
    storage: str
    destination: str


@contextlib.contextmanager
def serving(app: Path, labels: Sequence[str]) -> Iterator[Serving]:
    """Serve an app once for each label, every one with an empty store of its own.

    Raises:
        GateError: the emulator is not installed, or something does not start.
    """
    inherited = {name: value for name, value in settings.environment().items() if not name.startswith(_OWN_SETTINGS)}
    usual = dict(part.partition("=")[::2] for part in azurite.connection_string((1, 1, 1)).split(";"))
    accounts = [f"golden{number}" for number, _ in enumerate(labels)]
    declared = ";".join(f"{account}:{usual['AccountKey']}" for account in (usual["AccountName"], *accounts))
    places = ports.free_ports(_AZURITE_SERVICES)
    addresses = azurite.connection_string(places)
    connections = [addresses.replace(usual["AccountName"], account) for account in accounts]
    emulator = azurite.RunningAzurite(None, {**inherited, "AZURITE_ACCOUNTS": declared}, places)
    try:
        # The hosts first: they take longer to start, and need no storage before they are asked something.
        with _hosts(app, connections, inherited) as hosts, emulator:
            with ContainerClient.from_connection_string(addresses, EXPORTED_TO) as container:
                container.create_container()
            fields = dict(part.partition("=")[::2] for part in addresses.split(";"))
            yield Serving(dict(zip(labels, hosts.awaited(), strict=True)), fields["BlobEndpoint"], addresses)
    except (azurite.AzuriteError, ports.PortTaken) as error:
        raise GateError(f"golden requests need the storage emulator: {error}") from error


class _Hosts:
    """Hosts that are starting."""

    def __init__(self, process: Child, chosen: tuple[int, ...]) -> None:
        self._process = process
        self._ports = chosen

    def awaited(self) -> tuple[int, ...]:
        """Their ports, once all of them listen."""
        deadline = time.monotonic() + _START_SECONDS
        while not all(map(ports.answers, self._ports)):
            if self._process.exit_code() is not None or time.monotonic() > deadline:
                raise GateError(f"the service did not start:\n{self._process.last_lines()}")
            time.sleep(0.05)
        return self._ports


@contextlib.contextmanager
def _hosts(app: Path, connections: Sequence[str], environment: dict[str, str]) -> Iterator[_Hosts]:
    chosen = ports.free_ports(len(connections))
    command = [sys.executable, "-u", "-m", "shared.dev.golden.server", "--app", str(app)]
    for port, connection in zip(chosen, connections, strict=True):
        command += ["--serve", str(port), connection]
    process = Child("the local hosts", command, environment)
    guard = Guard(environment)
    guard.watch(process.pid)
    try:
        yield _Hosts(process, chosen)
    finally:
        process.stop(_STOP_SECONDS)
        guard.dismiss()
