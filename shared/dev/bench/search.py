"""What a search costs in calls, rows and time, and how that grows with the store."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from shared.behaviours import SearchReturnSet
from shared.dev.azurite import RunningAzurite
from shared.dev.bench.report import Figures, Progress, machine, middle, number
from shared.dev.host.settings import environment
from shared.dev.load import COMMON_NAME, DEFAULT, RARE_NAME, MadeStudy, load, made_study
from shared.dicom.attributes import Level
from shared.qido.query import Asked, Resource, parse
from shared.qido.results import wanted
from shared.settings import Settings
from shared.storage.account import account_of
from shared.storage.blobs import Blobs
from shared.storage.client import StorageClient
from shared.storage.hits import Hit
from shared.storage.instances import Instances
from shared.storage.search import Search
from shared.storage.stores import open_stores
from shared.storage.tables import Entity, Tables

SUMMARY = "calls, rows and time of searches in stores of different sizes"
HELP = """\
Loads tiny studies into an in-memory Azurite, and asks the same questions at each size, by a worker that has asked
before. A page has 100 hits with the short set of attributes.

  hits       how many the page has
  calls      calls to the table service
  rows       rows it gave back
  ms         time until the page is there: median
  growth     calls and rows at the largest size, as a multiple of those at the smallest

Azurite looks at every row of a table for every query, so its time grows with the store whatever is asked; calls and
rows are what the service itself needs, and what Azure would be paid for.
"""


class CountedTables(Tables):
    """Tables that count what is read."""

    calls = 0
    rows = 0

    async def get(self, table: str, partition: str, row: str, select: Sequence[str] = ()) -> Entity | None:
        """As the original."""
        self.calls += 1
        found = await super().get(table, partition, row, select)
        self.rows += found is not None
        return found

    async def pages(
        self, table: str, where: str, select: Sequence[str] = (), top: int = 1000, *, etags: bool = False
    ) -> AsyncIterator[list[Entity]]:
        """As the original."""
        async for page in super().pages(table, where, select, top, etags=etags):
            self.calls += 1
            self.rows += len(page)
            yield page


@dataclass(frozen=True, slots=True)
class Question:
    """A search.

    Attributes:
        name: for people.
        level: what is found.
        keys: what is asked, from a study that is stored.
        within: the lowest level of which the study's UID is in the path.
        fuzzy: whether names match by the beginnings of words.
        offset: hits to leave out.
    """

    name: str
    level: Level
    keys: Callable[[MadeStudy], Sequence[tuple[str, str]]]
    within: Level | None = None
    fuzzy: bool = False
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Cost:
    """What one search cost."""

    hits: int
    calls: int
    rows: int
    milliseconds: float


@dataclass(slots=True)
class Costs:
    """Costs of every question by size of the store."""

    by_size: dict[int, dict[str, Cost]] = field(default_factory=dict)


def _study(*keys: tuple[str, str]) -> Callable[[MadeStudy], Sequence[tuple[str, str]]]:
    return lambda _: keys


QUESTIONS = (
    Question("studies", Level.STUDY, _study()),
    Question("studies, offset 500", Level.STUDY, _study(), offset=500),
    Question("StudyInstanceUID", Level.STUDY, lambda one: [("StudyInstanceUID", one.study_uid)]),
    Question("PatientID, there", Level.STUDY, lambda one: [("PatientID", one.patient_id)]),
    Question("PatientID, not there", Level.STUDY, _study(("PatientID", "nobody"))),
    Question("AccessionNumber", Level.STUDY, lambda one: [("AccessionNumber", one.accession)]),
    Question("StudyDate, a week", Level.STUDY, _study(("StudyDate", "20100201-20100207"))),
    Question("StudyDate, open end", Level.STUDY, _study(("StudyDate", "20100101-"))),
    Question("name, common", Level.STUDY, _study(("PatientName", COMMON_NAME[:3])), fuzzy=True),
    Question("name, rare", Level.STUDY, _study(("PatientName", RARE_NAME[:5])), fuzzy=True),
    Question("modality and date", Level.STUDY, _study(("ModalitiesInStudy", "XA"), ("StudyDate", "20100101-20100331"))),
    Question("series, Modality", Level.SERIES, _study(("Modality", "CT"))),
    Question("series of a study", Level.SERIES, _study(), within=Level.STUDY),
    Question("instances of a study", Level.INSTANCE, _study(), within=Level.STUDY),
    Question("instances of a series", Level.INSTANCE, _study(), within=Level.SERIES),
    Question("SOPInstanceUID", Level.INSTANCE, lambda one: [("SOPInstanceUID", one.sop_instance_uid)]),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this benchmark."""
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000], help="studies (default: 1000 10000)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each question is timed (default: 5)")


def run(options: argparse.Namespace, progress: Progress) -> int:
    """Measure and print."""
    sizes = sorted(set(options.sizes))
    with RunningAzurite(None, environment()) as azurite:
        costs = asyncio.run(_measure(azurite.connection_string, sizes, options.rounds, progress))
    progress.done()
    print(_figures(costs, f"{machine()}; {options.rounds} rounds").text())
    return 0


async def _measure(connection: str, sizes: Sequence[int], rounds: int, progress: Progress) -> Costs:
    settings = Settings(storage_connection=connection)
    stores, client = open_stores(settings), StorageClient(account_of(settings))
    costs = Costs()
    loaded = 0
    try:
        for size in sizes:
            await load(stores, range(loaded, size), partial(_loading, progress, loaded, size))
            loaded = size
            tables = CountedTables(client)
            search = Search(tables, Instances(tables, Blobs(client, settings.container)))
            costs.by_size[size] = {}
            for question in QUESTIONS:
                progress.step(f"{size:,} studies: {question.name}")
                costs.by_size[size][question.name] = await _cost(search, tables, question, rounds)
    finally:
        await stores.close()
        await client.close()
    return costs


def _loading(progress: Progress, before: int, size: int, done: int) -> None:
    progress.step(f"{before + done:,} of {size:,} studies loaded")


async def _cost(search: Search, tables: CountedTables, question: Question, rounds: int) -> Cost:
    await _ask(search, question)
    times = []
    for _ in range(rounds):
        tables.calls = tables.rows = 0
        began = time.perf_counter()
        hits = await _ask(search, question)
        times.append((time.perf_counter() - began) * 1000)
    return Cost(len(hits), tables.calls, tables.rows, middle(times))


async def _ask(search: Search, question: Question) -> list[Hit]:
    # One of the first: as far from the newest as there is.
    study = made_study(123)
    asked = Asked(
        matching_keys=question.keys(study),
        fuzzy=question.fuzzy,
        offset=question.offset,
        study_uid=study.study_uid if question.within else "",
        series_uid=study.series_uid if question.within is Level.SERIES else "",
    )
    query = parse(Resource(question.level, question.within), asked)
    assert query.criteria is not None, "the questions are sensible"
    chosen = wanted(query, SearchReturnSet.LEAN)
    if question.level is Level.STUDY:
        return await search.studies(DEFAULT, query.criteria)
    if question.level is Level.SERIES:
        return await search.series(DEFAULT, query.criteria, with_study=chosen.of_study)
    return await search.instances(DEFAULT, query.criteria, with_study=chosen.of_study, with_metadata=chosen.of_instance)


def _figures(costs: Costs, where: str) -> Figures:
    sizes = list(costs.by_size)
    columns = ["search"]
    for size in sizes:
        columns += [f"{size:,}: hits", "calls", "rows", "ms"]
    rows = []
    for question in QUESTIONS:
        cells = [question.name]
        for size in sizes:
            cost = costs.by_size[size][question.name]
            cells += [f"{cost.hits}", f"{cost.calls}", f"{cost.rows:,}", number(cost.milliseconds)]
        least, most = (costs.by_size[size][question.name] for size in (sizes[0], sizes[-1]))
        cells += [f"{most.calls / least.calls:.1f}", f"{most.rows / max(least.rows, 1):.1f}"]
        rows.append(tuple(cells))
    return Figures(f"Searches by studies stored ({where})", (*columns, "calls grow", "rows grow"), tuple(rows))
