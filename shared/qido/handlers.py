"""Search (QIDO-RS, PS3.18 §10.6): studies, series and instances, everywhere or within a study or a series."""

from __future__ import annotations

from shared.dicom.attributes import Level
from shared.qido.query import Asked, Resource, parse
from shared.qido.results import counted, dataset, wanted
from shared.storage.hits import Criteria, Hit
from shared.storage.partitions import DataPartition
from shared.storage.search import Search
from shared.storage.stores import Stores
from shared.wire.call import Call, Reply
from shared.wire.dicomjson import dumps

_NOTHING = Reply(204)


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
    query = parse(resource, _asked(call))
    partition = await stores.partition(call.partition)
    if query.criteria is None:
        return _NOTHING
    chosen = wanted(query, call.behaviours.search_return_set)
    search = stores.search
    hits = await _hits(
        search,
        partition,
        query.criteria,
        resource.level,
        with_study=chosen.of_study,
        with_metadata=chosen.of_instance,
    )
    if not hits:
        return _NOTHING
    counts = await search.count_instances(partition, counted(chosen, hits))
    assert call.choice is not None, "the row offers representations"
    return Reply(200, dumps([dataset(hit, chosen, counts) for hit in hits]), call.choice.media_type)


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
