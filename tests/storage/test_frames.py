"""Single frames out of storage: the right bytes, and not many more of them read than they are."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import numpy
import pydicom
import pytest
from azure.core.rest import AsyncHttpResponse, HttpRequest
from pydicom.filebase import DicomBytesIO

from shared.errors import NotAcceptable, NotFound
from shared.storage import frames as frames_module
from shared.storage import framesources
from shared.storage.frames import StoredFrames
from shared.storage.pixelrows import FRAMES_SUFFIX
from shared.storage.rows import METADATA_SUFFIX
from shared.storage.stores import Stores, open_stores
from shared.stow.handlers import store_instances
from tests.storage.made import DEFAULT, DiesAfter, WorkerDied, blob_names, rows
from tests.storage.test_sweep import AT_ONCE, dead, two_workers
from tests.support.calls import call, multipart
from tests.support.files import shipped_file, synthetic_instance
from tests.support.pixels import (
    BIG,
    DEFLATED,
    END,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    PixelFile,
    file_of,
    frames_of,
    pixel_file,
    scan,
)
from tests.support.storage import WatchedTransport, fresh_settings

pytestmark = pytest.mark.azurite

UIDS = ("1.2.3", "1.2.3.4", "1.2.3.4.5")
MANY = 10_000
PADDING = b"\xfc\xff\xfc\xffOB\0\0\x06\0\0\0behind"


class Meter(WatchedTransport):
    """Counts the bytes of answers as well as the calls."""

    def __init__(self) -> None:
        super().__init__()
        self.received = 0
        self.sent: list[tuple[str, int]] = []

    async def send(self, request: HttpRequest, **options: object) -> AsyncHttpResponse:
        response = await super().send(request, **options)
        self.received += int(response.headers.get("Content-Length") or 0)
        self.sent.append((request.method, len(request.content or b"") if isinstance(request.content, bytes) else 0))
        return response

    def forget(self) -> None:
        super().forget()
        self.received = 0


@asynccontextmanager
async def metered(connection_string: str) -> AsyncIterator[tuple[Stores, Meter]]:
    transport = Meter()
    stores = open_stores(fresh_settings(connection_string), transport)
    try:
        yield stores, transport
    finally:
        await stores.close()
        await transport.close()


async def stored(stores: Stores, *files: bytes, status: int = 200) -> StoredFrames:
    """Store files; gives the frames of the last one."""
    body, headers = multipart(files)
    reply = await store_instances(call(body, headers=headers), stores)
    assert reply.status in (status, 202), reply.status
    dataset = pydicom.dcmread(DicomBytesIO(files[-1]), stop_before_pixels=True)
    uids = (str(dataset[tag].value) for tag in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"))
    return await stores.frames.find(DEFAULT, *uids)


async def frame_of(stores: Stores, found: StoredFrames, frame: int) -> bytes:
    return b"".join([chunk async for chunk in stores.frames.chunks(found, frame)])


async def all_frames(stores: Stores, found: StoredFrames) -> list[bytes]:
    return [await frame_of(stores, found, frame) for frame in range(1, found.count + 1)]


def image(number: int, size: int = 400) -> bytes:
    return number.to_bytes(4, "little") * ((size - 4) // 4) + b"\0\0" + END


def encapsulated(count: int, size: int = 400, **others: Any) -> PixelFile:
    fragments = [image(number, size) for number in range(1, count + 1)]
    return PixelFile(syntax=JPEG, frames=str(count), fragments=fragments, **others)


# ---- what it costs ----


async def test_frame_5000_of_10000_costs_its_row_a_page_of_the_table_and_itself(azurite):
    async with metered(azurite.connection_string) as (stores, transport):
        await stored(stores, file_of(encapsulated(MANY)))
        transport.forget()
        found = await stores.frames.find(DEFAULT, *UIDS)
        row_bytes = transport.received
        assert transport.calls == ["GET row main" + transport.calls[0][-2:]]
        assert found.count == MANY
        transport.forget()
        assert await frame_of(stores, found, 5000) == image(5000)
        assert transport.calls == ["GET blob", "GET blob"]
        assert transport.received <= 4096 + 8 + 400
        assert row_bytes < 1500
        transport.forget()
        assert await frame_of(stores, found, 5001) == image(5001)
        assert transport.calls == ["GET blob"]
        assert transport.received == 8 + 400


@pytest.mark.parametrize("count", [1, 2, 256, 257])
async def test_a_small_table_is_in_the_row(azurite, count):
    async with metered(azurite.connection_string) as (stores, transport):
        found = await stored(stores, file_of(encapsulated(count)))
        for frame in (1, count):
            transport.forget()
            assert await frame_of(stores, found, frame) == image(frame)
            assert len(transport.calls) == (1 if count <= 256 or frame > 1 else 2)
        assert len(await blob_names(stores)) == (1 if count <= 256 else 2)


@pytest.mark.parametrize("bits", [8, 1])
async def test_frame_5000_of_10000_native_ones_costs_its_row_and_itself(azurite, bits):
    rows_, columns = (20, 20) if bits == 8 else (37, 19)
    generator = numpy.random.default_rng(5)
    pixels = generator.integers(0, 256 if bits == 8 else 2, (MANY, rows_ * columns), dtype=numpy.uint8)
    flat = pixels if bits == 8 else numpy.packbits(pixels.ravel(), bitorder="little")
    data = pixel_file(value=flat.tobytes(), frames=str(MANY), geometry=(rows_, columns, 1, bits), vr="OB")
    async with metered(azurite.connection_string) as (stores, transport):
        await stored(stores, data)
        assert len(await blob_names(stores)) == 1
        transport.forget()
        found = await stores.frames.find(DEFAULT, *UIDS)
        assert len(transport.calls) == 1
        transport.forget()
        wanted = pixels[4999] if bits == 8 else numpy.packbits(pixels[4999], bitorder="little")
        assert await frame_of(stores, found, 5000) == wanted.tobytes()
        assert transport.calls == ["GET blob"]
        assert transport.received <= len(wanted.tobytes()) + 1
        assert await stores.frames.size_bytes(found, 5000) == len(wanted.tobytes())


async def test_storing_10000_frames_takes_one_blob_more_and_little_memory(azurite):
    data = file_of(encapsulated(MANY, 1000))
    async with metered(azurite.connection_string) as (stores, transport):
        await stored(stores, file_of(encapsulated(1, uids=("1.2.3", "1.2.3.4", "1.2.3.4.1"))))
        transport.forget()
        transport.sent.clear()
        await stored(stores, data)
        puts = [one for one in transport.calls if one.startswith("PUT blob")]
        blocks = -(-len(data) // (4 << 20))
        assert len(puts) == blocks + 1 + 1, puts  # blocks, their list, the table
        assert (8 * (MANY + 1)) in [size for _, size in transport.sent]
        names = await blob_names(stores)
        assert len([name for name in names if name.endswith(FRAMES_SUFFIX)]) == 1


async def test_memory_of_a_store_does_not_grow_with_the_frames(azurite):
    peaks = {}
    for count, size in ((10, 400_000), (10_000, 400)):
        data = file_of(encapsulated(count, size))
        async with metered(azurite.connection_string) as (stores, _):
            body, headers = multipart([data])
            del data
            tracemalloc.start()
            reply = await store_instances(call(body, headers=headers), stores)
            peaks[count] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert reply.status == 200
    assert peaks[10_000] < peaks[10] + 2_000_000, peaks


async def test_pages_of_tables_are_kept_within_bounds(azurite, monkeypatch):
    monkeypatch.setattr(framesources, "_PAGES_KEPT", 2)
    async with metered(azurite.connection_string) as (stores, transport):
        found = await stored(stores, file_of(encapsulated(2000, 8)))
        for frame, calls in ((1, 2), (511, 1), (512, 2), (1, 1), (1500, 2), (1400, 1), (512, 2), (1, 2)):
            transport.forget()
            assert len(await frame_of(stores, found, frame)) == 8
            assert len(transport.calls) == calls, frame


# ---- the right bytes ----

SHIPPED = [
    "CT_small.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "color3d_jpeg_baseline.dcm",
    "emri_small_RLE.dcm",
    "liver.dcm",
    "image_dfl.dcm",
    "JPEG2000-embedded-sequence-delimiter.dcm",
    "SC_ybr_full_422_uncompressed.dcm",
]


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.filterwarnings("ignore")
async def test_frames_of_shipped_files_come_back(azurite, name):
    content = shipped_file(name).read_bytes()
    dataset = pydicom.dcmread(DicomBytesIO(content))
    wanted = frames_of(content)
    if wanted is None:
        size = len(dataset.PixelData) // int(dataset.get("NumberOfFrames", 1))
        wanted = [dataset.PixelData[at : at + size] for at in range(0, len(dataset.PixelData), size)]
    async with metered(azurite.connection_string) as (stores, _):
        found = await stored(stores, content)
        assert found.keyword in dataset
        assert await all_frames(stores, found) == wanted
        assert found.pixel_bytes == len(dataset[found.keyword].value)


MADE = {
    "basic table": encapsulated(3, basic=(0, 408, 816)),
    "without table": encapsulated(3),
    "several fragments": PixelFile(
        syntax=JPEG, frames="2", fragments=[b"\1" * 70, image(1), b"\2" * 70, b"\2" * 70, image(2)]
    ),
    "empty fragment": PixelFile(syntax=JPEG, frames="3", fragments=[image(1), b"", image(2)]),
    "implicit": PixelFile(syntax=IMPLICIT, frames="3", value=bytes(range(48))),
    "turned pairs": PixelFile(syntax=BIG, frames="4", value=bytes(range(36)), geometry=(3, 3, 1, 8)),
    "bits": PixelFile(frames="5", value=bytes(range(14)), geometry=(3, 7, 1, 1), vr="OB"),
    "float": PixelFile(frames="2", value=bytes(range(128)), keyword="FloatPixelData", vr="OF", geometry=(4, 4, 1, 32)),
    "double float": PixelFile(
        frames="2", value=bytes(range(256)), keyword="DoubleFloatPixelData", vr="OD", geometry=(4, 4, 1, 64)
    ),
    "too short": PixelFile(frames="5", value=bytes(range(40))),
}


@pytest.mark.parametrize("kind", MADE)
async def test_frames_of_made_files_come_back(azurite, kind):
    content = file_of(MADE[kind])
    async with metered(azurite.connection_string) as (stores, _):
        found = await stored(stores, content)
        wanted = frames_of(content)
        assert wanted
        assert await all_frames(stores, found) == wanted
        sizes = [await stores.frames.size_bytes(found, frame) for frame in range(1, found.count + 1)]
        headers = {"several fragments": [16, 24]}.get(kind, [8] * len(wanted)) if found.encapsulated else [0] * 5
        assert sizes == [len(frame) + header for frame, header in zip(wanted, headers, strict=False)]


@pytest.mark.parametrize(
    "wanted",
    [
        PixelFile(frames="3", value=bytes(range(48)), syntax=DEFLATED, trailer=PADDING),
        PixelFile(frames="5", value=bytes(range(14)), geometry=(3, 7, 1, 1), vr="OB", syntax=DEFLATED),
        PixelFile(frames="2", value=bytes(range(256)) * 4000, geometry=(500, 1024, 1, 8), syntax=DEFLATED),
    ],
    ids=["bytes", "bits", "large"],
)
async def test_frames_of_a_deflated_file_come_back(azurite, wanted):
    as_if = PixelFile(**{name: getattr(wanted, name) for name in PixelFile.__slots__} | {"syntax": EXPLICIT})
    async with metered(azurite.connection_string) as (stores, _):
        found = await stored(stores, file_of(wanted))
        plain = file_of(as_if)
        assert found.header_bytes == -1
        assert await all_frames(stores, found) == frames_of(plain)
        pixels = scan(plain).pixels
        assert pixels is not None
        assert await stores.frames.header(found) == plain[: pixels.offset_bytes]
        assert await stores.frames.trailer(found) == wanted.trailer


async def test_a_deflated_frame_is_inflated_with_bounded_memory(azurite):
    value = zlib.compress(b"x", 0)[:2] * 30_000_000
    data = pixel_file(value=value, frames="3", geometry=(4000, 5000, 1, 8), syntax=DEFLATED)
    async with metered(azurite.connection_string) as (stores, _):
        found = await stored(stores, data)
        assert found.count == 3
        tracemalloc.start()
        size = 0
        async for chunk in stores.frames.chunks(found, 3):
            size += len(chunk)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert size == 20_000_000
        assert peak < 40_000_000


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG, JPEG])
async def test_header_pixels_and_trailer_are_the_file(azurite, syntax):
    native = syntax != JPEG
    trailer = b"" if syntax in (IMPLICIT, BIG) else PADDING
    made = (
        PixelFile(syntax=syntax, frames="3", value=bytes(range(48)), trailer=trailer)
        if native
        else encapsulated(300, trailer=trailer)
    )
    content = file_of(made)
    async with metered(azurite.connection_string) as (stores, _):
        found = await stored(stores, content)
        header, rest = await stores.frames.header(found), await stores.frames.trailer(found)
        assert (len(header), rest) == (found.header_bytes, trailer)
        assert content.startswith(header)
        end = len(content) - len(trailer) - (0 if native else 8)
        assert end - len(header) == found.pixel_bytes
        assert header.endswith(b"\xff" * 4) is not native


# ---- what is not there ----


async def test_frames_that_are_not_there_are_not_found(azurite):
    async with metered(azurite.connection_string) as (stores, _):
        found = await stored(stores, file_of(PixelFile(frames=str(2**31), value=bytes(range(40)))))
        assert found.count == 2
        for frame in (-1, 0, 3, 2**31, 2**70):
            with pytest.raises(NotFound, match="has 2 frames"):
                await frame_of(stores, found, frame)
            with pytest.raises(NotFound):
                await stores.frames.size_bytes(found, frame)
        with pytest.raises(NotFound):
            await stores.frames.find(DEFAULT, "1.2.3", "1.2.3.4", "1.2.3.4.6")


async def test_without_pixel_data_nothing_is_found(azurite):
    file = synthetic_instance(sop_instance_uid="1.2.9", extra={"PixelData": None})
    async with metered(azurite.connection_string) as (stores, _):
        found = await stored(stores, file)
        assert (found.count, found.has_pixels) == (0, False)
        for asking in (
            frame_of(stores, found, 1),
            stores.frames.size_bytes(found, 1),
            stores.frames.header(found),
            stores.frames.trailer(found),
        ):
            with pytest.raises(NotFound, match="no pixel data"):
                await asking


async def test_a_video_has_pixels_and_no_frames(azurite):
    file = PixelFile(syntax="1.2.840.10008.1.2.4.102", frames="40", fragments=[bytes(1000)])
    async with metered(azurite.connection_string) as (stores, _):
        found = await stored(stores, file_of(file))
        assert (found.count, found.has_pixels, found.encapsulated) == (0, True, True)
        with pytest.raises(NotFound):
            await frame_of(stores, found, 1)
        assert (await stores.frames.header(found)).endswith(b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff")


@pytest.mark.parametrize("count", [2, 300])
async def test_frames_of_a_deleted_instance_are_gone_with_their_table(azurite, count):
    async with metered(azurite.connection_string) as (stores, _):
        found = await stored(stores, file_of(encapsulated(count)))
        await stores.deletion.instance(DEFAULT, *UIDS)
        await stores.deletion.settled()
        assert await blob_names(stores) == []
        assert (await stores.fsck()).broken == []
        for asking in (frame_of(stores, found, 1), frame_of(stores, found, count), stores.frames.header(found)):
            with pytest.raises(NotFound):
                await asking


async def test_fsck_misses_a_table_that_is_gone_and_sees_one_too_many(azurite):
    async with metered(azurite.connection_string) as (stores, _):
        found = await stored(stores, file_of(encapsulated(300)))
        assert (await stores.fsck()).broken == []
        await stores._blobs.delete(found.instance.blob + FRAMES_SUFFIX)
        assert len((await stores.fsck()).broken) == 1
        await stores._blobs.put(found.instance.blob + FRAMES_SUFFIX, b"")
        await stores._blobs.put(found.instance.blob + METADATA_SUFFIX, b"")
        assert len((await stores.fsck()).broken) == 1


async def test_storing_again_leaves_no_second_table(azurite):
    async with metered(azurite.connection_string) as (stores, _):
        content = file_of(encapsulated(300))
        await stored(stores, content)
        body, headers = multipart([content])
        assert (await store_instances(call(body, headers=headers), stores)).status == 409
        assert len(await blob_names(stores)) == 2
        assert (await stores.fsck()).broken == []


@pytest.mark.slow
async def test_a_large_table_is_stored_or_undone_whenever_its_worker_dies(azurite):
    outcomes = set()
    body, headers = multipart([file_of(encapsulated(300))])
    for cut in range(40):
        async with two_workers(azurite.connection_string) as (dying, transport, living):
            transport.fault = DiesAfter(cut)
            with suppress(WorkerDied):
                await store_instances(call(body, headers=headers), dying)
            done = not transport.fault.died
            transport.fault = dead
            await living.sweep.run(AT_ONCE, AT_ONCE)
            assert (await living.fsck()).broken == []
            names = await blob_names(living)
            outcomes.add(len(names))
            if names:
                found = await living.frames.find(DEFAULT, *UIDS)
                assert await frame_of(living, found, 299) == image(299)
        if done:
            break
    assert done
    assert outcomes == {0, 2}


@pytest.mark.parametrize("kind", ["header", "trailer"])
@pytest.mark.parametrize("syntax", [EXPLICIT, DEFLATED])
async def test_more_than_fits_into_memory_around_the_pixels_is_not_read(azurite, monkeypatch, kind, syntax):
    monkeypatch.setattr(frames_module, "MAX_HEADER_BYTES", 100)
    file = PixelFile(
        frames="3", value=bytes(48), syntax=syntax, trailer=b"\xfc\xff\xfc\xffOB\0\0\xc8\0\0\0" + bytes(200)
    )
    async with metered(azurite.connection_string) as (stores, _):
        found = await stored(stores, file_of(file))
        with pytest.raises(NotAcceptable):
            await getattr(stores.frames, kind)(found)


# ---- rows from before ----


async def without_frame_columns(stores: Stores) -> None:
    """Make the one instance's row what it was before there were frames."""
    for number in range(16):
        table = f"main{number:02d}"
        for row in await rows(stores, table):
            if "blob" in row:
                kept = {name: value for name, value in row.items() if name not in ("frames", "starts")}
                place = str(kept.pop("PartitionKey")), str(kept.pop("RowKey"))
                kept = {name: value for name, value in kept.items() if not name.startswith(("odata", "Timestamp"))}
                await stores._tables.put(table, *place, kept)


@pytest.mark.parametrize("count", [3, 300])
async def test_a_row_from_before_is_read_by_scanning_its_file_once(azurite, count):
    async with metered(azurite.connection_string) as (stores, transport):
        new = await stored(stores, file_of(encapsulated(count, basic=[408 * place for place in range(count)])))
        await without_frame_columns(stores)
        transport.forget()
        old = await stores.frames.find(DEFAULT, *UIDS)
        assert len(transport.calls) == 2
        assert old == new
        assert await frame_of(stores, old, count) == image(count)
        transport.forget()
        again = await stores.frames.find(DEFAULT, *UIDS)
        assert await frame_of(stores, again, 2) == image(2)
        assert len(transport.calls) == 2


async def test_rows_from_before_know_native_and_deflated_frames(azurite):
    for syntax in (EXPLICIT, DEFLATED):
        async with metered(azurite.connection_string) as (stores, _):
            new = await stored(stores, file_of(PixelFile(syntax=syntax, frames="3", value=bytes(range(48)))))
            wanted = await all_frames(stores, new)
            await without_frame_columns(stores)
            old = await stores.frames.find(DEFAULT, *UIDS)
            assert old == new
            assert await all_frames(stores, old) == wanted


async def test_what_was_scanned_is_kept_within_bounds(azurite, monkeypatch):
    monkeypatch.setattr(framesources, "_SCANNED_STARTS_KEPT", 500)
    async with metered(azurite.connection_string) as (stores, transport):
        uids = [("1.2.3", "1.2.3.4", f"1.2.3.4.{number}") for number in range(3)]
        await stored(stores, *(file_of(encapsulated(300, uids=one)) for one in uids))
        await without_frame_columns(stores)
        for one in uids:
            transport.forget()
            await stores.frames.find(DEFAULT, *one)
            assert len(transport.calls) == 2
        for one, calls in ((uids[2], 1), (uids[0], 2)):
            transport.forget()
            await stores.frames.find(DEFAULT, *one)
            assert len(transport.calls) == calls
