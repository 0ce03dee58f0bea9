"""What a worker leaves that dies in the middle, written into a store by the release whose folder is the working folder.

Run by file path, and importing nothing but `shared`: an older release has this folder's other modules in older forms.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

from shared.settings import Settings
from shared.storage.keys import main_table, study_partition
from shared.storage.stores import Stores, open_stores


class Died(Exception):
    """The worker ends here."""


async def seal(stores: Stores) -> None:
    """Close the first segment of both logs, each with its filter."""
    partition = await stores.partition("Microsoft.Default")
    for kind in ("log", "ser"):
        assert await stores.index.covering.log(kind, partition).seal(0)


async def leave(stores: Stores, study_uid: str) -> None:
    """A study delete that has written its first batch down, a seal without its filter, an event not appended."""
    partition = await stores.partition("Microsoft.Default")
    deletion = stores.deletion
    job = await deletion.jobs.begin(partition, study_uid)
    assert await deletion.emptying.shut_study(job)
    where = f"PartitionKey eq '{study_partition(0, study_uid)}' and blob ge ' '"
    rows = [row async for page in stores._tables.pages(main_table(study_uid), where) for row in page]
    await deletion.jobs.write_batch(job, 0, rows)
    log = stores.index.covering.log("ser", partition)

    async def build(*_: object) -> None:
        raise Died

    log._filters.build = build  # type: ignore[assignment, method-assign] # where the worker dies
    with suppress(Died):
        await log.seal(1)
    number = await stores.feed.last_number()
    block = (number - 1) // 1000
    assert await stores._tables.delete("feed", f"f~{block}", f"{number:019d}")


async def main(connection: str, *words: str) -> None:
    """Do one of the two: `seal`, or `leave` with a study."""
    stores = open_stores(Settings(storage_connection=connection))
    try:
        await (seal(stores) if words[0] == "seal" else leave(stores, words[1]))
    finally:
        await stores.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
