"""Searches over real storage: against a plain model of what is stored, and by the calls that they make."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

import pytest

from shared.qido.handlers import search_instances, search_series, search_studies
from shared.stow.handlers import store_instances
from tests.support.calls import bytes_of, call, multipart
from tests.support.files import synthetic_instance
from tests.support.storage import watched_stores

pytestmark = pytest.mark.azurite

NAMES = (
    "Doe^John",
    "Doe^Jane",
    "Do^Johnny",
    "M\u00fcller^J\u00f6rg",
    "O'Brien^\u00c9lodie",
    "Van Der Berg^Anna Maria^B^Dr^Jr",
)
MODALITIES = ("CT", "MR", "US")
SEED = 20240229
STUDIES = 40
QUERIES = 60


@dataclass(frozen=True, slots=True)
class Study:
    """A study of the model; its series have one instance each."""

    uid: str
    name: str
    patient_id: str
    accession: str
    day: str
    modalities: tuple[str, ...]


def random_study(chance: random.Random, number: int) -> Study:
    return Study(
        uid=f"1.2.{number}",
        name=chance.choice(NAMES),
        patient_id=f"P{chance.randrange(8)}",
        accession=f"A{chance.randrange(12)}",
        day=f"202401{chance.randrange(1, 29):02d}",
        modalities=tuple(chance.sample(MODALITIES, chance.randrange(1, 4))),
    )


def files_of(study: Study) -> list[bytes]:
    return [
        synthetic_instance(
            study_uid=study.uid,
            series_uid=f"{study.uid}.{1 + place}",
            sop_instance_uid=f"{study.uid}.{place}.9",
            patient_id=study.patient_id,
            patient_name=study.name,
            modality=modality,
            columns=2,
            extra={"AccessionNumber": study.accession, "StudyDate": study.day},
        )
        for place, modality in enumerate(study.modalities)
    ]


def folded(name: str) -> str:
    return name.lower().replace("\u00fc", "u").replace("\u00f6", "o").replace("\u00e9", "e")


def has_phrase(name: str, phrase: str) -> bool:
    words, wanted = folded(name).replace("^", " ").split(), folded(phrase).split()
    return any(
        all(word.startswith(start) for word, start in zip(words[first:], wanted, strict=False))
        for first in range(len(words) - len(wanted) + 1)
    )


def random_query(chance: random.Random) -> tuple[dict[str, str], bool]:
    low, high = sorted(chance.sample(range(1, 29), 2))
    fuzzy = chance.random() < 0.5
    names = (
        ("jo", "do jo", "an ma b dr j", "mull", "o'b", "nobody", "berg anna") if fuzzy else (*NAMES, "doe^john", "Doe")
    )
    choices = {
        "PatientName": chance.choice(names),
        "PatientID": chance.choice(("P1", "p2 ", "P3", "P*", "P99")),
        "AccessionNumber": f"a{chance.randrange(12)}",
        "StudyDate": chance.choice((f"202401{low:02d}", f"202401{low:02d}-202401{high:02d}", f"202401{high:02d}-")),
        "ModalitiesInStudy": chance.choice(("CT", "mr,us", "XA", "US\\XA")),
    }
    keys = chance.sample(list(choices), chance.choice((0, 1, 1, 1, 2, 2, 3)))
    return {key: choices[key] for key in keys}, fuzzy


def in_days(day: str, asked: str) -> bool:
    low, dash, high = asked.partition("-")
    return low <= day and (day <= high if high else True) if dash else day == asked


def matches(study: Study, query: dict[str, str], *, fuzzy: bool) -> bool:
    tests = {
        "PatientName": lambda text: has_phrase(study.name, text) if fuzzy else folded(study.name) == folded(text),
        "PatientID": lambda text: study.patient_id.lower() == text.rstrip().lower(),
        "AccessionNumber": lambda text: study.accession.lower() == text.lower(),
        "StudyDate": lambda text: in_days(study.day, text),
        "ModalitiesInStudy": lambda text: bool(
            {one.lower() for one in study.modalities} & set(text.lower().replace("\\", ",").split(","))
        ),
    }
    return all(tests[key](text) for key, text in query.items())


async def stored(stores, studies: list[Study]) -> None:
    for study in studies:
        body, headers = multipart(files_of(study))
        assert (await store_instances(call(body, headers=headers), stores)).status == 200


async def found(stores, search, label: str = "v2", **asked: Any) -> list[dict[str, Any]]:
    keys = asked.pop("keys", {})
    parameters = {"include_fields": (), "fuzzy": False, "offset": 0, "limit": 100, **asked}
    reply = await search(call(label=label, matching_keys=tuple(keys.items()), **parameters), stores)
    return json.loads(await bytes_of(reply)) if reply.status == 200 else []


def uids(items: list[dict[str, Any]]) -> list[str]:
    return [item["0020000D"]["Value"][0] for item in items]


async def test_every_search_finds_what_a_plain_model_finds(azurite):
    chance = random.Random(SEED)
    studies = [random_study(chance, number) for number in range(STUDIES)]
    async with watched_stores(azurite.connection_string) as (stores, _):
        await stored(stores, studies)
        hits = 0
        for _ in range(QUERIES):
            query, fuzzy = random_query(chance)
            expected = [study for study in reversed(studies) if matches(study, query, fuzzy=fuzzy)]
            hits += len(expected)
            asked: dict[str, Any] = {"keys": query, "fuzzy": fuzzy}
            assert uids(await found(stores, search_studies, **asked)) == [study.uid for study in expected], query
            offset, limit = chance.randrange(4), chance.randrange(1, 6)
            page = await found(stores, search_studies, **asked, offset=offset, limit=limit)
            assert uids(page) == [study.uid for study in expected][offset : offset + limit], query
            modality = chance.choice((None, "CT", "mr"))
            if modality:
                query["Modality"] = modality
            below = [
                study.uid for study in expected for one in study.modalities if modality in (None, one, one.lower())
            ]
            for search in (search_series, search_instances):
                assert uids(await found(stores, search, **asked)) == below, (search.__name__, query)
        assert hits > QUERIES, "the queries find too little to be a test"


async def test_pages_of_instances_put_together_are_the_whole(azurite):
    chance = random.Random(SEED)
    studies = [random_study(chance, number) for number in range(12)]
    async with watched_stores(azurite.connection_string) as (stores, _):
        await stored(stores, studies)
        total: list[str] = []
        while page := await found(stores, search_instances, "v1", offset=len(total), limit=5):
            total += [item["00080018"]["Value"][0] for item in page]
        assert len(total) == len(set(total)) == sum(len(study.modalities) for study in studies)


@pytest.mark.parametrize("label", ["v1", "v2"])
async def test_a_page_of_studies_is_at_most_two_round_trips_deep(azurite, label):
    chance = random.Random(SEED)
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await stored(stores, [random_study(chance, number) for number in range(3)])
        await found(stores, search_studies, label)
        async with transport.holding():
            assert len(await found(stores, search_studies, label)) == 3
        assert transport.rounds <= 2, transport.calls


@pytest.mark.parametrize("label", ["v1", "v2"])
async def test_a_search_by_study_uid_is_one_point_read(azurite, label):
    chance = random.Random(SEED)
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await stored(stores, [random_study(chance, number) for number in range(3)])
        transport.forget()
        assert uids(await found(stores, search_studies, label, keys={"StudyInstanceUID": "1.2.1"})) == ["1.2.1"]
        assert len(transport.calls) == 1
        assert transport.calls[0].startswith("GET row main")


async def test_a_value_too_long_to_be_stored_asks_storage_nothing(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await found(stores, search_studies, keys={"PatientID": "1"})
        transport.calls.clear()
        assert await found(stores, search_studies, keys={"PatientID": "x" * 300}) == []
        assert transport.calls == []
