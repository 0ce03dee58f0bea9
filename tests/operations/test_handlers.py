"""`GET /operations/{operationId}` in each version's words (contract C10)."""

from __future__ import annotations

import re
import uuid
from contextlib import asynccontextmanager

import pytest

from shared.settings import Settings
from shared.storage.operations import OperationKind, Progress
from shared.storage.stores import open_stores
from tests.support.clients import VERSIONS
from tests.support.front import HOST, Front
from tests.support.storage import fresh_settings

pytestmark = pytest.mark.azurite

TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{0,6}[1-9])?Z")
WORDS = {"v1.0-prerelease": "completed", "v1": "completed", "v2": "succeeded"}


@asynccontextmanager
async def front(azurite):
    """Stores of an empty account, and the service over them."""
    stores = open_stores(fresh_settings(azurite.connection_string))
    try:
        yield stores, Front(stores, Settings())
    finally:
        await stores.close()


@pytest.fixture(params=VERSIONS)
def version(request) -> str:
    return str(request.param)


async def test_an_operation_that_has_not_begun_is_202_with_its_own_url(azurite, version):
    async with front(azurite) as (stores, service):
        begun = await stores.operations.begin(OperationKind.REINDEX, {"x": 1}, resources=["extendedquerytags/0010401B"])
        answer = await service.ask("GET", f"/{version}/operations/{begun.id}")
    root = f"https://{HOST}/{version}"
    assert answer.status == 202
    assert answer.headers["location"] == f"{root}/operations/{begun.id}"
    assert answer.headers["retry-after"].isdecimal()
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    body = answer.json()
    assert TIME.fullmatch(body.pop("createdTime"))
    assert TIME.fullmatch(body.pop("lastUpdatedTime"))
    assert body == {
        "operationId": begun.id,
        "type": "reindex",
        "status": "notStarted",
        "resources": [f"{root}/extendedquerytags/0010401B"],
    }


async def test_urls_repeat_the_spelling_of_the_version(azurite):
    async with front(azurite) as (stores, service):
        begun = await stores.operations.begin(OperationKind.UPDATE, {})
        answer = await service.ask("GET", f"/V2.0/operations/{begun.id}")
    assert answer.headers["location"] == f"https://{HOST}/V2.0/operations/{begun.id}"


async def test_a_running_operation_shows_what_it_has_done_so_far(azurite, version):
    async with front(azurite) as (stores, service):
        begun = await stores.operations.begin(OperationKind.UPDATE, {})
        taken = await stores.operations.take(begun.id, "w")
        await stores.operations.save(taken, Progress({}, 40, {"studyProcessed": 2}))
        answer = await service.ask("GET", f"/{version}/operations/{begun.id}")
    assert answer.status == 202
    body = answer.json()
    assert (body["status"], body["percentComplete"], body["results"]) == ("running", 40, {"studyProcessed": 2})


async def test_success_has_the_word_of_the_version_that_asks(azurite, version):
    async with front(azurite) as (stores, service):
        begun = await stores.operations.begin(OperationKind.EXPORT, {"secret": "state"})
        taken = await stores.operations.take(begun.id, "w")
        await stores.operations.save(taken, Progress({"secret": "state"}, results={"exported": 3}, done=True))
        answer = await service.ask("GET", f"/{version}/operations/{begun.id}")
    assert answer.status == 200
    assert "location" not in answer.headers
    assert "retry-after" not in answer.headers
    body = answer.json()
    assert body["lastUpdatedTime"] >= body["createdTime"]
    assert {name: body[name] for name in body if not name.endswith("Time")} == {
        "operationId": begun.id,
        "type": "export",
        "status": WORDS[version],
        "results": {"exported": 3},
    }


async def test_a_failed_operation_is_200_and_says_why(azurite, version):
    async with front(azurite) as (stores, service):
        begun = await stores.operations.begin(OperationKind.EXPORT, {})
        taken = await stores.operations.take(begun.id, "w")
        await stores.operations.save(taken, Progress(failed="The container is gone.", results={"exported": 1}))
        answer = await service.ask("GET", f"/{version}/operations/{begun.id}")
    body = answer.json()
    assert (answer.status, body["status"]) == (200, "failed")
    assert (body["reason"], body["results"]) == ("The container is gone.", {"exported": 1})


async def test_an_id_is_taken_in_every_form_of_a_guid(azurite):
    async with front(azurite) as (stores, service):
        begun = await stores.operations.begin(OperationKind.EXPORT, {})
        hyphens = str(uuid.UUID(begun.id))
        forms = (
            begun.id,
            begun.id.upper(),
            hyphens,
            hyphens.upper(),
            f"%7B{hyphens}%7D",
            f"({hyphens})",
            f"%20{hyphens}",
        )
        answers = [await service.ask("GET", f"/v2/operations/{form}") for form in forms]
    assert {(one.status, one.json()["operationId"]) for one in answers} == {(202, begun.id)}


NO_ID = (
    uuid.uuid4().hex,
    str(uuid.uuid4()),
    "7",
    "x",
    "0" * 31,
    "0" * 33,
    "g" * 32,
    "0" * 16 + "-" + "0" * 16,
    f"%7B{uuid.uuid4()}",
    f"%7B{uuid.uuid4()})",
    f"%7B{uuid.uuid4().hex}%7D",
    f"urn:uuid:{uuid.uuid4()}",
    "%D9%A0" * 32,
    "'%20or%20'",
)


@pytest.mark.parametrize("text", NO_ID)
async def test_an_unknown_operation_or_no_id_at_all_is_404_and_empty(azurite, text):
    async with front(azurite) as (_, service):
        answer = await service.ask("GET", f"/v2/operations/{text}")
    assert (answer.status, answer.content) == (404, b"")
    assert "content-type" not in answer.headers
    assert answer.headers["api-supported-versions"] == "1.0-prerelease, 1, 2"


async def test_other_versions_words_do_not_leak_into_a_failed_or_running_status(azurite):
    async with front(azurite) as (stores, service):
        begun = await stores.operations.begin(OperationKind.EXPORT, {})
        await stores.operations.fail(await stores.operations.find(begun.id), "x")
        statuses = {(await service.ask("GET", f"/{one}/operations/{begun.id}")).json()["status"] for one in VERSIONS}
    assert statuses == {"failed"}
