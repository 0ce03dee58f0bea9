"""Storage that goes away and comes back: 503 with Retry-After meanwhile, and the same process works again after."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from shared.dev import ports
from shared.dev.azurite import Azurite, RunningAzurite, connection_string
from shared.dev.host.settings import environment
from tests.support.clients import ANY_PARTS, DICOM_JSON, SUPPORTED, VERSIONS, made, related, related_type, store
from tests.support.served import Service, served

pytestmark = [pytest.mark.served, pytest.mark.azurite]

BLOB, TABLE = 0, 2


@dataclass
class Rig:
    """A host and a storage emulator that are this file's own.

    Attributes:
        data: the folder in which storage keeps its data between starts.
        azurite: the emulator while it runs.
    """

    service: Service
    client: httpx.AsyncClient
    data: Path
    ports: tuple[int, ...]
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    azurite: Azurite | None = None

    async def start(self) -> None:
        """Start the emulator on its ports, with what it has kept."""
        runner = RunningAzurite(self.data, environment(), self.ports)
        self.azurite = await asyncio.to_thread(self.stack.enter_context, runner)

    async def stop(self) -> None:
        """End the emulator so that it saves its data first: its table service does that for SIGINT only."""
        for child in self.azurite.children if self.azurite else ():
            if child.exit_code() is None:
                os.kill(child.pid, signal.SIGINT)
            for _ in range(500):
                if child.exit_code() is None:
                    await asyncio.sleep(0.02)
        await asyncio.to_thread(self.stack.close)
        self.azurite = None

    def kill(self, which: int) -> None:
        self.signal(which, signal.SIGKILL)

    def signal(self, which: int, number: signal.Signals) -> None:
        assert self.azurite is not None
        os.kill(self.azurite.children[which].pid, number)


@pytest.fixture(scope="module")
async def built(tmp_path_factory) -> AsyncIterator[Rig]:
    service_ports = ports.free_ports(3)
    connection = connection_string(service_ports)
    settings = {"DICOM_STORAGE": connection, "AzureWebJobsStorage": connection}
    async with (
        served(settings) as service,
        httpx.AsyncClient(base_url=service.url, timeout=90, trust_env=False) as client,
    ):
        rig = Rig(service, client, tmp_path_factory.mktemp("azurite"), service_ports)
        yield rig
        await rig.stop()


@pytest.fixture
async def rig(built: Rig) -> Rig:
    """The rig with all of its storage running, whatever the test before it did."""
    if built.azurite is None or built.azurite.dead():
        await built.stop()
        await built.start()
    return built


def unavailable(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["api-supported-versions"] == SUPPORTED
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "Traceback" not in answer.text


async def test_a_service_without_storage_says_so_and_works_again_when_storage_is_back(rig):
    client = rig.client
    kept, missed = made(), made()
    assert (await store(client, "/v2", [kept.content])).status_code == 200
    assert (await client.get("/health/ready")).status_code == 200
    await rig.stop()

    assert (await client.get("/health/live")).status_code == 200
    for path in ("/health/ready", "/health/check"):
        assert (await client.get(path)).status_code == 503
    for version in VERSIONS:
        unavailable(await store(client, f"/{version}", [missed.content]))
        for path in (kept.path, f"{kept.path}/metadata", f"/studies/{kept.study_uid}"):
            unavailable(await client.get(f"/{version}{path}", headers={"Accept": "*/*"}))
        # What needs no storage is answered as ever.
        assert (await client.get(f"/{version}/api.yaml")).status_code == 200
        assert (await client.get(f"/{version}/studies/abc")).status_code == 400

    await rig.start()
    assert (await client.get("/health/ready")).status_code == 200
    assert (await client.get("/health/check")).json()["overallStatus"] == "Healthy"
    for version in VERSIONS:
        answer = await client.get(f"/{version}{kept.path}", headers={"Accept": ANY_PARTS})
        assert kept.content in answer.content
        assert (await client.get(f"/{version}{missed.path}")).status_code == 404
    assert (await store(client, "/v2", [missed.content])).status_code == 200
    assert rig.service.process.exit_code() is None


@pytest.mark.parametrize(
    "which", [pytest.param(BLOB, id="blob"), pytest.param(TABLE, id="table", marks=pytest.mark.slow)]
)
async def test_one_of_the_two_services_is_enough_to_be_missed(rig, which):
    kept = made()
    assert (await store(rig.client, "/v2", [kept.content])).status_code == 200
    rig.kill(which)
    assert (await rig.client.get("/health/live")).status_code == 200
    assert (await rig.client.get("/health/ready")).status_code == 503
    unavailable(await store(rig.client, "/v2", [made().content]))
    unavailable(await rig.client.get(f"/v2{kept.path}", headers={"Accept": "*/*"}))
    metadata = await rig.client.get(f"/v2{kept.path}/metadata")
    # Metadata of an instance lies in its row alone.
    assert metadata.status_code == (200 if which == BLOB else 503)


async def test_storage_that_dies_during_an_upload_is_503_and_leaves_nothing(rig):
    assert (await store(rig.client, "/v2", [made().content])).status_code == 200
    instance = made(pixel_bytes=30_000_000)
    body = related([instance.content])

    async def pieces() -> AsyncIterator[bytes]:
        half = len(body) // 2
        yield body[:half]
        rig.kill(BLOB)
        yield body[half:]

    headers = {"Content-Type": related_type(), "Accept": DICOM_JSON}
    unavailable(await rig.client.post("/v2/studies", content=pieces(), headers=headers))
    await rig.stop()
    await rig.start()
    assert (await rig.client.get(f"/v2{instance.path}")).status_code == 404
    assert (await store(rig.client, "/v2", [instance.content])).status_code == 200


@pytest.mark.slow
async def test_storage_that_hangs_is_503_in_the_end_and_live_stays_live(rig):
    kept = made()
    assert (await store(rig.client, "/v2", [kept.content])).status_code == 200
    rig.signal(TABLE, signal.SIGSTOP)
    try:
        asking = asyncio.create_task(rig.client.get(f"/v2{kept.path}", headers={"Accept": "*/*"}))
        await asyncio.sleep(1)
        assert (await rig.client.get("/health/live")).status_code == 200
        unavailable(await asking)
    finally:
        rig.signal(TABLE, signal.SIGCONT)
    answer = await rig.client.get(f"/v2{kept.path}", headers={"Accept": ANY_PARTS})
    assert kept.content in answer.content
