"""What suites that write end with: the check of a whole store, over each account that they wrote to."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from shared.settings import Settings
from shared.storage.stores import open_stores

_PATIENCE_SECONDS = 5.0
"""How long work behind answers may take: blobs of deletes, and what a client that left has begun."""


def expect_whole(connection: str) -> None:
    """Fail when a store is broken, once it is quiet.

    Args:
        connection: of the account; nobody writes to it any more, but for what is finished behind answers.
    """
    # In a thread, because a running event loop is not disturbed there.
    with ThreadPoolExecutor(1) as pool:
        broken = pool.submit(asyncio.run, _broken(connection)).result()
    assert not broken, "\n".join(["the store is broken:", *broken])


async def _broken(connection: str) -> list[str]:
    """What is broken in all data partitions of an account, and stays so for a while."""
    stores = open_stores(Settings(storage_connection=connection))
    try:
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            broken = (await stores.fsck()).broken
            if not broken or time.monotonic() > until:
                return broken
            await asyncio.sleep(0.2)
    finally:
        await stores.close()
