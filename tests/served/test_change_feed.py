"""The change feed through real HTTP: parameters, entries and states of every version."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from time import time
from typing import Any

import httpx
import pytest

from tests.support.clients import SUPPORTED, VERSIONS, Made, made, new_uid, store
from tests.support.served import Service, started
from tests.support.storage import fresh_account
from tests.support.versions import is_by_time

pytestmark = [pytest.mark.served, pytest.mark.azurite]

Entry = dict[str, Any]

JSON = "application/json; charset=utf-8"
BY_SEQUENCE = tuple(label for label in VERSIONS if not is_by_time(label))
BY_TIME = tuple(label for label in VERSIONS if is_by_time(label))
TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{0,6}[1-9])?\+00:00")


async def latest(client, version: str) -> Entry:
    answer = await client.get(f"/{version}/changefeed/latest")
    assert (answer.status_code, answer.headers["content-type"]) == (200, JSON)
    entry: Entry = answer.json()
    return entry


async def stored(client, version: str, count: int = 1, **uids: str) -> list[Made]:
    instances = [made(columns=2, **uids) for _ in range(count)]
    assert (await store(client, f"/{version}", [one.content for one in instances])).status_code == 200
    return instances


async def feed(client, version: str, **parameters) -> list[Entry]:
    answer = await client.get(f"/{version}/changefeed", params=parameters)
    assert (answer.status_code, answer.headers["content-type"]) == (200, JSON), answer.text
    assert answer.headers["api-supported-versions"] == SUPPORTED
    entries: list[Entry] = answer.json()
    return entries


def numbers(entries: list[Entry]) -> list[int]:
    return [entry["sequence"] for entry in entries]


@pytest.fixture(scope="module")
def quiet(azurite) -> Iterator[Service]:
    """A host with data partitions whose feed nobody else writes to."""
    settings = {"DICOM_STORAGE": fresh_account(azurite.connection_string), "DICOM_DATA_PARTITIONS": "on"}
    with started(settings) as running:
        yield running


@pytest.fixture(scope="module")
async def quiet_client(quiet):
    async with httpx.AsyncClient(base_url=quiet.url, timeout=30, trust_env=False) as opened:
        yield opened


async def test_an_empty_feed_then_two_partitions_in_one_feed(quiet_client, version):
    """One test, because the feed is empty only once in its life; each version sees what the ones before it stored."""
    before = await feed(quiet_client, version)
    answer = await quiet_client.get(f"/{version}/changefeed/latest")
    if not before:
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["api-supported-versions"] == SUPPORTED
    uids = {"study_uid": new_uid(), "series_uid": new_uid(), "sop_instance_uid": new_uid()}
    for name in ("left", "right"):
        answer = await store(quiet_client, f"/{version}/partitions/{name}", [made(**uids).content])
        assert answer.status_code == 200
    entries = (await feed(quiet_client, version))[len(before) :]
    assert [entry["partitionName"] for entry in entries] == ["left", "right"]
    assert [entry["state"] for entry in entries] == ["Current", "Current"]
    assert (await latest(quiet_client, version)) == entries[-1]


async def test_the_feed_is_not_below_a_partition(client, quiet_client, version):
    for opened in (client, quiet_client):
        answer = await opened.get(f"/{version}/partitions/left/changefeed")
        assert answer.status_code == 404


async def test_latest_is_the_last_instance_stored(client, version):
    (instance,) = await stored(client, version)
    entry = await latest(client, version)
    assert TIMESTAMP.fullmatch(entry["timestamp"])
    assert abs(datetime.fromisoformat(entry["timestamp"][:19] + "+00:00").timestamp() - time()) < 120
    metadata = (await client.get(f"/{version}{instance.path}/metadata")).json()[0]
    assert entry == {
        "sequence": entry["sequence"],
        "partitionName": "Microsoft.Default",
        "studyInstanceUid": instance.study_uid,
        "seriesInstanceUid": instance.series_uid,
        "sopInstanceUid": instance.sop_instance_uid,
        "action": "Create",
        "timestamp": entry["timestamp"],
        "state": "Current",
        "metadata": metadata,
    }
    without = (await client.get(f"/{version}/changefeed/latest?IncludeMetadata=False")).json()
    assert without == {name: value for name, value in entry.items() if name != "metadata"}


@pytest.mark.parametrize("level", ["study", "series", "instance"])
async def test_a_deleted_instance_and_one_stored_again(client, version, level):
    """Contract C8.3."""
    (instance,) = await stored(client, version)
    first = (await latest(client, version))["sequence"]

    async def entries() -> list[tuple[int, str, str, bool]]:
        found = await feed(client, "v1", offset=first - 1, limit=100)
        mine = [entry for entry in found if entry["sopInstanceUid"] == instance.sop_instance_uid]
        without = await feed(client, "v1", offset=first - 1, limit=100, includemetadata="false")
        assert without == [{name: value for name, value in one.items() if name != "metadata"} for one in found]
        return [(one["sequence"] - first, one["action"], one["state"], "metadata" in one) for one in mine]

    assert await entries() == [(0, "Create", "Current", True)]
    depth = {"study": 3, "series": 5, "instance": 7}[level]
    assert (await client.delete(f"/{version}{'/'.join(instance.path.split('/')[:depth])}")).status_code == 204
    assert await entries() == [(0, "Create", "Deleted", False), (1, "Delete", "Deleted", False)]
    deleted = await latest(client, version)
    assert (deleted["action"], deleted["sopInstanceUid"]) == ("Delete", instance.sop_instance_uid)
    assert (await store(client, f"/{version}", [instance.content])).status_code == 200
    again = [(0, "Create", "Replaced", True), (1, "Delete", "Replaced", True), (2, "Create", "Current", True)]
    assert await entries() == again


async def test_every_version_has_the_same_entries(client):
    await stored(client, "v2", 3)
    newest = await latest(client, "v1")
    assert [await latest(client, label) for label in VERSIONS] == [newest] * len(VERSIONS)
    by_sequence = await feed(client, "v1", offset=newest["sequence"] - 3, limit=3)
    for label in (*BY_SEQUENCE, "v1-prerelease"):
        assert by_sequence == await feed(client, label, offset=newest["sequence"] - 3, limit=3)
    for label in BY_TIME:
        assert by_sequence == await feed(client, label, startTime=by_sequence[0]["timestamp"])
    assert by_sequence[-1] == newest


@pytest.mark.parametrize("label", BY_SEQUENCE)
async def test_by_sequence_the_offset_is_where_to_begin_and_the_limit_how_far_to_look(client, label):
    """Contract D19, D20: default 10, at most 100."""
    await stored(client, label, 40)
    await stored(client, label, 40)
    await stored(client, label, 25)
    top = (await latest(client, label))["sequence"]
    assert numbers(await feed(client, label)) == list(range(1, 11))
    assert numbers(await feed(client, label, offset=top - 105)) == list(range(top - 104, top - 94))
    full = await feed(client, label, OFFSET=top - 105, Limit=100, includemetadata="false")
    assert numbers(full) == list(range(top - 104, top - 4))
    assert not any("metadata" in entry for entry in full)
    assert numbers(await feed(client, label, offset=top - 2, limit=100)) == [top - 1, top]
    assert await feed(client, label, offset=top) == []
    assert await feed(client, label, offset=999_999_999_999_999_999, limit=100) == []
    # Parameters of another version are not read.
    assert numbers(await feed(client, label, startTime="x", endTime="y", limit=1)) == [1]


@pytest.mark.parametrize("label", BY_TIME)
async def test_by_time_the_offset_counts_entries_of_a_span(client, label):
    """Contract D19, D20: default 100, at most 200."""
    await stored(client, label, 45)
    first = (await latest(client, label))["sequence"] - 44
    for _ in range(4):
        await stored(client, label, 45)
    await stored(client, label, 10)
    last = (await latest(client, label))["sequence"]
    (begin,) = await feed(client, BY_SEQUENCE[-1], offset=first - 1, limit=1)
    (middle,) = await feed(client, BY_SEQUENCE[-1], offset=first + 49, limit=1)
    start, stop = begin["timestamp"], middle["timestamp"]
    assert numbers(await feed(client, label, startTime=start)) == list(range(first, first + 100))
    assert numbers(await feed(client, label, starttime=start, LIMIT=200)) == list(range(first, first + 200))
    rest = await feed(client, label, startTime=start, offset=200, limit=200, includemetadata="FALSE")
    assert numbers(rest) == list(range(first + 200, last + 1))
    assert numbers(await feed(client, label, startTime=start, endTime=stop)) == list(range(first, first + 50))
    paged = await feed(client, label, startTime=start, endTime=stop, offset=45, limit=100)
    assert numbers(paged) == list(range(first + 45, first + 50))
    assert numbers(await feed(client, label, limit=3)) == [1, 2, 3]
    assert numbers(await feed(client, label, endTime=stop, offset=first - 1, limit=2)) == [first, first + 1]
    assert await feed(client, label, startTime=start, offset=999_999_999_999_999_999) == []


@pytest.mark.parametrize("label", BY_TIME)
async def test_a_time_may_be_in_any_zone_and_pasted_as_it_was_answered(client, label):
    await stored(client, label, 2)
    newest = await latest(client, label)
    at = newest["timestamp"]
    whole, _, rest = at.partition("+")[0].partition(".")
    elsewhere = datetime.fromisoformat(whole) + timedelta(hours=5, minutes=30)
    shifted = f"{elsewhere.isoformat()}.{rest or '0'}%2B05:30"
    for text in (at.replace("+", "%2B"), at, at.replace("+00:00", "Z"), shifted):
        answer = await client.get(f"/{label}/changefeed?startTime={text}")
        assert numbers(answer.json())[0] == newest["sequence"], text


async def test_instances_of_many_series_keep_their_order_and_their_own_metadata(client, version):
    instances = [one for _ in range(6) for one in await stored(client, version, 3)]
    first = (await latest(client, version))["sequence"] - 17
    if is_by_time(version):
        (begin,) = await feed(client, BY_SEQUENCE[-1], offset=first - 1, limit=1)
        entries = await feed(client, version, startTime=begin["timestamp"])
    else:
        entries = await feed(client, version, offset=first - 1, limit=100)
    assert numbers(entries) == list(range(first, first + 18))
    # The instances of one request are of different studies, which become visible side by side.
    assert {entry["sopInstanceUid"] for entry in entries} == {one.sop_instance_uid for one in instances}
    for entry in entries:
        assert entry["metadata"]["00080018"]["Value"] == [entry["sopInstanceUid"]]
        assert entry["metadata"]["0020000D"]["Value"] == [entry["studyInstanceUid"]]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=abc", "limit"),
        ("limit=", "limit"),
        ("Limit=201", "limit"),
        ("offset=-1", "offset"),
        ("offset=1.5", "offset"),
        ("offset=99999999999999999999999", "offset"),
        ("includemetadata=maybe", "includemetadata"),
        ("includemetadata=1", "includemetadata"),
        ("INCLUDEMETADATA=", "includemetadata"),
    ],
)
async def test_a_wrong_parameter_is_400_with_its_name(client, version, query, name):
    answer = await client.get(f"/{version}/changefeed?{query}")
    assert (answer.status_code, answer.text.partition(":")[0].lower()) == (400, name)
    assert answer.headers["api-supported-versions"] == SUPPORTED
    if name == "includemetadata":
        answer = await client.get(f"/{version}/changefeed/latest?{query}")
        assert (answer.status_code, answer.text.partition(":")[0].lower()) == (400, name)


@pytest.mark.parametrize("label", BY_SEQUENCE)
async def test_by_sequence_more_than_100_are_refused(client, label):
    assert (await client.get(f"/{label}/changefeed?limit=101")).status_code == 400


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("startTime=2026-11-21T08:30:00", "StartTime"),
        ("endTime=2026-11-21T08:30:00", "EndTime"),
        ("startTime=2026-11-21", "StartTime"),
        ("endTime=yesterday", "EndTime"),
        ("startTime=2026-02-30T00:00:00Z", "StartTime"),
        ("startTime=2026-11-21T08:30:00Z&endTime=2026-11-21T08:30:00Z", "EndTime"),
        ("startTime=2026-11-21T08:30:00Z&endTime=2026-11-21T09:30:00%2B02:00", "EndTime"),
        ("endTime=0001-01-01T00:00:00Z", "EndTime"),
        ("startTime=9999-12-31T23:59:59.9999999Z", "EndTime"),
    ],
)
@pytest.mark.parametrize("label", BY_TIME)
async def test_by_time_a_wrong_time_is_400_with_its_name(client, label, query, name):
    answer = await client.get(f"/{label}/changefeed?{query}")
    assert (answer.status_code, answer.text.partition(":")[0]) == (400, name)


async def test_other_methods_are_405(client, version):
    for path in ("/changefeed", "/changefeed/latest"):
        answer = await client.post(f"/{version}{path}")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


async def test_any_accept_is_taken(client, version):
    """Contract (b): rows 22 and 23 do not check it."""
    for accept in ("image/png", "text/html", ""):
        answer = await client.get(f"/{version}/changefeed?limit=1", headers={"Accept": accept})
        assert (answer.status_code, answer.headers["content-type"]) == (200, JSON)


async def test_the_document_describes_the_parameters_and_the_entry(client, version):
    document = (await client.get(f"/{version}/api.json")).json()
    operation = document["paths"][f"/{version}/changefeed"]["get"]
    limits = {one["name"]: one["schema"] for one in operation["parameters"]}
    by_time = {"StartTime", "EndTime"} if is_by_time(version) else set()
    offset, limit = ("Offset", "Limit") if is_by_time(version) else ("offset", "limit")
    assert limits.keys() == {offset, limit, "includeMetadata"} | by_time
    default, most = (100, 200) if is_by_time(version) else (10, 100)
    assert limits[limit] == {"type": "integer", "default": default, "minimum": 1, "maximum": most}
    assert limits["includeMetadata"] == {"type": "boolean", "default": True}
    properties = document["components"]["schemas"]["ChangeEntry"]["properties"]
    await stored(client, version)
    assert (await latest(client, version)).keys() == properties.keys()
