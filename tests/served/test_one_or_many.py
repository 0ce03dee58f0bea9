"""Two apps on one store, one with the newest version and one with all older ones (contract sections a.1 to a.3).

The whole suite runs against such a pair with `--apps split`; here is what only a pair can show.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from shared.settings import Settings
from shared.storage.deletejobs import JOBS
from shared.storage.stores import Stores, open_stores
from tests.served.conftest import TIMEOUT_SECONDS
from tests.storage.made import DEFAULT
from tests.support import versions
from tests.support.clients import ANY_PARTS, DICOM_JSON, Made, failure_reasons, made, naive_parts, new_uid, store
from tests.support.pair import Pair, started_pair
from tests.support.storage import fresh_account

pytestmark = [pytest.mark.served, pytest.mark.azurite]

OLDER, NEWER = versions.LABELS[-2], versions.LABELS[-1]
ROUNDS = 8


@pytest.fixture(scope="module")
def account(azurite) -> str:
    return fresh_account(azurite.connection_string)


@pytest.fixture(scope="module")
def pair(account) -> Iterator[Pair]:
    """Its store is checked as a whole when the module is through."""
    with started_pair({"DICOM_STORAGE": account}) as running:
        yield running


@pytest.fixture(scope="module")
async def apps(pair) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """Clients of the app with the older versions, and of that with the newest."""
    async with (
        httpx.AsyncClient(base_url=pair.older.url, timeout=TIMEOUT_SECONDS, trust_env=False) as older,
        httpx.AsyncClient(base_url=pair.newer.url, timeout=TIMEOUT_SECONDS, trust_env=False) as newer,
    ):
        yield older, newer


@pytest.fixture
async def stores(account) -> AsyncIterator[Stores]:
    opened = open_stores(Settings(storage_connection=account))
    try:
        yield opened
    finally:
        await opened.close()


async def status(client: httpx.AsyncClient, path: str) -> int:
    return (await client.get(path, headers={"Accept": ANY_PARTS})).status_code


async def test_what_one_app_stores_the_other_finds_gives_and_deletes(apps):
    older, newer = apps
    instance = made(patient_name="Shared^Store")
    assert (await store(older, f"/{OLDER}", [instance.content])).status_code == 200
    (hit,) = (await newer.get(f"/{NEWER}/studies?StudyInstanceUID={instance.study_uid}")).json()
    assert hit["0020000D"]["Value"] == [instance.study_uid]
    named = await newer.get(f"/{NEWER}/instances?PatientName=Shared^Store&SOPInstanceUID={instance.sop_instance_uid}")
    assert len(named.json()) == 1
    given = await newer.get(f"/{NEWER}{instance.path}", headers={"Accept": ANY_PARTS})
    assert [part.content for part in naive_parts(given.content)] == [instance.content]
    metadata = [
        await one.get(f"/{label}{instance.path}/metadata") for one, label in zip(apps, (OLDER, NEWER), strict=True)
    ]
    assert metadata[0].json() == metadata[1].json()
    assert metadata[0].headers["etag"] == metadata[1].headers["etag"]
    frames = [
        await one.get(f"/{label}{instance.path}/frames/1") for one, label in zip(apps, (OLDER, NEWER), strict=True)
    ]
    assert frames[0].status_code == 200
    assert naive_parts(frames[0].content) == naive_parts(frames[1].content)
    assert (await newer.delete(f"/{NEWER}/studies/{instance.study_uid}")).status_code == 204
    assert await status(older, f"/{OLDER}{instance.path}") == 404
    assert (await older.get(f"/{OLDER}/studies?StudyInstanceUID={instance.study_uid}")).status_code == 204


async def test_both_tell_the_same_change_feed(apps):
    older, newer = apps
    one = made()
    assert (await store(older, f"/{OLDER}", [one.content])).status_code == 200
    assert (await store(newer, f"/{NEWER}", [made().content])).status_code == 200
    assert (await newer.delete(f"/{NEWER}{one.path}")).status_code == 204
    last = [
        (await each.get(f"/{label}/changefeed/latest")).json() for each, label in zip(apps, (OLDER, NEWER), strict=True)
    ]
    assert last[0] == last[1]
    assert (last[0]["action"].lower(), last[0]["sopInstanceUid"]) == ("delete", one.sop_instance_uid)
    first = max(last[0]["sequence"] - 3, 0)
    by_number = (await older.get(f"/{OLDER}/changefeed?offset={first}&limit=100")).json()
    by_time = (await newer.get(f"/{NEWER}/changefeed?limit=200")).json()
    assert by_number == by_time[-len(by_number) :]
    assert [each["sequence"] for each in by_time] == list(range(1, last[0]["sequence"] + 1))


async def test_headers_name_all_versions_whoever_serves_them(apps):
    for client, label in zip(apps, (OLDER, NEWER), strict=True):
        for path in ("/studies", f"/studies/{new_uid()}", "/nothing/here", "/api.json"):
            answer = await client.get(f"/{label}{path}")
            for name, text in versions.HEADERS:
                assert answer.headers[name] == text


async def test_a_version_that_the_other_app_serves_is_404_and_says_why(apps):
    older, newer = apps
    asked = [(older, NEWER), *((newer, label) for label in versions.LABELS[:-1])]
    for client, label in asked:
        for path in (f"/{label}/studies", f"/{label.upper()}/changefeed/latest", f"/{label}"):
            answer = await client.get(path)
            name = versions.of(label).label.name
            text = f"Version {name} exists, but this deployment of the service does not serve it."
            assert (answer.status_code, answer.text) == (404, text)
            for header, value in versions.HEADERS:
                assert answer.headers[header] == value
        refused = await store(client, f"/{label}", [made().content])
        assert refused.status_code == 404


async def test_only_the_app_with_background_on_has_functions_that_no_request_starts(apps):
    served = [{each["name"] for each in (await one.get("/admin/functions")).json()} for one in apps]
    background = [{name for name in names if name.startswith("background_")} for names in served]
    assert background == [
        set(),
        {
            "background_sweep",
            "background_jobs",
            "background_jobs_poison",
            "background_jobs_wake",
            "background_import",
            "background_import_poison",
            "background_import_poll",
        },
    ]
    tried = [(await one.post("/admin/functions/background_sweep", json={})).status_code for one in apps]
    assert tried == [404, 202]


async def test_the_app_with_background_on_finishes_what_a_dead_worker_of_either_left(apps, stores):
    older, newer = apps
    left = made()
    assert (await store(older, f"/{OLDER}", [left.content])).status_code == 200
    job = await stores.deletion.jobs.begin(DEFAULT, left.study_uid)
    assert await stores.deletion.emptying.shut_study(job)
    long_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    await stores._tables.merge("work", JOBS, job.job_id, {"heartbeat": long_ago})
    assert (await older.post("/admin/functions/background_sweep", json={})).status_code == 404
    assert (await newer.post("/admin/functions/background_sweep", json={})).status_code == 202
    for _ in range(200):
        if job.job_id not in [one.job_id async for one in stores.deletion.jobs.all()]:
            break
        await asyncio.sleep(0.1)
    assert await status(older, f"/{OLDER}{left.path}") == 404
    assert (await newer.get(f"/{NEWER}/studies?StudyInstanceUID={left.study_uid}")).status_code == 204


async def test_of_two_stores_of_one_instance_through_two_apps_one_wins(apps):
    """And the loser is told that the instance was there (reason 45070), not that something failed."""
    older, newer = apps
    for _ in range(ROUNDS):
        uids = {"study_uid": new_uid(), "series_uid": new_uid(), "sop_instance_uid": new_uid()}
        rivals = [made(**uids, patient_name=name) for name in ("Through^Older", "Through^Newer")]
        answers = await asyncio.gather(
            store(older, f"/{OLDER}", [rivals[0].content]), store(newer, f"/{NEWER}", [rivals[1].content])
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        lost = next(place for place, answer in enumerate(answers) if answer.status_code == 409)
        assert failure_reasons(answers[lost].json()) == [45070]
        for client, label in zip(apps, (OLDER, NEWER), strict=True):
            given = await client.get(f"/{label}{rivals[0].path}", headers={"Accept": ANY_PARTS})
            assert [part.content for part in naive_parts(given.content)] == [rivals[1 - lost].content]
            hits = (await client.get(f"/{label}/studies?StudyInstanceUID={uids['study_uid']}")).json()
            assert [hit["00100010"]["Value"][0]["Alphabetic"] for hit in hits] == [
                ("Through^Older", "Through^Newer")[1 - lost]
            ]


async def test_a_store_through_one_app_while_the_other_deletes_ends_before_or_after(apps):
    """What was acknowledged behind the delete is there as a whole; what came before it is gone as a whole."""
    older, newer = apps
    for _ in range(ROUNDS):
        first = made()
        assert (await store(older, f"/{OLDER}", [first.content])).status_code == 200
        late = made(study_uid=first.study_uid, series_uid=first.series_uid)
        stored, deleted = await asyncio.gather(
            store(older, f"/{OLDER}", [late.content]), newer.delete(f"/{NEWER}/studies/{first.study_uid}")
        )
        assert (stored.status_code, deleted.status_code) == (200, 204)
        for client, label in zip(apps, (OLDER, NEWER), strict=True):
            assert await status(client, f"/{label}{first.path}") == 404
        there = [await status(one, f"/{label}{late.path}") for one, label in zip(apps, (OLDER, NEWER), strict=True)]
        assert there in ([200, 200], [404, 404])
        found = await newer.get(f"/{NEWER}/studies/{first.study_uid}/instances", headers={"Accept": DICOM_JSON})
        assert found.status_code == (200 if there[0] == 200 else 204)
        assert await _told(older, (first, late)) == [
            ["create", "delete"],
            ["create"] if there[0] == 200 else ["create", "delete"],
        ]


async def _told(client: httpx.AsyncClient, instances: tuple[Made, ...]) -> list[list[str]]:
    """What the change feed says of some instances, in order."""
    last = (await client.get(f"/{OLDER}/changefeed/latest")).json()["sequence"]
    changes = (await client.get(f"/{OLDER}/changefeed?offset={max(last - 10, 0)}&limit=10")).json()
    return [
        [one["action"].lower() for one in changes if one["sopInstanceUid"] == each.sop_instance_uid]
        for each in instances
    ]
