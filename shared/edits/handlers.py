"""Delete (contract C4): studies, series, instances."""

from __future__ import annotations

from shared.storage.stores import Stores
from shared.wire.call import Call, Reply


async def delete_study(call: Call, stores: Stores) -> Reply:
    """Delete a study."""
    await stores.deletion.study(await stores.partition(call.partition), call.parameters["study_uid"])
    return Reply(204)


async def delete_series(call: Call, stores: Stores) -> Reply:
    """Delete a series."""
    partition, uids = await stores.partition(call.partition), call.parameters
    await stores.deletion.series(partition, uids["study_uid"], uids["series_uid"])
    return Reply(204)


async def delete_instance(call: Call, stores: Stores) -> Reply:
    """Delete an instance."""
    partition, uids = await stores.partition(call.partition), call.parameters
    await stores.deletion.instance(partition, uids["study_uid"], uids["series_uid"], uids["sop_instance_uid"])
    return Reply(204)
