"""Delete through real HTTP, the same in every version (contract C4)."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.support.clients import ANY_PARTS, DICOM_JSON, SUPPORTED, VERSIONS, made, new_uid

pytestmark = [pytest.mark.served, pytest.mark.azurite]

EVERY_VERSION = pytest.mark.parametrize("label", VERSIONS)


@pytest.fixture
async def client(service):
    async with httpx.AsyncClient(base_url=service.url, timeout=60, trust_env=False) as opened:
        yield opened


async def stored(client: httpx.AsyncClient, label: str, *, instances: int = 1, series: int = 1):
    """A new study with that many instances in each of that many series."""
    study = new_uid()
    every = []
    for _ in range(series):
        series_uid = new_uid()
        every += [made(study_uid=study, series_uid=series_uid) for _ in range(instances)]
    for one in every:
        answer = await client.post(
            f"/{label}/studies",
            content=one.content,
            headers={"Content-Type": "application/dicom", "Accept": DICOM_JSON},
        )
        assert answer.status_code == 200, answer.text
    return every


async def status(client: httpx.AsyncClient, path: str) -> int:
    return (await client.get(path, headers={"Accept": ANY_PARTS})).status_code


@EVERY_VERSION
async def test_a_deleted_instance_is_gone_and_can_be_stored_again(client, label):
    first, second = await stored(client, label, instances=2)
    answer = await client.delete(f"/{label}{first.path}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["api-supported-versions"] == SUPPORTED
    assert await status(client, f"/{label}{first.path}") == 404
    assert await status(client, f"/{label}{second.path}") == 200
    again = await client.post(f"/{label}/studies", content=first.content, headers={"Content-Type": "application/dicom"})
    assert again.status_code == 200
    assert await status(client, f"/{label}{first.path}") == 200


@EVERY_VERSION
async def test_a_deleted_series_takes_its_instances_and_leaves_the_others(client, label):
    every = await stored(client, label, instances=2, series=2)
    gone, left = every[:2], every[2:]
    path = f"/{label}/studies/{gone[0].study_uid}/series/{gone[0].series_uid}"
    assert (await client.delete(path)).status_code == 204
    assert {await status(client, f"/{label}{one.path}") for one in gone} == {404}
    assert {await status(client, f"/{label}{one.path}") for one in left} == {200}
    assert await status(client, path) == 404
    assert (await client.get(f"{path}/metadata")).status_code == 404


@EVERY_VERSION
async def test_a_deleted_study_is_gone_with_its_metadata(client, label):
    every = await stored(client, label, instances=2, series=2)
    path = f"/{label}/studies/{every[0].study_uid}"
    assert (await client.delete(path)).status_code == 204
    assert await status(client, path) == 404
    assert (await client.get(f"{path}/metadata")).status_code == 404
    assert {await status(client, f"/{label}{one.path}") for one in every} == {404}


@EVERY_VERSION
async def test_deleting_what_is_not_there_is_a_404_and_a_bad_uid_a_400(client, label):
    study, series = f"/{label}/studies/{new_uid()}", f"series/{new_uid()}"
    for path in (study, f"{study}/{series}", f"{study}/{series}/instances/{new_uid()}"):
        assert (await client.delete(path)).status_code == 404
    for path in (f"/{label}/studies/abc", f"{study}/series/1.a", f"{study}/{series}/instances/{'1' * 65}"):
        assert (await client.delete(path)).status_code == 400


async def test_of_concurrent_deletes_of_a_study_one_is_a_204(client):
    every = await stored(client, "v2", instances=3, series=2)
    answers = await asyncio.gather(*(client.delete(f"/v2/studies/{every[0].study_uid}") for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [204] + [404] * 5


async def test_stores_racing_deletes_leave_what_was_acknowledged_last(client):
    (one,) = await stored(client, "v2")

    async def storing() -> list[int]:
        headers = {"Content-Type": "application/dicom"}
        return [(await client.post("/v2/studies", content=one.content, headers=headers)).status_code for _ in range(6)]

    async def deleting() -> list[int]:
        return [(await client.delete(f"/v2/studies/{one.study_uid}")).status_code for _ in range(6)]

    stores, deletes = await asyncio.gather(storing(), deleting())
    assert set(stores) <= {200, 409}
    assert set(deletes) <= {204, 404}
    lives = 1 + stores.count(200) - deletes.count(204)
    assert lives in (0, 1)
    assert await status(client, f"/v2{one.path}") == (200 if lives else 404)
