"""Indexing what is stored by tags that are being added: the slices of that operation.

The tags come first; then everything that is stored is walked through; then filters of sealed segments are written anew,
which know nothing of the tags; then the tags are ready.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.dicom.attributes import Level
from shared.errors import Conflict, InvalidRequest
from shared.storage.keys import SHARDS
from shared.storage.operations import Operation, Progress
from shared.storage.stores import Stores
from shared.storage.tagchanges import NewTag
from shared.storage.tagset import TagEntry
from shared.storage.tagwalk import Place

LOCK = "reindex"
"""Only one operation at a time adds tags."""
_NEARLY = 99


def beginning(tags: Sequence[NewTag]) -> dict[str, Any]:
    """The state that an operation begins with."""
    return {"new": [[one.tag, one.vr, one.level.value, one.creator] for one in tags]}


async def step(operation: Operation, stores: Stores) -> Progress:
    """One slice. Doing it again from the same state changes nothing."""
    state = operation.state
    if "place" not in state:
        return await _install(operation, stores)
    entries = [entry for entry in (await stores.tags.load()).entries if entry.operation == operation.id]
    if not entries:
        return Progress(state, 100, done=True)
    if not Place(*state["place"]).through:
        return await _walk(state, entries, stores)
    if state["filters"] is not None:
        after: tuple[int, int, int] = tuple(state["filters"])
        return Progress({**state, "filters": await stores.tag_walk.filters(after, entries)}, _NEARLY)
    await stores.tags.finish(operation.id)
    return Progress(state, 100, done=True)


async def _install(operation: Operation, stores: Stores) -> Progress:
    new = [NewTag(tag, vr, Level(level), creator) for tag, vr, level, creator in operation.state["new"]]
    try:
        await stores.tags.install(operation.id, new)
    except (Conflict, InvalidRequest) as error:
        # Somebody else's operation was faster; whoever began this one was told so.
        return Progress(operation.state, failed=str(error))
    total = await stores.feed.last_number()
    return Progress({**operation.state, "place": [0, "", ""], "filters": [0, 0, 0], "seen": 0, "total": total}, 0)


async def _walk(state: Mapping[str, Any], entries: Sequence[TagEntry], stores: Stores) -> Progress:
    part = await stores.tag_walk.part(Place(*state["place"]), entries)
    if part.errors:
        await stores.tags.report(part.errors)
    seen = state["seen"] + part.instances
    place = part.place
    share = max(seen / max(state["total"], 1), place.shard / SHARDS)
    after = {**state, "place": [place.shard, place.partition, place.row], "seen": seen}
    return Progress(after, min(int(100 * share), _NEARLY))
