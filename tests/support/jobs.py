"""Background work in tests: messages worked off in this process, and workers that are killed at random."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue.aio import QueueClient

from shared.api import jobs
from shared.settings import Settings
from shared.storage.operationstore import QUEUE
from shared.storage.stores import Stores, open_stores
from tests.support.nursery import Nursery
from tests.support.served import ROOT

LEASE_SECONDS = 1
END_SECONDS = 90.0
SWEEPS = 5

Begin = Callable[[httpx.AsyncClient], Awaitable[str]]
"""Begins an operation over HTTP and gives its id."""


async def messages(connection: str, queue: str = QUEUE) -> list[str]:
    """Texts of the messages that a queue shows."""
    async with QueueClient.from_connection_string(connection, queue) as client:
        try:
            return [base64.b64decode(one.content).decode() for one in await client.peek_messages(max_messages=32)]
        except ResourceNotFoundError:
            return []


async def received(connection: str, queue: str = QUEUE) -> list[str]:
    """Take all messages out of a queue that it shows."""
    texts: list[str] = []
    async with QueueClient.from_connection_string(connection, queue) as client:
        with contextlib.suppress(ResourceNotFoundError):
            async for one in client.receive_messages(messages_per_page=32):
                texts.append(base64.b64decode(one.content).decode())
                await client.delete_message(one)
    return texts


async def worked_off(stores: Stores, connection: str, steps: jobs.Steps = jobs.STEPS, budget_seconds: float = 0) -> int:
    """Work off the queue until it is empty; gives how many messages there were. By default a message is one slice.

    Args:
        stores: of the worker.
        connection: of their account.
        steps: how each kind is worked on.
        budget_seconds: for each message.
    """
    count = 0
    while texts := await received(connection):
        for text in texts:
            await jobs.run(text, stores, steps, budget_seconds)
        count += len(texts)
    return count


class KilledWorkers:
    """Hosts that work in the background and are killed with SIGKILL, each at random, while others may go on.

    `stores` reach the same account from the test, until the last of them has ended.

    Args:
        account: connection string of a storage account that no other test uses.
        app: folder of function_app.py.
        settings: further settings of the hosts.
        seconds: the shortest and the longest life of a host once it is up.
    """

    def __init__(
        self,
        account: str,
        *,
        app: Path = ROOT,
        settings: Mapping[str, str] | None = None,
        seconds: tuple[float, float] = (0.1, 1.0),
    ) -> None:
        chosen = {
            "DICOM_STORAGE": account,
            "AzureWebJobsStorage": account,
            "DICOM_BACKGROUND": "on",
            "DICOM_LEASE_SECONDS": str(LEASE_SECONDS),
            **(settings or {}),
        }
        self._nursery = Nursery(chosen, app)
        self._seconds = seconds
        self._turn = asyncio.Lock()
        self.stores = open_stores(Settings(storage_connection=account, lease_seconds=LEASE_SECONDS))
        self.begun: list[str] = []
        self.kills = 0
        self.kills_at_work = 0

    async def run(self, times: int, begin: Begin, *, workers: int = 1) -> list[dict[str, Any]]:
        """Kill so many hosts while operations are under way, then let all operations end and check the whole store.

        Args:
            times: how many kills.
            begin: begins an operation; called again whenever all that were begun have ended.
            workers: how many hosts live at once.

        Returns:
            What clients of the newest version see of each operation.
        """
        try:
            async with self._nursery:
                await asyncio.gather(*(self._lives(times, begin) for _ in range(workers)))
                last = await self._nursery.born()
                async with _client(last.url) as client:
                    ended = [await self._ended(client, one) for one in self.begun]
                await last.stop()
            await self._whole()
        finally:
            await self.stores.close()
        return ended

    async def _lives(self, times: int, begin: Begin) -> None:
        while self.kills < times:
            self.kills += 1
            host = await self._nursery.born()
            async with _client(host.url) as client:
                async with self._turn:
                    if not await self._under_way():
                        self.begun.append(await begin(client))
                waking = asyncio.create_task(_keep_waking(client))
                await asyncio.sleep(random.uniform(*self._seconds))
                host.kill()
                self.kills_at_work += await self._under_way()
                waking.cancel()
                await asyncio.gather(waking, return_exceptions=True)

    async def _under_way(self) -> bool:
        last = await self.stores.operations.find(self.begun[-1]) if self.begun else None
        return last is not None and not last.finished

    async def _ended(self, client: httpx.AsyncClient, operation_id: str) -> dict[str, Any]:
        """Wait for the end of an operation."""
        until = time.monotonic() + END_SECONDS
        while (answer := await client.get(f"/v2/operations/{operation_id}")).status_code == 202:
            assert time.monotonic() < until, f"the operation does not end: {answer.text}"
            await wake(client)
            await asyncio.sleep(0.2)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def _whole(self) -> None:
        """Nothing is broken, once a sweep has finished what died with its worker."""
        for _ in range(SWEEPS):
            report = await self.stores.fsck()
            if not report.broken:
                return
            await self.stores.sweep.run(silent=_NONE, orphan_age=_NONE)
        assert (await self.stores.fsck()).broken == []


_NONE = timedelta(0)


def _client(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, timeout=30, trust_env=False)


async def wake(client: httpx.AsyncClient) -> None:
    """Run the timer function now that posts what was left lying."""
    answer = await client.post("/admin/functions/background_jobs_wake", json={})
    assert answer.status_code == 202, answer.text


async def _keep_waking(client: httpx.AsyncClient) -> None:
    with contextlib.suppress(httpx.TransportError):
        while True:
            await wake(client)
            await asyncio.sleep(0.25)


async def wait_for(client: httpx.AsyncClient, operation_id: str, root: str = "/v2") -> dict[str, Any]:
    """What a client sees of an operation when it has ended."""
    until = time.monotonic() + END_SECONDS
    while (answer := await client.get(f"{root}/operations/{operation_id}")).status_code == 202:
        assert time.monotonic() < until, f"the operation does not end: {answer.text}"
        await asyncio.sleep(0.1)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body
