"""What follows a store for extended query tags: the rows by which instances are found, and a look whether tags came.

A store indexes by the tags that there were when it began. A tag that is added is indexed by a walk through everything
that is stored. An instance that becomes visible behind that walk is not met by it; its store asks for the set's count
of additions after its transaction, and the count rose before the walk began. So one of the two sees the other: no
instance slips between them. What a dead store could not ask, the sweep asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from shared.storage.partitions import DataPartition
from shared.storage.postings import Posted, Postings
from shared.storage.tags import Tags


class TagFollower:
    """What this worker does behind the transactions of its stores.

    Attributes:
        catch_up: indexes a study by all tags that there are; set once all stores are open.
    """

    catch_up: Callable[[DataPartition, str], Awaitable[None]]

    def __init__(self, tags: Tags, postings: Postings) -> None:
        self._tags = tags
        self._postings = postings

    async def follow(self, partition: DataPartition, stored: Sequence[Posted]) -> bool:
        """Write the rows by which instances are found; True when a tag was added since they were indexed."""
        added, _ = await asyncio.gather(
            self._tags.added(), self._postings.insert(partition.number, [one for one in stored if one.said])
        )
        return any(one.tags_added < added for one in stored)
