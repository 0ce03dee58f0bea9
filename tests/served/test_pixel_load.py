"""Many at once: memory and event loop of a host of its own while frames are read, decoded and rendered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import httpx
import pytest

from shared.dev.bench.service import Service as Measured
from tests.support.clients import Made, naive_parts, store
from tests.support.images import decompressed, frames_of, many_frames, shipped
from tests.support.served import served

pytestmark = [pytest.mark.served, pytest.mark.azurite]

MIB = 1024 * 1024
BUDGET_BYTES = 256 * MIB
FRAMES = 2_000
AT_ONCE = 50
OCTETS = "application/octet-stream"
AS_STORED = f'multipart/related; type="{OCTETS}"; transfer-syntax=*'
NATIVE = f'multipart/related; type="{OCTETS}"'


@dataclass(frozen=True, slots=True)
class Loaded:
    """A host with two objects of 2,000 frames.

    Attributes:
        plane: 512 by 512 pixels of 16 bits in JPEG 2000, without anything else.
        enhanced: smaller frames, each with functional groups of its own.
        frames: of both, as they are stored, by SOPInstanceUID.
    """

    client: httpx.AsyncClient
    measured: Measured
    plane: Made
    enhanced: Made
    frames: dict[str, list[bytes]]


@pytest.fixture(scope="module")
async def loaded() -> AsyncIterator[Loaded]:
    (frame,) = frames_of(shipped("693_J2KI.dcm").content)
    plane, enhanced = shipped("693_J2KI.dcm", [frame] * FRAMES), many_frames(FRAMES)
    limits = httpx.Limits(max_connections=AT_ONCE + 10)
    async with (
        served() as host,
        httpx.AsyncClient(base_url=f"{host.url}/v2", timeout=120, trust_env=False, limits=limits) as client,
    ):
        for instance in (plane, enhanced):
            assert (await store(client, "", [instance.content])).status_code in (200, 202)
        frames = {one.sop_instance_uid: frames_of(one.content) for one in (plane, enhanced)}
        yield Loaded(client, Measured(host.url, host.pid, ""), plane, enhanced, frames)


async def get(loaded: Loaded, instance: Made, below: str, accept: str) -> bytes:
    answer = await loaded.client.get(f"{instance.path}/{below}", headers={"Accept": accept})
    assert answer.status_code == 200, answer.text
    return answer.content


Work = Callable[[Loaded, int], Awaitable[None]]


def numbers(place: int, count: int) -> list[int]:
    """Frames spread over the object, others for each place."""
    return [(place * 397 + step * 131) % FRAMES + 1 for step in range(count)]


async def as_stored(loaded: Loaded, place: int) -> None:
    wanted = numbers(place, 40)
    for instance in (loaded.plane, loaded.enhanced):
        content = await get(loaded, instance, f"frames/{','.join(map(str, wanted))}", AS_STORED)
        frames = loaded.frames[instance.sop_instance_uid]
        assert [part.content for part in naive_parts(content)] == [frames[number - 1] for number in wanted]


async def native(loaded: Loaded, place: int) -> None:
    wanted = numbers(place, 4)
    content = await get(loaded, loaded.plane, f"frames/{','.join(map(str, wanted))}", NATIVE)
    assert [len(part.content) for part in naive_parts(content)] == [512 * 512 * 2] * 4
    await get(loaded, loaded.enhanced, f"frames/{wanted[0]}", OCTETS)


async def rendered(loaded: Loaded, place: int) -> None:
    (wanted,) = numbers(place, 1)
    # Functional groups of 2,000 frames take their time to be read.
    for instance in (loaded.plane, loaded.enhanced) if place % 5 == 0 else (loaded.plane,):
        assert (await get(loaded, instance, f"frames/{wanted}/rendered", "image/jpeg")).startswith(b"\xff\xd8")


SLOWLY = pytest.mark.slow


@pytest.mark.parametrize(
    "work",
    [
        pytest.param(as_stored, id="as_stored", marks=SLOWLY),
        pytest.param(native, id="native"),
        pytest.param(rendered, id="rendered", marks=SLOWLY),
    ],
)
async def test_fifty_requests_at_once_take_little_memory(loaded: Loaded, work: Work) -> None:
    for warm_up in (as_stored, native, rendered):
        await warm_up(loaded, 1)
    await asyncio.sleep(0.3)
    idle_bytes = loaded.measured.rss_bytes()
    loaded.measured.clear_peak()
    await asyncio.gather(*(work(loaded, place) for place in range(AT_ONCE)))
    above_bytes = loaded.measured.peak_bytes() - idle_bytes
    assert above_bytes < BUDGET_BYTES


async def test_the_host_answers_others_while_pictures_are_rendered(loaded: Loaded) -> None:
    root = str(loaded.client.base_url).removesuffix("/v2/")
    async with httpx.AsyncClient(base_url=root, timeout=30, trust_env=False) as other:
        await other.get("/health/live")
        pictures = [asyncio.create_task(rendered(loaded, place)) for place in range(20)]
        waits = []
        while not all(task.done() for task in pictures):
            started = time.perf_counter()
            assert (await other.get("/health/live")).status_code == 200
            waits.append(time.perf_counter() - started)
            await asyncio.sleep(0.01)
        await asyncio.gather(*pictures)
    assert len(waits) >= 5
    assert sorted(waits)[len(waits) // 2] < 0.5
    assert max(waits) < 3


async def test_frames_from_the_end_are_right(loaded: Loaded) -> None:
    last = await get(loaded, loaded.enhanced, f"frames/{FRAMES}", OCTETS)
    assert last == decompressed(shipped("emri_small_jpeg_2k_lossless.dcm").content)[(FRAMES - 1) % 10]
