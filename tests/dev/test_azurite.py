"""The emulator is started as three processes, keeps its data when told to, and does not outlive its parent."""

import os
import signal
import subprocess
import sys
import time

import pytest
from azure.storage.blob import BlobServiceClient

from shared.dev import ports
from shared.dev.azurite import AzuriteError, RunningAzurite, connection_string, expanded
from shared.dev.host.settings import environment
from shared.settings import Settings
from shared.storage.stores import open_stores
from tests.support.served import ROOT

pytestmark = pytest.mark.azurite

STARTER = """
import pathlib, sys, time
from shared.dev.azurite import RunningAzurite
from shared.dev.host.settings import environment
from shared.settings import Settings
from shared.storage.stores import open_stores
with RunningAzurite(None, environment()) as azurite:
    print(*azurite.ports, flush=True)
    time.sleep(60)
"""


def test_three_services_answer(azurite):
    assert len(set(azurite.ports)) == 3
    assert all(ports.answers(port) for port in azurite.ports)
    assert azurite.dead() is None


def test_data_in_a_folder_is_there_after_a_stop(tmp_path):
    folder = tmp_path / "a folder"
    with RunningAzurite(folder, environment()) as azurite:
        with pytest.raises(AzuriteError, match="another emulator is using"), RunningAzurite(folder, environment()):
            pass
        with BlobServiceClient.from_connection_string(azurite.connection_string) as client:
            client.create_container("kept")
        used = azurite.ports
    assert not any(ports.answers(port) for port in used)
    with (
        RunningAzurite(folder, environment()) as azurite,
        BlobServiceClient.from_connection_string(azurite.connection_string) as client,
    ):
        assert [each.name for each in client.list_containers()] == ["kept"]


async def test_rows_written_a_moment_before_the_stop_are_there_afterwards(tmp_path):
    """The table service saves by itself every few seconds only."""

    async def row(connection: str, *, write: bool) -> object:
        stores = open_stores(Settings(storage_connection=connection))
        try:
            if write:
                await stores._tables.put("kept", "partition", "row", {"value": 1})
            return await stores._tables.get("kept", "partition", "row", ("value",))
        finally:
            await stores.close()

    with RunningAzurite(tmp_path, environment()) as azurite:
        await row(azurite.connection_string, write=True)
    with RunningAzurite(tmp_path, environment()) as azurite:
        assert await row(azurite.connection_string, write=False) is not None


def test_it_ends_when_its_parent_is_killed():
    parent = subprocess.Popen([sys.executable, "-c", STARTER], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    with parent.stdout:
        used = [int(port) for port in parent.stdout.readline().split()]
    assert len(used) == 3
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while any(ports.answers(port) for port in used):
        assert time.monotonic() < deadline, "the emulator outlived its parent"
        time.sleep(0.05)


def test_a_taken_port_is_named(azurite):
    taken = azurite.ports[1]
    free = ports.free_ports(2)
    with (
        pytest.raises(ports.PortTaken, match=str(taken)),
        RunningAzurite(None, environment(), (free[0], taken, free[1])),
    ):
        pass


def test_the_short_form_of_the_connection_string_is_written_out():
    assert expanded("UseDevelopmentStorage=true;") == connection_string((10000, 10001, 10002))
    assert "QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1;" in expanded("usedevelopmentstorage=true")
    assert expanded("AccountName=other") == "AccountName=other"
