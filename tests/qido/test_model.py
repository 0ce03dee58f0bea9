"""Random stores, deletes, stores again, searches and feeds through the front door, in all versions, against a model.

Every answer is compared: reports of stores, statuses of deletes, searches with their order, pages and return sets, what
is retrieved, and the change feed.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from shared.settings import Settings
from shared.storage.stores import Stores, open_stores
from shared.wire.dicomjson import dumps
from tests.qido.example import BEGINNINGS, FIELDS, VALUES, WRONG, Example
from tests.qido.model import Model
from tests.qido.tables import LEVELS, TAGGED, Question
from tests.support.clients import VERSIONS
from tests.support.front import Front
from tests.support.jobs import worked_off
from tests.support.storage import fresh_settings

pytestmark = pytest.mark.azurite

FULL = 4
"""Rows of a segment here: few, so that searches go over many segments, and most of them sealed."""

_partitions = itertools.count(1)

VERSION, ONE_OF_3 = st.sampled_from(VERSIONS), st.integers(0, 2)
ENTRY = st.tuples(ONE_OF_3, st.integers(0, 1), st.sampled_from((0, 0, 1, 1, 2, 2, WRONG)))
STORES = st.tuples(
    st.just("store"), VERSION, ONE_OF_3, st.lists(ENTRY, min_size=1, max_size=3, unique_by=lambda one: one[:2]),
    st.booleans(),
)  # fmt: skip
DELETES = st.tuples(st.just("delete"), VERSION, st.sampled_from((0, 1, 2, 2)), st.integers(0, 9))
# Most filters fit their resource; the others have to be refused.
SEARCHES = st.tuples(
    st.just("search"), VERSION, st.sampled_from(LEVELS), st.sampled_from((0, 0, 1, 2)), st.integers(0, 9),
    st.lists(st.sampled_from(sorted(VALUES)), max_size=2, unique=True), st.integers(0, 9),
    st.lists(st.sampled_from(sorted(FIELDS)), max_size=3, unique=True), st.sampled_from((False, False, True)),
    st.booleans(), st.integers(1, 3),
)  # fmt: skip
STEPS = st.lists(st.one_of(STORES, STORES, DELETES, SEARCHES, SEARCHES, SEARCHES), min_size=8, max_size=24)


def question(example: Example, drawn: tuple[Any, ...]) -> Question:
    """The search that was drawn; it looks within what is there, if it can."""
    level, depth, choice, keywords, which, fields, all_fields, fuzzy = drawn
    filters = [
        (one, (BEGINNINGS if fuzzy and one == "PatientName" else VALUES[one])[which % len(VALUES[one])])
        for one in keywords
    ]
    return Question(
        level=level,
        within=example.uids(choice)[: min(depth, LEVELS.index(level))],
        filters=tuple(filters),
        included=frozenset(FIELDS[name] for name in fields),
        all_fields=all_fields,
        fuzzy=fuzzy,
    )


async def check(stores: Stores, app: Settings, steps: list[tuple[Any, ...]]) -> None:
    name = f"example-{next(_partitions)}"
    partition = await stores.partition_or_new(name)
    stores.index.covering.log("log", partition)._rows = stores.index.covering.log("ser", partition)._rows = FULL
    front = Front(stores, app)
    before = await front.ask("GET", "/v2/changefeed/latest")
    example = Example(front, name, Model(), before.json() if before.status == 200 else None)
    for word, *arguments in steps:
        if word == "store":
            await example.store(*arguments)
        elif word == "delete":
            await example.delete(*arguments)
        else:
            version, *drawn, limit = arguments
            await example.search(version, question(example, tuple(drawn)), limit)
    await example.settled()


# Without shrinking: a failure is told in seconds; its steps are few as they are.
QUIET = settings(
    deadline=None, suppress_health_check=list(HealthCheck), max_examples=10, phases=(Phase.reuse, Phase.generate)
)


@pytest.fixture
async def service(azurite):
    """Stores for all examples, with the settings of their app; whole at the end."""
    app = fresh_settings(azurite.connection_string, data_partitions=True)
    stores = open_stores(app)
    try:
        tags = [{"path": keyword, "level": level} for level in LEVELS for keyword in TAGGED[level]]
        added = await Front(stores, app).ask(
            "POST", "/v2/extendedquerytags", dumps(tags), Content_Type="application/json"
        )
        assert added.status == 202
        await worked_off(stores, app.storage_connection)
        yield stores, app
        await stores.deletion.settled()
        assert (await stores.fsck()).broken == []
    finally:
        await stores.close()


@QUIET
@given(STEPS)
async def test_every_answer_of_every_version_is_what_a_plain_model_says(service, steps):
    stores, app = service
    await check(stores, app, steps)


@pytest.mark.slow
@settings(parent=QUIET, max_examples=250)
@given(STEPS)
async def test_every_answer_of_every_version_is_what_a_plain_model_says_many_times(service, steps):
    stores, app = service
    await check(stores, app, steps)
