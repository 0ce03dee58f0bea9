"""Metadata of studies, series and instances (PS3.18 §10.4.1.1.2), with ETags and finished packs for series."""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack

from shared.storage.partitions import DataPartition
from shared.storage.stores import Stores
from shared.wado.instances import wants_original
from shared.wire.call import Call, Reply
from shared.wire.encoding import accepts_gzip

_PACK_FROM = 8
"""A series of fewer instances is read as fast from its rows."""

_PACK_BYTES = 16 * 1024 * 1024
"""A longer pack is not kept in memory while it is made; such a series is read from its rows every time."""

_GZIP = 31  # zlib's word for "with a gzip header"
_VARY = ("Vary", "Accept, Accept-Encoding, msdicom-request-original")


async def of_instance(call: Call, stores: Stores) -> Reply:
    """Metadata of one instance."""
    partition = await stores.partition(call.partition)
    uids = (call.parameters["study_uid"], call.parameters["series_uid"], call.parameters["sop_instance_uid"])
    found = await stores.instances.metadata(partition, *uids, original=wants_original(call))
    return _unchanged(call, found.version) or _reply(call, found.version, b"[" + found.json + b"]")


async def of_study(call: Call, stores: Stores) -> Reply:
    """Metadata of all instances of a study."""
    partition, study_uid = await stores.partition(call.partition), call.parameters["study_uid"]
    version = await stores.instances.study_version(partition, study_uid)
    unchanged = _unchanged(call, version)
    if unchanged is not None:
        return unchanged
    pages = stores.instances.metadata_pages(partition, study_uid, original=wants_original(call))
    return _reply(call, version, _array(pages))


async def of_series(call: Call, stores: Stores) -> Reply:
    """Metadata of all instances of a series: from its pack when there is one, else from its rows."""
    partition = await stores.partition(call.partition)
    uids = (call.parameters["study_uid"], call.parameters["series_uid"])
    version = await stores.instances.series_version(partition, *uids)
    unchanged = _unchanged(call, version)
    if unchanged is not None:
        return unchanged
    if wants_original(call):
        return _reply(call, version, _array(stores.instances.metadata_pages(partition, *uids, original=True)))
    zipped = accepts_gzip(call.headers.joined("Accept-Encoding"))
    async with AsyncExitStack() as stack:
        pack = await stack.enter_async_context(stores.packs.open(partition, *uids, version))
        if pack is not None:
            chunks = pack.chunks if zipped else _unzipped(pack.chunks)
            body = _closing(chunks, stack.pop_all())
            return _reply(call, version, body, zipped=zipped)
    return _reply(call, version, _packing(stores, partition, uids, version))


async def _packing(
    stores: Stores, partition: DataPartition, uids: tuple[str, str], version: int
) -> AsyncGenerator[bytes, None]:
    """The series from its rows; once it has all been read, its pack is written for the next reader."""
    pack = _Pack()
    async for chunk in _array(stores.instances.metadata_pages(partition, *uids), pack.count):
        pack.add(chunk)
        yield chunk
    content = pack.content()

    async def still_current() -> bool:
        # Rows may have been added while they were read: the pack would hold more than its version says.
        return await stores.instances.series_version(partition, *uids) == version

    if content is not None:
        stores.packs.write_behind(partition, *uids, version, content, still_current)


class _Pack:
    """A pack in the making."""

    def __init__(self) -> None:
        self._zip = zlib.compressobj(level=6, wbits=_GZIP)
        self._parts: list[bytes] = []
        self._bytes = 0
        self._instances = 0

    def count(self, instances: int) -> None:
        self._instances += instances

    def add(self, chunk: bytes) -> None:
        if self._bytes > _PACK_BYTES:
            self._parts.clear()
            return
        packed = self._zip.compress(chunk)
        self._bytes += len(packed)
        self._parts.append(packed)

    def content(self) -> bytes | None:
        if self._instances < _PACK_FROM or self._bytes > _PACK_BYTES:
            return None
        return b"".join([*self._parts, self._zip.flush()])


async def _array(
    pages: AsyncIterator[list[bytes]], count: Callable[[int], None] = lambda _: None
) -> AsyncGenerator[bytes, None]:
    opening = b"["
    async for page in pages:
        count(len(page))
        yield opening + b",".join(page)
        opening = b","
    yield b"[]" if opening == b"[" else b"]"


async def _closing(chunks: AsyncIterator[bytes], stack: AsyncExitStack) -> AsyncGenerator[bytes, None]:
    async with stack:
        async for chunk in chunks:
            yield chunk


async def _unzipped(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    unzip = zlib.decompressobj(wbits=_GZIP)
    async for chunk in chunks:
        plain = unzip.decompress(chunk)
        if plain:
            yield plain


def _unchanged(call: Call, version: int) -> Reply | None:
    """304 when the client has this version (RFC 9110 §13.1.2); lists, quotes, weak tags and `*` are understood."""
    text = call.parameters.get("if_none_match")
    if not text:
        return None
    tags = {tag.strip().removeprefix("W/").strip('"') for tag in text.split(",")}
    current = _tag(call, version)
    # Caches need both again (RFC 9110 §15.4.5).
    return Reply(304, headers=(("ETag", current), _VARY)) if tags & {current, "*"} else None


def _reply(call: Call, version: int, body: bytes | AsyncIterator[bytes], *, zipped: bool = False) -> Reply:
    # Clients of the original compare the tag as bare text, so it is not quoted (contract E35).
    headers = [("ETag", _tag(call, version)), _VARY]
    if zipped:
        headers.append(("Content-Encoding", "gzip"))
    assert call.choice is not None, "the row offers representations"
    return Reply(200, body, call.choice.media_type, tuple(headers))


def _tag(call: Call, version: int) -> str:
    """The ETag; what an update has replaced is another representation of the same resource."""
    return f"{version}-original" if wants_original(call) else str(version)
