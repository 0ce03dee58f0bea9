"""Export over HTTP, through the local host's queue: by clients, and with workers that are killed."""

from __future__ import annotations

import httpx
import pytest

from tests.edits.exporting import destination, wanted
from tests.served.test_bulk_update import files, stored
from tests.support.azurite import running_azurite
from tests.support.jobs import KilledWorkers, wait_for
from tests.support.storage import fresh_account

pytestmark = [pytest.mark.azurite, pytest.mark.served]


@pytest.fixture
async def client(service):
    async with httpx.AsyncClient(base_url=service.url, timeout=60, trust_env=False) as opened:
        yield opened


@pytest.mark.parametrize("root", ["/v1", "/v2"])
async def test_an_export_runs_behind_its_answer_and_its_operation_tells_of_it(client, azurite, root):
    study = f"1.2.81.{root[2:]}"
    contents = files(study, 3)
    await stored(client, contents)
    async with destination(azurite.connection_string) as out:
        body = wanted({"blobContainerUri": f"{out.url}?{out.sas()}"}, study, "1.2.82")
        answer = await client.post(f"{root}/export", json=body)
        assert answer.status_code == 202, answer.text
        assert answer.headers["Location"] == answer.json()["href"]
        state = await wait_for(client, answer.json()["id"], root)
        assert (state["type"], state["status"]) == ("export", {"/v1": "completed", "/v2": "succeeded"}[root])
        log = f"{out.url}/{answer.json()['id']}/errors.log"
        assert state["results"] == {"exported": 3, "skipped": 1, "errorHref": log}
        assert sorted((await out.results(answer.json()["id"])).values()) == sorted(contents)


@pytest.mark.parametrize(
    ("path", "media_type", "status"),
    [
        ("v2/export", "text/plain", 415),
        ("v2/export", "application/json", 400),
        ("v2/partitions/a/export", "application/json", 400),
        ("v1-prerelease/export", "application/json", 400),
    ],
)
async def test_what_cannot_be_asked_for_is_refused(client, path, media_type, status):
    answer = await client.post(f"/{path}", content=b"{}", headers={"Content-Type": media_type})
    assert answer.status_code == status
    assert answer.headers["api-supported-versions"] == "1, 2"


@pytest.mark.parametrize("times", [10, pytest.param(100, marks=pytest.mark.slow)])
async def test_exports_whose_workers_are_killed_end_complete_and_once(times):
    storage = running_azurite().connection_string
    killed = KilledWorkers(fresh_account(storage), seconds=(0.05, 0.9))
    studies, instances, begun = ["1.2.83.1", "1.2.83.2", "1.2.83.3"], 90, 0
    absent = [f"1.2.84.{number}" for number in range(150)]
    contents = {study: files(study, instances) for study in studies}
    async with destination(storage) as out:

        async def begin(client: httpx.AsyncClient) -> str:
            nonlocal begun
            if not begun:
                for study in studies:
                    await stored(client, contents[study])
            begun += 1
            settings = {"blobContainerUri": f"{out.url}?{out.sas()}"}
            # Everything, and then by identifiers, in turn.
            values = [studies[0], *absent[:75], *studies[1:], *absent[75:]] if begun % 2 else []
            answer = await client.post("/v2/export", json=wanted(settings, *values))
            assert answer.status_code == 202, answer.text
            return str(answer.json()["id"])

        ended = await killed.run(times, begin)
        assert killed.kills_at_work > times // 4
        everything = sorted(content for study in studies for content in contents[study])
        for number, operation in enumerate(ended):
            skipped = absent if number % 2 == 0 else []
            assert operation["status"] == "succeeded", operation
            counts = operation["results"]["exported"], operation["results"]["skipped"]
            assert counts == (len(everything), len(skipped))
            assert sorted((await out.results(operation["operationId"])).values()) == everything
            assert [line["identifier"] for line in await out.log(operation["operationId"])] == skipped
        assert len(await out.blobs()) == sum(1 + len(everything) for _ in ended)
