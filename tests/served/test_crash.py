"""The service is killed at random points of stores and deletes; a sweep by another worker makes the store whole."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, field
from datetime import timedelta

import httpx
import pytest

from shared.errors import StoreUnavailable
from shared.settings import Settings
from shared.storage.stores import Stores, open_stores
from tests.storage.made import DEFAULT, store
from tests.support.clients import DICOM_JSON, Made, made, new_uid, related, related_type
from tests.support.nursery import Nursery
from tests.support.storage import fresh_account

pytestmark = [pytest.mark.served, pytest.mark.azurite]

AT_ONCE = timedelta(0)
SWEEPS = 5


@dataclass
class Study:
    """What one client knows of its own study.

    Attributes:
        held: instances whose store was acknowledged and that were not deleted since.
        perhaps: what is held if the request under way went through.
    """

    uid: str = field(default_factory=new_uid)
    series: tuple[str, str] = field(default_factory=lambda: (new_uid(), new_uid()))
    held: set[str] = field(default_factory=set)
    perhaps: set[str] = field(default_factory=set)
    series_of: dict[str, str] = field(default_factory=dict)

    def new_instances(self) -> list[Made]:
        """One to three instances of either series."""
        every = [
            made(study_uid=self.uid, series_uid=random.choice(self.series), columns=8)
            for _ in range(random.randint(1, 3))
        ]
        self.series_of |= {one.sop_instance_uid: one.series_uid for one in every}
        return every


async def keep_busy(client: httpx.AsyncClient, study: Study) -> None:
    """Store and delete until the connection breaks, one request after the other."""
    while True:
        study.perhaps = set(study.held)
        if study.held and random.random() < 0.35:
            victim = random.choice(sorted(study.held))
            series = study.series_of[victim]
            path, victims = random.choice(
                [
                    (f"/v2/studies/{study.uid}", set(study.held)),
                    (
                        f"/v2/studies/{study.uid}/series/{series}",
                        {one for one in study.held if study.series_of[one] == series},
                    ),
                    (f"/v2/studies/{study.uid}/series/{series}/instances/{victim}", {victim}),
                ]
            )
            study.perhaps -= victims
            answer = await client.delete(path)
            assert answer.status_code == 204, answer.text
        else:
            instances = study.new_instances()
            study.perhaps |= {one.sop_instance_uid for one in instances}
            headers = {"Content-Type": related_type(), "Accept": DICOM_JSON}
            body = related([one.content for one in instances])
            answer = await client.post("/v2/studies", content=body, headers=headers)
            assert answer.status_code == 200, answer.text
        study.held = study.perhaps


async def die_at_work(nursery: Nursery, studies: list[Study]) -> None:
    """Start the service, give it work, and kill it in the middle."""
    service = await nursery.born()
    async with httpx.AsyncClient(base_url=service.url, timeout=30, trust_env=False) as client:
        working = [asyncio.create_task(keep_busy(client, study)) for study in studies]
        await asyncio.sleep(random.uniform(0.15, 1.0))
        service.kill()
        endings = await asyncio.gather(*working, return_exceptions=True)
    for ending in endings:
        assert isinstance(ending, httpx.TransportError), ending


async def whole(stores: Stores) -> None:
    """Sweep until the store is whole.

    What a dead service sent last may still wait in the emulator and be carried out after a sweep has looked. A sweep
    that trusts nobody from the first moment, as only this test has it, meets that; the next one then tidies it up. An
    emulator that is busy with what the dead have sent may let a sweep wait too long; it is as good as one cut off.
    """
    broken = ["never swept"]
    for _ in range(SWEEPS):
        with contextlib.suppress(StoreUnavailable):
            await stores.sweep.run(AT_ONCE, AT_ONCE)
            broken = (await stores.fsck()).broken
        if not broken:
            break
        await asyncio.sleep(1)
    assert broken == []


async def check(stores: Stores, studies: list[Study]) -> None:
    """Sweep, then compare the store with what clients were told."""
    await whole(stores)
    for study in studies:
        pages = [page async for page in stores.instances.pages(DEFAULT, study.uid)]
        found = {one.sop_instance_uid: one for page in pages for one in page}
        assert found.keys() in (study.held, study.perhaps)
        for one in found.values():
            async with stores.instances.open(one) as opened:
                assert sum([len(chunk) async for chunk in opened.chunks]) == one.length_bytes
        study.held = set(found)


async def killed(azurite, times: int) -> None:
    account = fresh_account(azurite.connection_string)
    studies = [Study() for _ in range(4)]
    first = open_stores(Settings(storage_connection=account))
    # A sweep leaves blobs alone where nothing was ever stored, and the first kill may come before anything is.
    await store(first, new_uid(), [new_uid()])
    await first.close()
    async with Nursery({"DICOM_STORAGE": account, "DICOM_BACKGROUND": "off"}) as nursery:
        for _ in range(times):
            await die_at_work(nursery, studies)
            stores = open_stores(Settings(storage_connection=account))
            try:
                await check(stores, studies)
            finally:
                await stores.close()


async def test_a_service_killed_10_times_loses_nothing_it_acknowledged(azurite):
    await killed(azurite, 10)


@pytest.mark.slow
async def test_a_service_killed_300_times_loses_nothing_it_acknowledged(azurite):
    await killed(azurite, 300)
