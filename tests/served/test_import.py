"""Import through the local host: its queue, its timer, workers that are killed, and a slide of two gigabytes."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from io import BytesIO

import httpx
import pytest
from azure.storage.blob import BlobBlock
from pydicom.uid import JPEG2000Lossless

from shared.dev.azurite import RunningAzurite
from shared.dev.bench import service as bench_service
from shared.dev.host.settings import environment
from shared.settings import Settings
from shared.storage.stores import Stores, open_stores
from shared.stow import importing
from shared.stow.notices import notice
from tests.support.azurite import running_azurite
from tests.support.clients import ANY_PARTS, Made, made, new_uid
from tests.support.files import synthetic_instance
from tests.support.imports import CONTAINER, DropBox
from tests.support.nursery import Nursery
from tests.support.served import served
from tests.support.storage import fresh_account

pytestmark = [pytest.mark.azurite, pytest.mark.served]

AT_ONCE = timedelta(0)
SWEEPS = 5
END_SECONDS = 120.0
MIB = 1024 * 1024


@contextlib.asynccontextmanager
async def opened(connection: str, **settings) -> AsyncIterator[Stores]:
    stores = open_stores(Settings(storage_connection=connection, **settings))
    try:
        yield stores
    finally:
        await stores.close()


async def tell(stores: Stores, path: str) -> None:
    """Put the message of an event into the queue."""
    await stores.queues.send(CONTAINER, notice(path, stores.dropped))


async def test_a_dropped_file_is_served_when_its_outcome_says_so(service, azurite):
    one, path = made(), f"served/{new_uid()}.dcm"
    async with (
        DropBox(azurite.connection_string) as box,
        opened(azurite.connection_string) as stores,
        httpx.AsyncClient(base_url=service.url, timeout=30, trust_env=False) as client,
    ):
        await box.drop(path, one.content)
        await tell(stores, path)
        assert (await box.ended(path))["status"] == "stored"
        answer = await client.get(f"/v2{one.path}", headers={"Accept": ANY_PARTS})
        assert answer.status_code == 200
        assert one.content in answer.content
        found = (await client.get(f"/v2/studies?StudyInstanceUID={one.study_uid}")).json()
        assert [each["0020000D"]["Value"] for each in found] == [[one.study_uid]]


@dataclass
class Dropper:
    """Drops files while workers die, and knows what has to become of each."""

    box: DropBox
    stores: Stores
    good: dict[str, Made] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)
    twice: list[tuple[str, str]] = field(default_factory=list)

    async def drop_some(self) -> None:
        """A few sound files, one that is none, and one under two names; not all of them are told of."""
        names = [f"{random.choice(['a', 'b/c'])}/{new_uid()}" for _ in range(6)]
        study, series = new_uid(), new_uid()
        for name in names[:3]:
            self.good[name] = made(study_uid=study, series_uid=series, pixel_bytes=random.choice([500, 300_000]))
            await self.box.drop(name, self.good[name].content)
        self.bad.append(names[3])
        await self.box.drop(names[3], b"x" * 1000)
        self.twice.append((names[4], names[5]))
        copied = made(study_uid=study, series_uid=series)
        for name in names[4:]:
            await self.box.drop(name, copied.content)
        for name in random.sample(names, 5):
            await tell(self.stores, name)


async def killed(times: int) -> None:
    account = fresh_account(running_azurite().connection_string)
    settings = {"DICOM_STORAGE": account, "AzureWebJobsStorage": account, "DICOM_LEASE_SECONDS": "1"}
    async with DropBox(account) as box, opened(account, lease_seconds=1) as stores, Nursery(settings) as nursery:
        dropper, at_work = Dropper(box, stores), 0
        for _ in range(times):
            host = await nursery.born()
            polling = asyncio.create_task(keep_polling(stores, host.url))
            await dropper.drop_some()
            await asyncio.sleep(random.uniform(0.0, 0.6))
            host.kill()
            at_work += bool(await box.left())
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)
        last = await nursery.born()
        polling = asyncio.create_task(keep_polling(stores, last.url))
        until = time.monotonic() + END_SECONDS
        while left := await box.left():
            assert time.monotonic() < until, (
                f"{len(left)} files are left: {[await box.outcome(name) for name in left[:3]]}"
            )
            await asyncio.sleep(0.2)
        polling.cancel()
        await last.stop()
        assert at_work >= times // 2
        await expect_all_told(dropper)
        await expect_whole(stores)
        expected = len(dropper.good) + len(dropper.twice)
        assert len(await box.stored()) == expected


async def expect_all_told(dropper: Dropper) -> None:
    """Every file has the outcome that it has to have, however often its workers died."""
    for name, one in dropper.good.items():
        outcome = await dropper.box.outcome(name)
        assert outcome is not None
        assert (outcome["status"], outcome["sopInstanceUID"]) == ("stored", one.sop_instance_uid), outcome
    for name in dropper.bad:
        outcome = await dropper.box.outcome(name)
        assert outcome is not None
        assert (outcome["status"], outcome["failureReason"]) == ("failed", 43264)
    for pair in dropper.twice:
        outcomes = [await dropper.box.outcome(name) or {} for name in pair]
        assert sorted(each["status"] for each in outcomes) == ["failed", "stored"]
        assert [each["failureReason"] for each in outcomes if each["status"] == "failed"] == [45070]


async def expect_whole(stores: Stores) -> None:
    for _ in range(SWEEPS):
        await stores.sweep.run(AT_ONCE, AT_ONCE)
        report = await stores.fsck()
        if not report.broken:
            break
        await asyncio.sleep(0.5)
    assert report.broken == []


async def keep_polling(stores: Stores, url: str) -> None:
    """Look for files that no worker has: once as the host's timer does, then from here, one look after the other."""
    with contextlib.suppress(httpx.TransportError):
        async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:
            answer = await client.post("/admin/functions/background_import_poll", json={})
            assert answer.status_code == 202, answer.text
    while True:
        await asyncio.sleep(0.5)
        await importing.poll(stores)


@pytest.mark.parametrize("times", [10, pytest.param(100, marks=pytest.mark.slow)])
async def test_imports_whose_workers_are_killed_store_each_file_once(times):
    await killed(times)


@pytest.mark.slow
@pytest.mark.parametrize(("mebibytes", "budget_mebibytes"), [(100, 64), (2048, 96)])
async def test_a_slide_goes_in_with_bounded_memory(tmp_path, mebibytes, budget_mebibytes, record_property):
    """On disk, or the emulator would hold it in memory."""
    with RunningAzurite(tmp_path, environment()) as azurite:
        connection = azurite.connection_string
        async with (
            served({"DICOM_STORAGE": connection, "AzureWebJobsStorage": connection}) as service,
            DropBox(connection) as box,
            opened(connection) as stores,
        ):
            await box.drop("small.dcm", made().content)
            await tell(stores, "small.dcm")
            await box.ended("small.dcm")
            sop_instance_uid = await drop_slide(box, "slide.dcm", mebibytes // 4)
            host = bench_service.Service(service.url, service.pid, connection)
            idle_bytes = host.rss_bytes()
            host.clear_peak()
            began, cpu = time.monotonic(), host.cpu_seconds()
            await tell(stores, "slide.dcm")
            outcome = await box.ended("slide.dcm", seconds=600)
            seconds, cpu = time.monotonic() - began, host.cpu_seconds() - cpu
            assert (outcome["status"], outcome["sopInstanceUID"], outcome["tries"]) == ("stored", sop_instance_uid, 1)
            peak = (host.peak_bytes() - idle_bytes) / MIB
            record_property(
                "import", f"{seconds:.1f} s, {cpu:.1f} s CPU, at most {peak:.1f} MiB above {idle_bytes / MIB:.0f}"
            )
            assert peak < budget_mebibytes
            await expect_last_frame(service.url, outcome, mebibytes // 4)


async def drop_slide(box: DropBox, path: str, frames: int) -> str:
    """A whole-slide image of so many frames of 4 MiB; gives its SOPInstanceUID."""
    uid = new_uid()
    small = synthetic_instance(
        sop_instance_uid=uid, transfer_syntax=JPEG2000Lossless, extra={"NumberOfFrames": str(frames)}
    )
    begin = b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff"
    header = small[: small.index(begin) + len(begin)] + b"\xfe\xff\x00\xe0" + bytes(4)
    frame = b"\xfe\xff\x00\xe0" + (4 * MIB - 8).to_bytes(4, "little") + frame_content(0)
    blob = box.container.get_blob_client(path)
    blocks = []
    for number, content in enumerate([header, *([frame] * frames), b"\xfe\xff\xdd\xe0" + bytes(4)]):
        blocks.append(f"{number:08d}")
        await blob.stage_block(blocks[-1], BytesIO(content), length=len(content))
    await blob.commit_block_list([BlobBlock(block_id=one) for one in blocks])
    return uid


def frame_content(_: int) -> bytes:
    """What looks like a JPEG 2000 codestream to whoever counts frames."""
    return b"\xff\x4f\xff\x51" + bytes(4 * MIB - 8 - 6) + b"\xff\xd9"


async def expect_last_frame(url: str, outcome: dict[str, str], frames: int) -> None:
    path = "studies/{studyInstanceUID}/series/{seriesInstanceUID}/instances/{sopInstanceUID}".format(**outcome)
    accept = "application/octet-stream; transfer-syntax=*"
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        answer = await client.get(f"/v2/{path}/frames/{frames}", headers={"Accept": accept})
    assert answer.status_code == 200, answer.text[:200]
    assert answer.content == frame_content(frames)
