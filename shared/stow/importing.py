"""Import: dropped files are stored as a store request would, one at a time, by whoever gets a message about them.

A message is a hint: what is true of a file is in its record (docs/import.md). Everything here may be done again, by
several workers at once, with the effect of once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from shared.errors import StoreUnavailable, Superseded
from shared.storage.dropped import DroppedFile
from shared.storage.filerecords import FileRecord
from shared.storage.keys import ulid
from shared.storage.stores import Stores
from shared.stow.importwork import TRIED, ImportConduct, ImportFailed, ImportWork, gone, put_away
from shared.stow.notices import BadNotice, notice, paths_of

LOG = logging.getLogger(__name__)

MOST_QUEUED = 2000
"""A poll adds nothing to a queue as long as this."""
SETTLE = timedelta(seconds=30)
"""A file as young as this has an event on its way."""
_REPOST_LEASES = 5
_DOUBLINGS = 5
_AT_ONCE = 16


async def run(text: str, stores: Stores, conduct: ImportConduct) -> None:
    """Store the files that a message names.

    Args:
        text: the message. One that cannot be understood is dropped: it would not be so the next time.
        stores: the stores of this worker.
        conduct: how files are imported.

    Raises:
        StoreUnavailable: storage failed. The host shows the message again.
        ImportFailed: something else did. The host shows the message again.
    """
    failure: Exception | None = None
    for path in _paths(text, stores):
        try:
            await import_file(path, stores, conduct)
        except (StoreUnavailable, ImportFailed) as error:
            failure = error  # the other files of the message need not wait for this one
    if failure is not None:
        raise failure


def poison(text: str, stores: Stores) -> None:
    """Note a message that the host gave up. Only storage can have kept its files waiting; the poll will see to them."""
    for _ in _paths(text, stores):
        LOG.error("a message about a dropped file was given up; the file is left to the poll")


async def poll(stores: Stores, settle: timedelta | None = None) -> int:
    """Send messages about files that nobody seems to know of; gives their number.

    Args:
        stores: the stores of this worker.
        settle: files that are younger than this are passed over as long as nobody has begun with them.
    """
    queue, lease = stores.dropped.container, stores.file_records.lease
    young = datetime.now(UTC) - (min(SETTLE, lease) if settle is None else settle)
    if await stores.queues.length(queue) >= MOST_QUEUED:
        return 0
    now, gate = datetime.now(UTC), asyncio.Semaphore(_AT_ONCE)

    async def one(file: DroppedFile) -> bool:
        async with gate:
            known = await stores.file_records.find(file.path)
            if (known is None and file.modified > young) or not _is_due(file, known, now, lease):
                return False
            await stores.queues.send(queue, notice(file.path, stores.dropped))
            await stores.file_records.post(file, known)
            return True

    files = [file for file in await stores.dropped.listed() if not file.folder and file.complete(now)]
    return sum(await asyncio.gather(*(one(file) for file in files)))


async def import_file(path: str, stores: Stores, conduct: ImportConduct) -> None:
    """See to one file, unless another worker does, or it is not complete yet.

    Raises:
        StoreUnavailable: storage failed.
        ImportFailed: something else did.
    """
    now = datetime.now(UTC)
    file = await stores.dropped.find(path)
    if file is not None and (file.folder or not file.complete(now)):
        return
    known = await stores.file_records.find(path)
    if file is None:
        await _note_gone(known, now, stores)
        return
    if known is not None and known.is_of(file):
        if known.ended:
            await put_away(file, known, stores)
            return
        if known.held(now):
            return
    try:
        taken = await stores.file_records.take(file, known, ulid())
    except Superseded:
        return
    await ImportWork(stores, conduct, file, taken).run()


def _paths(text: str, stores: Stores) -> Sequence[str]:
    try:
        return paths_of(text, stores.dropped)
    except BadNotice:
        LOG.error("a message of the import queue cannot be understood and is dropped")  # noqa: TRY400  no trace: it may quote the message
        return []


async def _note_gone(known: FileRecord | None, now: datetime, stores: Stores) -> None:
    """Say of a file that is not there that it is gone, if nobody knows more of it."""
    if known is None or known.ended or known.held(now):
        return
    with contextlib.suppress(Superseded):
        await stores.file_records.end(gone(known))


def _is_due(file: DroppedFile, known: FileRecord | None, now: datetime, lease: timedelta) -> bool:
    """Whether a message about a file is called for: no worker has it, and none can be under way."""
    if known is None or not known.is_of(file):
        return True
    if known.held(now):
        return False
    since, wait = known.until or known.updated, lease
    if known.ended:
        wait *= _REPOST_LEASES  # it could not be put away
    if known.posted is not None and known.posted >= since:
        # That message may have many before it: a queue that is slow must not be filled with more of the same.
        since, wait = known.posted, lease * _REPOST_LEASES * 2 ** min(max(known.posts, 1) - 1, _DOUBLINGS)
    return now - since >= wait


__all__ = ["TRIED", "ImportConduct", "ImportFailed", "import_file", "poison", "poll", "run"]
