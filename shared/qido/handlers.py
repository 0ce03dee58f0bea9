"""Search (QIDO-RS, PS3.18 §10.6): studies, series and instances, everywhere or within a study or a series."""

from __future__ import annotations

import asyncio

from shared.dicom.attributes import Level
from shared.errors import InvalidParameter
from shared.qido.query import Asked, Query, Resource, may_need_tags, parse
from shared.qido.results import counted, dataset, wanted
from shared.storage.hits import Criteria, Hit
from shared.storage.partitions import DataPartition
from shared.storage.search import Search
from shared.storage.stores import Stores
from shared.wire.call import Call, Reply
from shared.wire.dicomjson import dumps

_ERRONEOUS = "erroneous-dicom-attributes"


async def search_studies(call: Call, stores: Stores) -> Reply:
    """Studies."""
    return await _search(call, stores, Resource(Level.STUDY))


async def search_series(call: Call, stores: Stores) -> Reply:
    """Series of all studies."""
    return await _search(call, stores, Resource(Level.SERIES))


async def search_instances(call: Call, stores: Stores) -> Reply:
    """Instances of all studies."""
    return await _search(call, stores, Resource(Level.INSTANCE))


async def search_series_of_study(call: Call, stores: Stores) -> Reply:
    """Series of one study."""
    return await _search(call, stores, Resource(Level.SERIES, Level.STUDY))


async def search_instances_of_study(call: Call, stores: Stores) -> Reply:
    """Instances of one study."""
    return await _search(call, stores, Resource(Level.INSTANCE, Level.STUDY))


async def search_instances_of_series(call: Call, stores: Stores) -> Reply:
    """Instances of one series."""
    return await _search(call, stores, Resource(Level.INSTANCE, Level.SERIES))


async def _search(call: Call, stores: Stores, resource: Resource) -> Reply:
    partition = await stores.partition(call.partition)
    asked = _asked(call)
    if not may_need_tags(asked):
        return await _found(call, stores, partition, parse(resource, asked))
    # The tags that this worker knows are asked for while it searches by them: as a rule they are still so.
    known = await stores.tags.at_hand()
    looked = asyncio.create_task(stores.tags.current())
    try:
        reply = await _found(call, stores, partition, parse(resource, asked, known))
    except InvalidParameter:
        if (await looked).version == known.version:
            raise
    else:
        if (await looked).version == known.version:
            return reply
    finally:
        await asyncio.wait([looked])
    return await _found(call, stores, partition, parse(resource, asked, looked.result()))


async def _found(call: Call, stores: Stores, partition: DataPartition, query: Query) -> Reply:
    headers = ((_ERRONEOUS, ",".join(query.erroneous)),) if query.erroneous else ()
    if query.criteria is None:
        return Reply(204, headers=headers)
    chosen = wanted(query, call.behaviours.search_return_set)
    search = stores.search
    hits = await _hits(
        search,
        partition,
        query.criteria,
        query.resource.level,
        with_study=chosen.of_study,
        with_metadata=chosen.of_instance,
    )
    if not hits:
        return Reply(204, headers=headers)
    counts = await search.count_instances(partition, counted(chosen, hits))
    assert call.choice is not None, "the row offers representations"
    return Reply(200, dumps([dataset(hit, chosen, counts) for hit in hits]), call.choice.media_type, headers)


async def _hits(
    search: Search,
    partition: DataPartition,
    criteria: Criteria,
    level: Level,
    *,
    with_study: bool,
    with_metadata: bool,
) -> list[Hit]:
    if level is Level.STUDY:
        return await search.studies(partition, criteria)
    if level is Level.SERIES:
        return await search.series(partition, criteria, with_study=with_study)
    return await search.instances(partition, criteria, with_study=with_study, with_metadata=with_metadata)


def _asked(call: Call) -> Asked:
    parameters = call.parameters
    return Asked(
        matching_keys=parameters["matching_keys"],
        include_fields=parameters["include_fields"],
        fuzzy=parameters["fuzzy"],
        offset=parameters["offset"],
        limit=parameters["limit"],
        study_uid=parameters.get("study_uid", ""),
        series_uid=parameters.get("series_uid", ""),
    )
