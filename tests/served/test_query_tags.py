"""Extended query tags through real HTTP: all versions add, search and delete; killed workers leave nothing undone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.querytags.made import file
from tests.support.clients import DICOM_JSON, VERSIONS, related, related_type
from tests.support.jobs import KilledWorkers, wait_for
from tests.support.served import served
from tests.support.storage import fresh_account

pytestmark = [pytest.mark.served, pytest.mark.azurite]

TAGS = "/extendedquerytags"
FINISHED = {"v1.0-prerelease": "completed", "v1": "completed", "v2": "succeeded"}


@pytest.fixture(scope="module")
async def client(azurite) -> AsyncIterator[httpx.AsyncClient]:
    """A service with an account of its own: tags are of the whole service."""
    account = fresh_account(azurite.connection_string)
    settings = {"DICOM_STORAGE": account, "AzureWebJobsStorage": account}
    async with (
        served(settings) as service,
        httpx.AsyncClient(base_url=service.url, timeout=30, trust_env=False) as opened,
    ):
        yield opened


async def stored(client: httpx.AsyncClient, files: list[bytes]) -> None:
    headers = {"Content-Type": related_type(), "Accept": DICOM_JSON}
    answer = await client.post("/v2/studies", content=related(files), headers=headers)
    assert answer.status_code == 200, answer.text


async def found(client: httpx.AsyncClient, root: str, what: str, **keys: str) -> set[str]:
    tag = {"studies": "0020000D", "series": "0020000E", "instances": "00080018"}[what]
    answer = await client.get(f"{root}/{what}", params={"limit": "200", **keys}, headers={"Accept": DICOM_JSON})
    assert answer.status_code in (200, 204), answer.text
    return {item[tag]["Value"][0] for item in answer.json()} if answer.status_code == 200 else set()


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_tag_comes_is_searched_by_and_goes(client, version):
    root, place = f"/{version}", VERSIONS.index(version)
    await stored(client, [file(f"1.2.{place}", f"1.3.{place}", f"1.4.{place}", StudyID=f"S{place}")])
    answer = await client.post(f"{root}{TAGS}", json=[{"path": "StudyID", "level": "Study"}])
    assert answer.status_code == 202
    assert answer.headers["location"] == answer.json()["href"]
    ended = await wait_for(client, answer.json()["id"], root)
    assert (ended["type"], ended["status"], ended["percentComplete"]) == ("reindex", FINISHED[version], 100)
    assert ended["resources"] == [f"{str(client.base_url).rstrip('/')}{root}{TAGS}/00200010"]
    assert (await client.get(f"{root}{TAGS}/StudyID")).json()["status"] == "ready"
    assert await found(client, root, "studies", StudyID=f"s{place}") == {f"1.2.{place}"}
    assert (await client.delete(f"{root}{TAGS}/StudyID")).status_code == 204
    answer = await client.get(f"{root}/studies", params={"StudyID": "x"}, headers={"Accept": DICOM_JSON})
    assert answer.status_code == 400


@pytest.mark.parametrize("times", [10, pytest.param(100, marks=pytest.mark.slow)])
async def test_reindexing_whose_workers_are_killed_ends_complete(azurite, times):
    studies, instances = 8, 40
    attributes = ("StudyID", "SeriesNumber", "InstanceNumber")
    levels = dict(zip(attributes, ("Study", "Series", "Instance"), strict=True))

    def files(number: int) -> list[bytes]:
        said: dict[str, Any] = {"StudyID": f"S{number}", "SeriesNumber": number}
        uids = (f"1.2.{number}", f"1.3.{number}")
        return [file(*uids, f"1.4.{number}.{one}", InstanceNumber=one, **said) for one in range(instances)]

    account = fresh_account(azurite.connection_string)
    killed = KilledWorkers(account, seconds=(0.05, 0.9))

    async def begin(client: httpx.AsyncClient) -> str:
        if not killed.begun:
            for number in range(studies):
                await stored(client, files(number))
        # Columns of tags that are gone are used again as soon as what those have left is cleaned away.
        await killed.stores.sweep._tags.clean(datetime.now(UTC))
        for attribute in attributes:
            assert (await client.delete(f"/v2{TAGS}/{attribute}")).status_code in (204, 404)
        tags = [{"path": attribute, "level": level} for attribute, level in levels.items()]
        answer = await client.post(f"/v2{TAGS}", json=tags)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    ended = await killed.run(times, begin)
    assert {one["status"] for one in ended} == {"succeeded"}
    assert killed.kills_at_work > times // 4
    async with (
        served({"DICOM_STORAGE": account, "AzureWebJobsStorage": account}) as service,
        httpx.AsyncClient(base_url=service.url, timeout=30, trust_env=False) as client,
    ):
        entries = (await client.get(f"/v2{TAGS}")).json()
        assert [(entry["status"], entry["queryStatus"]) for entry in entries] == [("ready", "enabled")] * len(
            attributes
        )
        for number in range(studies):
            assert await found(client, "/v2", "studies", StudyID=f"S{number}") == {f"1.2.{number}"}
            assert await found(client, "/v2", "series", SeriesNumber=str(number)) == {f"1.3.{number}"}
        for one in range(0, instances, 7):
            expected = {f"1.4.{number}.{one}" for number in range(studies)}
            assert await found(client, "/v2", "instances", InstanceNumber=str(one)) == expected
