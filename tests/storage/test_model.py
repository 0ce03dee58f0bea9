"""Random stores, deletes, stores again and searches against a plain model in memory: every search finds the same.

The same means: the same hits in the same order, on one page and over pages.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from shared.errors import NotFound
from shared.storage.conditions import any_modality, one_of
from shared.storage.hits import Criteria, Hit
from shared.storage.partitions import DataPartition
from shared.storage.stores import Stores
from tests.storage.made import store
from tests.support.storage import watched_stores

pytestmark = pytest.mark.azurite

MODALITIES = ("CT", "MR", "SR")
NAMES = ("Anna", "Annabel", "Bert")
FULL = 4
"""Rows of a segment here: few, so that searches go over many segments, and most of them sealed."""

_partitions = itertools.count(1)

# Few of each, so that steps meet: what is stored is stored again, and what is deleted was often the last.
STUDY, SERIES, INSTANCE = st.integers(0, 2), st.integers(0, 2), st.integers(0, 1)
STORES = st.tuples(
    st.just("store"), STUDY, SERIES, st.lists(INSTANCE, min_size=1, max_size=2, unique=True), st.sampled_from(NAMES)
)
# How far down to delete, and which of what is there; 0 is one that may not be there.
DELETES = st.tuples(st.just("delete"), st.sampled_from((0, 1, 2, 2)), st.integers(0, 9))
SEARCHES = st.tuples(st.just("search"))
STEPS = st.lists(st.one_of(STORES, STORES, DELETES, DELETES, SEARCHES), min_size=6, max_size=20)

Found = tuple[str, str, str]


@dataclass(frozen=True)
class Said:
    """What a search can tell of a study: its name in the index, that of its newest instance, and its modalities."""

    name: str
    newest: str
    series: frozenset[int]


@dataclass
class Study:
    """A study of the model.

    Attributes:
        series: per series, its instances with the number of the step that stored them, and the name that one gave.
        began: per series, the step that brought it.
        name: the latest that was stored, whatever was deleted since.
        newest: series and instance that were stored last, or what took their place.
        said: what was told of it when it got its place in the order.
        changed: the step that gave it that place.
    """

    series: dict[int, dict[int, tuple[int, str]]] = field(default_factory=dict)
    began: dict[int, int] = field(default_factory=dict)
    name: str = ""
    newest: tuple[int, int] = (0, 0)
    said: Said | None = None
    changed: int = 0

    def settle(self, step: int) -> None:
        """After a change: a study of which a search can tell something new is the newest one."""
        series, instance = self.newest
        if instance not in self.series.get(series, {}):
            # Of those that were stored at once, the first.
            every = [(-at, one, sop) for one, held in self.series.items() for sop, (at, _) in held.items()]
            _, *(series, instance) = min(every)
            self.newest = series, instance
        said = Said(self.name, self.series[series][instance][1], frozenset(self.series))
        if said != self.said:
            self.said, self.changed = said, step


@dataclass
class Model:
    """What is stored, as somebody would write it down on paper."""

    studies: dict[int, Study] = field(default_factory=dict)
    step: int = 0

    def store(self, number: int, series: int, instances: list[int], name: str) -> list[bool]:
        """For each instance whether it is new. Duplicates change nothing."""
        self.step += 1
        held = self.studies.get(number, Study()).series.get(series, {})
        new = [instance not in held for instance in instances]
        if any(new):
            study = self.studies.setdefault(number, Study())
            study.began.setdefault(series, self.step)
            for instance, is_new in zip(instances, new, strict=True):
                if is_new:
                    study.series.setdefault(series, {})[instance] = self.step, name
                    study.newest = series, instance
            study.name = name
            study.settle(self.step)
        return new

    def delete(self, number: int, *below: int) -> bool:
        """Whether there was anything to delete."""
        self.step += 1
        study = self.studies.get(number)
        if study is None:
            return False
        if below:
            held = study.series.get(below[0])
            if held is None or (len(below) == 2 and below[1] not in held):
                return False
            if len(below) == 2:
                del held[below[1]]
            if len(below) == 1 or not held:
                del study.series[below[0]], study.began[below[0]]
        if not below or not study.series:
            del self.studies[number]
        else:
            study.settle(self.step)
        return True

    def newest_first(self) -> list[tuple[int, Study]]:
        return sorted(self.studies.items(), key=lambda entry: -entry[1].changed)


def study_uid(study: int) -> str:
    return f"1.2.{study}"


def series_uid(series: int) -> str:
    return f"1.3.{series}"


def sop_uid(study: int, series: int, instance: int) -> str:
    return f"1.4.{study}.{series}.{instance}"


def studies_of(chosen: Iterable[tuple[int, Study]]) -> list[Found]:
    return [(study_uid(number), "", "") for number, _ in chosen]


def series_of(chosen: Iterable[tuple[int, Study]]) -> list[Found]:
    """Study by study, the newest series of each first."""
    return [
        (study_uid(number), series_uid(one), "")
        for number, study in chosen
        for one in sorted(study.series, key=lambda one: -study.began[one])
    ]


def instances_of(chosen: Iterable[tuple[int, Study]]) -> list[Found]:
    """Study by study, the newest instances of each first."""
    return [
        (study_uid(number), series_uid(one), sop_uid(number, one, sop))
        for number, study in chosen
        for _, one, sop in sorted(
            (-at, one, sop) for one, held in study.series.items() for sop, (at, _) in held.items()
        )
    ]


async def delete(stores: Stores, partition: DataPartition, study: int, *below: int) -> bool:
    uids = [study_uid(study), *(series_uid(one) for one in below[:1]), *(sop_uid(study, *below) for _ in below[1:])]
    work: Any = (stores.deletion.study, stores.deletion.series, stores.deletion.instance)[len(below)]
    try:
        await work(partition, *uids)
    except NotFound:
        return False
    return True


class Asked:
    """Searches of one data partition."""

    def __init__(self, stores: Stores, partition: DataPartition) -> None:
        self.search = stores.search
        self.partition = partition

    async def studies(self, criteria: Criteria) -> list[Hit]:
        return await self.search.studies(self.partition, criteria)

    async def series(self, criteria: Criteria) -> list[Hit]:
        return await self.search.series(self.partition, criteria, with_study=False)

    async def instances(self, criteria: Criteria) -> list[Hit]:
        return await self.search.instances(self.partition, criteria, with_study=False, with_metadata=True)


async def finds(ask: Callable[[Criteria], Awaitable[list[Hit]]], criteria: Criteria, expected: list[Found]) -> None:
    """A search finds what is expected, in that order."""
    hits = await ask(criteria)
    assert [(hit.study_uid, hit.series_uid, hit.sop_instance_uid) for hit in hits] == expected


async def pages(ask: Callable[[Criteria], Awaitable[list[Hit]]], expected: list[Found], limit: int) -> None:
    """Pages of a limit, one behind the other, are the whole; behind the last one there is nothing."""
    for offset in range(0, len(expected) + limit, limit):
        await finds(ask, Criteria(offset=offset, limit=limit), expected[offset : offset + limit])


async def agree(stores: Stores, partition: DataPartition, model: Model) -> None:
    """Every search finds what the model has."""
    asked, every = Asked(stores, partition), model.newest_first()
    newest_series = sorted(
        ((study.began[one], number, one) for number, study in every for one in study.series), reverse=True
    )
    all_series = [(study_uid(number), series_uid(one), "") for _, number, one in newest_series]
    await finds(asked.studies, Criteria(), studies_of(every))
    await finds(asked.series, Criteria(), all_series)
    await finds(asked.instances, Criteria(), instances_of(every))
    await pages(asked.studies, studies_of(every), 1)
    await pages(asked.series, all_series, 2)
    await pages(asked.instances, instances_of(every), 3)
    for name in NAMES:
        named = Criteria(study=(one_of("PatientName", [name.lower()]),))
        chosen = [entry for entry in every if entry[1].name == name]
        await finds(asked.studies, named, studies_of(chosen))
        await finds(asked.series, named, series_of(chosen))
    for place, modality in enumerate(MODALITIES):
        holding = Criteria(study=(any_modality([modality.lower()]),))
        chosen = [entry for entry in every if place in entry[1].series]
        await finds(asked.studies, holding, studies_of(chosen))
        of_kind = replace(holding, study=(), series=(one_of("Modality", [modality.lower()]),))
        await finds(asked.series, of_kind, [found for found in all_series if found[1] == series_uid(place)])
    for entry in every:
        within = Criteria(study_uids=frozenset({study_uid(entry[0])}))
        await finds(asked.instances, within, instances_of([entry]))
        await finds(asked.series, within, series_of([entry]))


async def check(stores: Stores, steps: list[tuple[Any, ...]]) -> None:
    partition = await stores.partition_or_new(f"example-{next(_partitions)}")
    stores.index.covering.log("log", partition)._rows = stores.index.covering.log("ser", partition)._rows = FULL
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
            there = [
                (number, one, sop)
                for number, of in model.studies.items()
                for one in of.series
                for sop in of.series[one]
            ]
            victim = sorted(there)[choice % len(there)] if choice and there else (0, 1, 0)
            below = victim[1 : 1 + depth]
            assert await delete(stores, partition, victim[0], *below) == model.delete(victim[0], *below)
        else:
            await agree(stores, partition, model)


# Without shrinking: a failure is told in seconds; its steps are few as they are.
QUIET = settings(
    deadline=None, suppress_health_check=list(HealthCheck), max_examples=10, phases=(Phase.reuse, Phase.generate)
)


@pytest.fixture
async def stores(azurite):
    """One store for all examples, each in a data partition of its own; whole at the end."""
    async with watched_stores(azurite.connection_string) as (opened, _):
        yield opened
        await opened.deletion.settled()
        assert (await opened.fsck()).broken == []


@pytest.mark.slow
@QUIET
@given(STEPS)
async def test_every_search_finds_what_a_plain_model_has(stores, steps):
    await check(stores, steps)


@pytest.mark.slow
@settings(parent=QUIET, max_examples=300)
@given(STEPS)
async def test_every_search_finds_what_a_plain_model_has_many_times(stores, steps):
    await check(stores, steps)
