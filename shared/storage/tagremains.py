"""Deleting the rows by which extended query tags find instances.

Of many instances they go before the instances' own rows, once nobody can write to those any more. Of one instance they
go behind it, by what the job has written down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from shared.storage.deletejobs import Batch, DeleteJob, Victim
from shared.storage.keys import main_table, study_partition, uids_of_row
from shared.storage.postings import Posted, Postings
from shared.storage.tables import Tables
from shared.storage.tagrows import ALL_COLUMNS, POSTED

VICTIM_COLUMNS = (POSTED, *ALL_COLUMNS)
"""Properties of instance rows that say how tags find them."""

_AT_ONCE = 16


class TagRemains:
    """What is left of instances in the rows of tags, seen from one worker that deletes."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._postings = Postings(tables)

    async def drop(self, job: DeleteJob, victims: Sequence[Victim]) -> None:
        """Delete the rows of instances that the job knows."""
        posted = [Posted((job.study_uid, *uids_of_row(one.row)), one.posted, one.said) for one in victims if one.said]
        if posted:
            await self._postings.drop(job.partition.number, posted)

    async def drop_read(self, job: DeleteJob, batch: Batch) -> None:
        """Delete the rows of a batch that somebody else wrote down, as far as its instances are still there."""
        table, where = main_table(job.study_uid), study_partition(job.partition.number, job.study_uid)
        gate = asyncio.Semaphore(_AT_ONCE)

        async def read(victim: Victim) -> Victim | None:
            async with gate:
                row = await self._tables.get(table, where, victim.row, ("blob", "version", *VICTIM_COLUMNS))
            there = row is not None and row["blob"] == victim.blobs[0]
            return Victim.of({**(row or {}), "RowKey": victim.row}) if there else None

        await self.drop(job, [one for one in await asyncio.gather(*map(read, batch.victims)) if one is not None])
