"""How many calls to storage the transactions make, and how many of them one after the other.

The transport holds calls until nothing else moves and lets them go together, so serial depth is counted, not timed.
"""

from __future__ import annotations

from typing import Any

import pytest

from shared.dicom.attributes import Level
from shared.storage.keys import shard
from shared.storage.tagchanges import NewTag
from shared.stow.handlers import store_instances
from shared.wado.handlers import retrieve_instance, retrieve_series_metadata
from tests.support.calls import AS_STORED, bytes_of, call, multipart
from tests.support.files import synthetic_instance
from tests.support.storage import watched_stores

pytestmark = pytest.mark.azurite


def study_files(study: str, instances: int, series: int = 1) -> list[bytes]:
    return [
        synthetic_instance(
            study_uid=study, series_uid=f"{study}.{number % series}", sop_instance_uid=f"{study}.0.{number}"
        )
        for number in range(instances)
    ]


def known_shard(study: str) -> str:
    """Another study whose table exists once this one is stored: the 16 tables are made once in a store's life."""
    return next(other for number in range(1000) if shard(other := f"{study}.{number}") == shard(study))


async def stored(stores, files: list[bytes]) -> None:
    body, headers = multipart(files)
    reply = await store_instances(call(body, headers=headers), stores)
    assert reply.status == 200, await bytes_of(reply)


async def test_one_instance_into_a_new_study_is_three_round_trips_deep(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await stored(stores, study_files("1.2.1", 1))
        async with transport.holding():
            await stored(stores, study_files(known_shard("1.2.1"), 1))
        assert transport.rounds <= 3, transport.calls


async def test_twenty_instances_of_a_study_are_three_round_trips_deep_and_28_calls(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await stored(stores, study_files("1.2.1", 1))
        async with transport.holding():
            await stored(stores, study_files(known_shard("1.2.1"), 20))
        assert transport.rounds <= 3, transport.calls
        assert len(transport.calls) <= 28, transport.calls


async def test_more_instances_of_a_known_series_cost_a_put_each_and_six_calls(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        files = study_files("1.2.2", 40)
        await stored(stores, files[:20])
        async with transport.holding():
            await stored(stores, files[20:])
        assert transport.rounds <= 3, transport.calls
        # Two reads, one transaction, one feed append; and two looks at the set of extended query tags.
        assert len(transport.calls) <= 26, transport.calls


async def test_a_store_that_is_indexed_by_tags_is_three_round_trips_deep(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        new = [NewTag(0x00100040, "CS", Level.STUDY), NewTag(0x00200013, "IS", Level.INSTANCE)]
        await stores.tags.install("f" * 32, new)
        await stored(stores, study_files("1.2.1", 1))
        async with transport.holding():
            await stored(stores, study_files(known_shard("1.2.1"), 20))
        assert transport.rounds <= 3, transport.calls
        # As without tags, and one transaction for the instances of the tag of their level.
        assert len(transport.calls) <= 29, transport.calls
        assert any(call.startswith("transaction tag") for call in transport.calls)


async def test_retrieving_an_instance_is_two_calls(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        (content,) = study_files("1.2.2", 1)
        await stored(stores, [content])
        transport.forget()
        uids: dict[str, Any] = {"study_uid": "1.2.2", "series_uid": "1.2.2.0", "sop_instance_uid": "1.2.2.0.0"}
        reply = await retrieve_instance(call(choice=AS_STORED, **uids), stores)
        assert content in await bytes_of(reply)
        assert len(transport.calls) <= 2, transport.calls


async def test_metadata_of_a_series_of_300_is_two_calls_the_second_time(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await stored(stores, study_files("1.2.2", 300))
        uids: dict[str, Any] = {"study_uid": "1.2.2", "series_uid": "1.2.2.0"}
        first = await bytes_of(await retrieve_series_metadata(call(**uids), stores))
        await stores.packs.settled()
        transport.forget()
        second = await bytes_of(await retrieve_series_metadata(call(**uids), stores))
        assert first == second
        assert len(transport.calls) <= 2, transport.calls
