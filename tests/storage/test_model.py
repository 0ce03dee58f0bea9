"""Random stores, deletes, stores again and searches against a plain model in memory: every search finds the same."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from shared.errors import NotFound
from shared.storage.conditions import any_modality, one_of
from shared.storage.hits import Criteria
from shared.storage.index import DataPartition
from shared.storage.stores import Stores
from tests.storage.made import store
from tests.support.storage import watched_stores

pytestmark = pytest.mark.azurite

MODALITIES = ("CT", "MR", "SR")
NAMES = ("Anna", "Annabel", "Bert")
_partitions = itertools.count(1)

# Few of each, so that steps meet: what is stored is stored again, and what is deleted was often the last.
STUDY, SERIES, INSTANCE = st.integers(0, 1), st.integers(0, 2), st.integers(0, 1)
STORES = st.tuples(
    st.just("store"), STUDY, SERIES, st.lists(INSTANCE, min_size=1, max_size=2, unique=True), st.sampled_from(NAMES)
)
# How far down to delete, and which of what is there; 0 is one that may not be there.
DELETES = st.tuples(st.just("delete"), st.sampled_from((0, 1, 2, 2)), st.integers(0, 9))
SEARCHES = st.tuples(st.just("search"))
STEPS = st.lists(st.one_of(STORES, STORES, DELETES, DELETES, SEARCHES), min_size=6, max_size=20)


@dataclass
class Model:
    """What is stored, as somebody would write it down on paper: studies, series in them, instances in those."""

    studies: dict[int, dict[int, set[int]]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)

    def store(self, study: int, series: int, instances: list[int], name: str) -> list[bool]:
        """For each instance whether it is new. The newest instance names the study, duplicates do not."""
        held = self.studies.setdefault(study, {}).setdefault(series, set())
        new = [instance not in held for instance in instances]
        held.update(instances)
        if any(new):
            self.names[study] = name
        return new

    def delete(self, study: int, *below: int) -> bool:
        """Whether there was anything to delete."""
        series = self.studies.get(study)
        if series is None:
            return False
        if not below:
            del self.studies[study]
            return True
        held = series.get(below[0])
        if held is None or (len(below) == 2 and below[1] not in held):
            return False
        if len(below) == 2:
            held.discard(below[1])
        if len(below) == 1 or not held:
            del series[below[0]]
        if not series:
            del self.studies[study]
        return True


def study_uid(study: int) -> str:
    return f"1.2.{study}"


def series_uid(series: int) -> str:
    return f"1.3.{series}"


def sop_uid(study: int, series: int, instance: int) -> str:
    return f"1.4.{study}.{series}.{instance}"


async def delete(stores: Stores, partition: DataPartition, study: int, *below: int) -> bool:
    uids = [study_uid(study), *(series_uid(one) for one in below[:1]), *(sop_uid(study, *below) for _ in below[1:])]
    work: Any = (stores.deletion.study, stores.deletion.series, stores.deletion.instance)[len(below)]
    try:
        await work(partition, *uids)
    except NotFound:
        return False
    return True


async def agree(stores: Stores, partition: DataPartition, model: Model) -> None:
    """Every search finds what the model has."""

    async def found(criteria: Criteria) -> list[str]:
        return [hit.study_uid for hit in await stores.search.studies(partition, criteria)]

    def expected(*chosen: int) -> list[str]:
        return sorted(study_uid(study) for study in chosen)

    everything = await found(Criteria())
    assert sorted(everything) == expected(*model.studies)
    for name in NAMES:
        same = [study for study in model.studies if model.names[study] == name]
        assert sorted(await found(Criteria(study=(one_of("PatientName", [name.lower()]),)))) == expected(*same)
    for modality in ("ct", "mr", "sr"):
        having = [
            study
            for study, series in model.studies.items()
            if any(MODALITIES[one].lower() == modality for one in series)
        ]
        assert sorted(await found(Criteria(study=(any_modality([modality]),)))) == expected(*having)
    pages = [await found(Criteria(offset=offset, limit=1)) for offset in range(len(model.studies) + 1)]
    assert [uid for page in pages for uid in page] == everything
    for study, series in model.studies.items():
        named = Criteria(study_uids=frozenset({study_uid(study)}))
        hits = await stores.search.instances(partition, named, with_study=False, with_metadata=True)
        assert {(hit.series_uid, hit.sop_instance_uid) for hit in hits} == {
            (series_uid(one), sop_uid(study, one, instance)) for one, held in series.items() for instance in held
        }
        assert all(hit.metadata is not None for hit in hits)
        below = await stores.search.series(partition, named, with_study=False)
        assert {hit.series_uid for hit in below} == {series_uid(one) for one in series}


async def check(stores: Stores, steps: list[tuple[Any, ...]]) -> None:
    partition = await stores.partition_or_new(f"example-{next(_partitions)}")
    model = Model()
    for word, *arguments in [*steps, ("search",)]:
        if word == "store":
            study, series, instances, name = arguments
            sops = [sop_uid(study, series, instance) for instance in instances]
            done = await store(
                stores, study_uid(study), sops,
                series=series_uid(series), name=name, modality=MODALITIES[series], partition=partition,
            )  # fmt: skip
            assert done == model.store(*arguments)
        elif word == "delete":
            depth, choice = arguments
            there = [(study, one, sop) for study, held in model.studies.items() for one in held for sop in held[one]]
            victim = sorted(there)[choice % len(there)] if choice and there else (0, 1, 0)
            below = victim[1 : 1 + depth]
            assert await delete(stores, partition, victim[0], *below) == model.delete(victim[0], *below)
        else:
            await agree(stores, partition, model)


# Without shrinking: a failure is told in seconds; its steps are few as they are.
QUIET = settings(
    deadline=None, suppress_health_check=list(HealthCheck), max_examples=30, phases=(Phase.reuse, Phase.generate)
)


@pytest.fixture
async def stores(azurite):
    """One store for all examples, each in a data partition of its own; whole at the end."""
    async with watched_stores(azurite.connection_string) as (opened, _):
        yield opened
        await opened.deletion.settled()
        assert (await opened.fsck()).broken == []


@QUIET
@given(STEPS)
async def test_every_search_finds_what_a_plain_model_has(stores, steps):
    await check(stores, steps)


@pytest.mark.slow
@settings(parent=QUIET, max_examples=300)
@given(STEPS)
async def test_every_search_finds_what_a_plain_model_has_many_times(stores, steps):
    await check(stores, steps)
