from __future__ import annotations

from dataclasses import replace

import pytest

from shared.api import farewell, manifest
from shared.api.decode import ManifestError
from shared.api.lifecycle import Deprecation
from shared.errors import NotFound
from shared.settings import Settings
from shared.wire.call import Reply
from tests.api import made
from tests.api.host_rules import Function, pick
from tests.api.test_labels import SPELLINGS

LINKS = (
    f'<{made.READ_MORE}>; rel="deprecation"; type="text/html", '
    f'<{made.READ_MORE}>; rel="sunset"; type="text/html", '
    '<https://dicom.example:8080/v2/api.yaml>; rel="successor-version"'
)
WARNING = '299 - "Version 1 is deprecated and may be gone from 2028-01-02 on; use version 2."'
FAREWELL = {
    "Deprecation": "@1798761600",
    "Sunset": "Sun, 02 Jan 2028 00:00:00 GMT",
    "Warning": WARNING,
    "Link": LINKS,
}
PATH = {
    "studyInstanceUid": "1.2",
    "seriesInstanceUid": "3.4",
    "sopInstanceUid": "5.6",
    "frames": "2,1",
    "frame": "7",
    "workitemInstanceUid": "8.9",
}
OPERATIONS = tuple(name for name, endpoint in made.bound().items() if endpoint.version == "v1")
# What the front door answers itself; bulk update is an operation of later versions.
NOT_SERVED = ("fallback", "bulkUpdateStudies")
WITHOUT_A_ROOM = {
    *NOT_SERVED,
    *(row.operation for version in made.loaded().versions for row in version.rows if row.handler.startswith("api.")),
}


@pytest.fixture(scope="module")
def deprecated(tmp_path_factory):
    return made.folder(tmp_path_factory.mktemp("deprecated"), v1=made.deprecate)


@pytest.fixture(scope="module")
def endpoints(deprecated):
    return made.bound(deprecated)


@pytest.fixture(scope="module")
def retired(tmp_path_factory):
    return made.folder(tmp_path_factory.mktemp("retired"), v1__0_prerelease=made.retire)


def farewell_of(reply):
    return {name: value for name, value in reply.headers if name in FAREWELL}


def acting(endpoint, act):
    """The endpoint with another handler, where a room has one."""
    if endpoint.operation in WITHOUT_A_ROOM:
        return endpoint

    async def handler(call, _stores):
        return await act(call)

    return replace(endpoint, work=replace(made.service(endpoint), handler=handler))


def fitting(endpoint, **more):
    """A request the endpoint takes, and the settings under which it does."""
    partitioned = endpoint.name.endswith("InPartition")
    path = {"version": "v1", **PATH, **({"partitionName": "p"} if partitioned else {})}
    headers = {}
    if getattr(endpoint.work, "media_types", ()):
        headers["Content-Type"] = endpoint.work.media_types[0]
    return made.arrival(endpoint.methods[0], path, headers=headers, **more), Settings(data_partitions=partitioned)


@pytest.mark.parametrize("name", OPERATIONS)
async def test_every_operation_of_a_deprecated_version_says_so_on_success(endpoints, name):
    async def act(_call):
        return Reply(min(made.service(endpoint).statuses))

    endpoint = acting(endpoints[name], act)
    request, settings = fitting(endpoint)
    reply = await made.ask(endpoint, request, settings)
    assert reply.status == (404 if endpoint.operation in NOT_SERVED else min(made.service(endpoint).statuses))
    assert farewell_of(reply) == FAREWELL
    assert made.headers_of(reply)["api-deprecated-versions"] == "1"
    # Export came with version 1.
    others = "2" if endpoint.operation == "exportStudies" else "1.0-prerelease, 2"
    assert made.headers_of(reply)["api-supported-versions"] == others


@pytest.mark.parametrize("name", OPERATIONS)
async def test_every_operation_of_a_deprecated_version_says_so_on_errors(endpoints, name):
    async def act(_call):
        raise RuntimeError

    endpoint = acting(endpoints[name], act)
    refused, settings = fitting(endpoint, query="x=<")
    replies = {400: await made.ask(endpoint, refused, settings)}
    if endpoint.operation not in WITHOUT_A_ROOM:
        request, settings = fitting(endpoint)
        replies[500] = await made.ask(endpoint, request, settings)
    for status, reply in replies.items():
        assert reply.status == status
        assert farewell_of(reply) == FAREWELL
        assert made.headers_of(reply)["api-deprecated-versions"] == "1"


@pytest.mark.parametrize(
    ("name", "version"),
    [("v2_searchStudies", "v2"), ("v1_0_prerelease_searchStudies", "v1-prerelease"), ("zy_v2_fallback", "v2")],
)
async def test_versions_that_stay_say_nothing_of_an_end_but_name_who_goes(deprecated, name, version):
    reply = await made.ask(made.bound(deprecated)[name], made.arrival(path={"version": version, "path": "studies"}))
    assert reply.status == (405 if "fallback" in name else 200)
    assert farewell_of(reply) == {}
    assert made.headers_of(reply)["api-deprecated-versions"] == "1"


async def test_a_warning_of_the_operation_stays_beside_that_of_the_version(deprecated):
    own = '299 dicom.example: "Two values."'

    async def act(_call):
        return Reply(200, b"", None, (("Warning", own),))

    endpoint = made.bound(deprecated, room=made.Room(act))["v1_storeInstances"]
    request, settings = fitting(endpoint)
    reply = await made.ask(endpoint, request, settings)
    assert [value for name, value in reply.headers if name == "Warning"] == [
        WARNING,
        '299 dicom.example: "Two values."',
    ]


async def test_without_a_usable_host_the_successor_is_a_relative_reference(deprecated):
    endpoint = made.bound(deprecated)["v1_searchStudies"]
    reply = await made.ask(endpoint, made.arrival(path={"version": "v1"}, headers={"Host": "a/b>; rel=x"}))
    assert farewell_of(reply)["Link"].endswith(', </v2/api.yaml>; rel="successor-version"')
    assert "a/b" not in farewell_of(reply)["Link"]


def test_a_successor_without_document_is_linked_by_its_root():
    v1, v2 = (replace(version, rows=()) for version in made.loaded().versions[1:3])
    end = Deprecation(v1.released, v1.released, "v2", made.READ_MORE)
    goes = farewell.of_deprecated(replace(v1, deprecation=end), [v1, v2])
    assert goes is not None
    assert goes.headers(made.arrival())[-1][1].endswith('<https://dicom.example:8080/v2/>; rel="successor-version"')


@pytest.mark.parametrize("method", manifest.METHODS)
@pytest.mark.parametrize("path", [None, "studies", "api.yaml", "a/b/c/d/e"])
async def test_a_retired_version_answers_410_to_everything(retired, method, path):
    endpoint = made.bound(retired)["zy_v1_0_prerelease_retired"]
    given = {"version": "v1.0-Prerelease", **({"path": path} if path else {})}
    reply = await made.ask(endpoint, made.arrival(method, given))
    assert (reply.status, reply.media_type) == (410, "text/plain; charset=utf-8")
    assert made.whole(reply).decode() == (
        f"Version 1.0-prerelease was retired on 2028-01-02. Use version 2; read more at {made.READ_MORE}"
    )
    assert farewell_of(reply) == {"Link": LINKS}
    assert made.headers_of(reply)["api-supported-versions"] == "1, 2"
    assert "api-deprecated-versions" not in made.headers_of(reply)


@pytest.mark.parametrize("setting", [(), ("v2",), ("v1.0-prerelease",), ("V1-prerelease", "v2.0")])
def test_every_spelling_of_a_retired_version_reaches_its_one_trigger_in_every_app(retired, setting):
    endpoints = made.bound(retired, Settings(api_versions=setting))
    served = [Function(one.name, one.pattern.template, one.methods) for one in endpoints.values()]
    for spelling in SPELLINGS["v1.0-prerelease"]:
        for path in ("", "/", "/studies", "/partitions/p/studies/1", "/api.yaml", "/a/b/c/d"):
            assert pick(served, "POST", f"/{spelling}{path}")[0] == "zy_v1_0_prerelease_retired"
    wanted = {"v1", "v2"} if not setting else {"v2"} if len(setting) == 2 or setting == ("v2",) else set()
    assert {one.version for one in endpoints.values() if one.operation == "storeInstances"} == wanted
    assert pick(served, "GET", "/v9/studies")[0] == "zz_unknown_version"


def test_a_retired_version_has_no_other_trigger_and_sorts_after_all_rows(retired):
    names = list(made.bound(retired))
    assert [name for name in names if "v1_0" in name] == ["zy_v1_0_prerelease_retired"]
    assert all(name.startswith(("zy_", "zz_")) for name in names[names.index("zy_v1_0_prerelease_retired") :])


def test_a_setting_that_names_neither_a_served_nor_a_retired_version_stops_the_start(retired):
    with pytest.raises(ManifestError, match="names 'v7'"):
        made.bound(retired, Settings(api_versions=("v1.0-prerelease", "v7")))


async def test_what_stays_does_not_name_a_retired_version(retired):
    async def act(_call):
        raise NotFound("Not here.")

    endpoint = made.bound(retired, room=made.Room(act))["v1_retrieveStudy"]
    reply = await made.ask(endpoint, made.arrival(path={**PATH, "version": "v1"}))
    assert (reply.status, made.headers_of(reply)["api-supported-versions"]) == (404, "1, 2")
    assert farewell_of(reply) == {}
