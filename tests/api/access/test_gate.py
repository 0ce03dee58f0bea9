"""Every route and every role, through the real front door, and what is answered first (contract b, C1.1, C16)."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from shared.api import pipeline
from shared.api.access.actions import OPEN_ROOMS, Action
from shared.api.access.keys import KeyStore
from shared.api.decode import ManifestError
from shared.api.endpoints import Endpoint, Service
from shared.api.pipeline import Door
from shared.dev.issuer import AUDIENCE
from shared.settings import Settings
from shared.wire.call import Call, Reply
from tests.api import made
from tests.support.tokens import ACCESS, AUTHORITY, Network, bearer, door, gate, issuer

# What each request needs, from the contract's table of routes and not from ours; the first that fits counts.
NEEDED = (
    (r"GET (api\.(yaml|json)|conformance|docs)", None),
    (r"GET (versions|changes|docs/\{asset\}|health/(live|ready|check))", None),
    (r"(POST|PATCH|DELETE) extendedquerytags(/\{tagPath\})?", "manageExtendedQueryTags"),
    (r"POST export", "export"),
    (r"DELETE studies/.*", "delete"),
    (r"POST studies(/(\{studyInstanceUid\}|\$bulkUpdate))?", "write"),
    (r"(POST|PUT) workitems(/.*)?", "write"),
    (r"GET (studies|series|instances|changefeed|extendedquerytags|operations|partitions|workitems)(/.*)?", "read"),
)
OWN_ROLES = [{"name": f"only {action.value}", "dataActions": [action.value]} for action in Action]
ROLES: dict[str | None, set[str]] = {
    "globalReader": {"read"},
    "DICOM Data Reader": {"read"},
    "globalAdmin": {action.value for action in Action},
    "DICOM Data Owner": {action.value for action in Action},
    **{f"only {action.value}": {action.value} for action in Action},
    "no such role": set(),
    None: set(),
}
WITH_OWN_ROLES = replace(ACCESS, roles=json.dumps(OWN_ROLES))
CHALLENGE = f'Bearer authorization_uri="{AUTHORITY}", resource_id="{AUDIENCE}", realm="{AUDIENCE}"'
PATH = {
    "studyInstanceUid": "1.2",
    "seriesInstanceUid": "1.2.3",
    "sopInstanceUid": "1.2.3.4",
    "frames": "1",
    "frame": "1",
    "tagPath": "00101010",
    "operationId": "0" * 32,
    "asset": "x",
}


async def succeed(call: Call) -> Reply:
    return Reply(min(status for status in STATUSES[call.operation] if status < 300))


ROOM = made.Room(succeed)


def light(endpoint: Endpoint) -> Endpoint:
    """Documents take seconds to write, and the handlers that do are not the room's: here they are, too."""
    return replace(endpoint, work=replace(made.service(endpoint), handler=ROOM.resolve(endpoint.operation)))


ENDPOINTS = {name: light(one) for name, one in made.bound(room=ROOM).items() if isinstance(one.work, Service)}
STATUSES = {one.operation: made.service(one).statuses for one in ENDPOINTS.values()}


def needed(endpoint: Endpoint) -> str | None:
    below = re.sub(r"^\{version[^/]*/(partitions/\{partitionName\}/)?", "", endpoint.pattern.template)
    request = f"{endpoint.methods[0]} {re.sub(r':[^/}]*(?=})', '', below)}"
    return next(action for pattern, action in NEEDED if re.fullmatch(pattern, request))


def request(endpoint: Endpoint, headers: dict[str, str]):
    kinds = made.service(endpoint).media_types
    typed = {"Content-Type": kinds[0], "Content-Length": "1"} if kinds else {}
    inside = {"partitionName": "p"} if endpoint.name.endswith("InPartition") else {}
    path = {"version": endpoint.version, **PATH, **inside, "workitemInstanceUid": "1.2"}
    query = "from=v1&to=v2" if endpoint.operation == "getChanges" else ""
    return made.arrival(endpoint.methods[0], path=path, headers={**headers, **typed}, query=query, chunks=(b"x",))


@pytest.fixture(scope="module")
def doors() -> dict[bool, Door]:
    return {inside: door(WITH_OWN_ROLES, data_partitions=inside) for inside in (False, True)}


async def ask(endpoint: Endpoint, headers: dict[str, str], doors: dict[bool, Door]) -> Reply:
    return await pipeline.answer(endpoint, request(endpoint, headers), doors[endpoint.name.endswith("InPartition")])


@pytest.mark.parametrize("role", ROLES)
async def test_every_route_lets_those_in_whose_role_allows_it_and_nobody_else(role, doors):
    headers = bearer(issuer().token(*([role] if role else [])))
    wrong = []
    for endpoint in ENDPOINTS.values():
        ROOM.calls.clear()
        action = needed(endpoint)
        reply = await ask(endpoint, headers, doors)
        if (reply.status < 300, bool(ROOM.calls)) != ((action is None or action in ROLES[role]),) * 2:
            wrong.append(f"{endpoint.name}: {reply.status} {made.whole(reply)[:60]!r}")
        elif reply.status >= 300 and (reply.status, reply.media_type) != (403, "text/plain; charset=utf-8"):
            wrong.append(f"{endpoint.name}: {reply.status}")
    assert wrong == []


async def test_without_a_token_every_route_but_those_for_anyone_is_a_401_without_a_body(doors):
    for endpoint in ENDPOINTS.values():
        ROOM.calls.clear()
        reply = await ask(endpoint, {}, doors)
        if needed(endpoint) is None:
            assert reply.status < 300, endpoint.name
            continue
        assert (reply.status, made.whole(reply), reply.media_type, ROOM.calls) == (401, b"", None, []), endpoint.name
        assert made.headers_of(reply)["www-authenticate"] == CHALLENGE
        assert ("api-supported-versions" in made.headers_of(reply)) == bool(endpoint.version)


def test_the_table_has_every_action_and_both_kinds_of_routes():
    found = {needed(endpoint) for endpoint in ENDPOINTS.values()}
    assert found == {None, *(action.value for action in Action)}
    assert sum(one.name.endswith("InPartition") for one in ENDPOINTS.values()) > 50


async def test_several_roles_allow_what_any_of_them_allows(doors):
    headers = bearer(issuer().token("only read", "only delete"))
    answers = {
        name: (await ask(ENDPOINTS[name], headers, doors)).status
        for name in ("v2_retrieveStudy", "v2_deleteStudy", "v2_storeInstances")
    }
    assert answers == {"v2_retrieveStudy": 200, "v2_deleteStudy": 204, "v2_storeInstances": 403}


async def test_a_bad_token_is_told_apart_from_none_and_keeps_nobody_from_the_documents(doors):
    bad = {"Authorization": "Bearer a.b.c"}
    reply = await ask(ENDPOINTS["v2_retrieveStudy"], bad, doors)
    assert made.headers_of(reply)["www-authenticate"] == f'{CHALLENGE}, error="invalid_token"'
    assert (await ask(ENDPOINTS["v2_getOpenApi"], bad, doors)).status == 200


async def test_when_access_control_is_off_tokens_are_not_looked_at():
    for headers in ({}, {"Authorization": "Bearer a.b.c"}, {"Authorization": "Basic x"}):
        assert (await made.ask(ENDPOINTS["v2_retrieveStudy"], made.arrival(path=PATH, headers=headers))).status == 200


# Contract C1.1: which error wins.


async def first(endpoint: str, arrival, role: str | None = None) -> int:
    settings = Settings(access=ACCESS)
    return (await pipeline.answer(made.bound()[endpoint], arrival, replace(door(), settings=settings))).status


@pytest.mark.parametrize(
    ("endpoint", "method", "path", "status"),
    [
        ("zy_v2_fallback", "GET", "nothing/here", 404),
        ("zy_v2_fallback", "PUT", "studies", 405),
        ("zy_v2_fallback", "OPTIONS", "studies", 405),
        ("zy_v2_fallback", "HEAD", "studies/1.2", 405),
        ("zz_unknown_version", "GET", "studies", 400),
    ],
)
async def test_what_routing_decides_is_answered_without_a_token(endpoint, method, path, status):
    version = "v9" if endpoint.startswith("zz") else "v2"
    assert await first(endpoint, made.arrival(method, path={"version": version, "path": path})) == status


async def test_a_wrong_body_type_and_a_bad_query_are_told_before_the_401():
    assert await first("v2_storeInstances", made.arrival("POST", headers={"Content-Type": "text/html"})) == 415
    assert await first("v2_retrieveStudy", made.arrival(path=PATH, query="x=%3c")) == 400


@pytest.mark.parametrize(
    "more",
    [
        {"path": {"studyInstanceUid": "x"}},
        {"headers": {"Accept": "text/html"}},
        {"path": {"partitionName": "p"}},
        {"headers": {f"X-MS-AZUREDICOM-AUDIT-{number}": "x" for number in range(11)}},
        {"headers": {"Host": None}},
    ],
)
async def test_the_401_is_told_before_everything_else_and_the_403_after_it(more):
    more = {**more, "path": {**PATH, **more.get("path", {})}}
    assert await first("v2_retrieveStudy", made.arrival(**more)) == 401
    token = bearer(issuer().token("no such role"))
    known = {**more, "headers": {**more.get("headers", {}), **token}}
    assert await first("v2_retrieveStudy", made.arrival(**known)) in (400, 406)
    assert await first("v2_retrieveStudy", made.arrival(path=PATH, headers=token)) == 403


async def test_the_body_of_somebody_without_the_role_reaches_no_handler():
    ROOM.calls.clear()
    headers = {**bearer(issuer().token("globalReader")), "Content-Type": "application/dicom"}
    arrival = made.arrival("POST", headers=headers, chunks=(b"not DICOM",))
    reply = await pipeline.answer(ENDPOINTS["v2_storeInstances"], arrival, door())
    assert (reply.status, ROOM.calls) == (403, [])
    assert made.whole(reply) == b"The roles of this token do not allow this operation."


async def test_without_keys_everybody_is_asked_to_come_again():
    network = Network(issuer())
    network.down = True
    closed = replace(door(), gate=type(gate())(ACCESS, KeyStore(ACCESS, network.fetch)))
    headers = bearer(issuer().token("globalAdmin"))
    reply = await pipeline.answer(ENDPOINTS["v2_retrieveStudy"], made.arrival(path=PATH, headers=headers), closed)
    assert (reply.status, made.headers_of(reply)["retry-after"]) == (503, "5")
    reply = await pipeline.answer(ENDPOINTS["v2_retrieveStudy"], made.arrival(path=PATH), closed)
    assert reply.status == 401


# Nobody can forget it.


def faults_of(where) -> str:
    with pytest.raises(ManifestError) as caught:
        made.bound(where)
    return str(caught.value)


def test_a_row_that_nobody_has_given_an_action_stops_the_start(tmp_path):
    where = made.folder(
        tmp_path, v2=lambda text: text.replace("handler: wado.retrieve_study\n", "handler: wado.retrieve_thumbnail\n")
    )
    assert "does not say who may call wado.retrieve_thumbnail" in faults_of(where)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("{action: anyone}", "only operations of api and health are open to anyone"),
        ("{action: read}", "needs an audit word"),
        ("{action: look, audit: retrieve}", "not a fitting word"),
        ("{action: '*', audit: retrieve}", "not a fitting word"),
        ("{audit: retrieve}", "'action' is missing"),
        ("{action: read, audit: Re trieve}", "not a fitting word"),
    ],
)
def test_a_rule_that_opens_data_or_means_nothing_stops_the_start(tmp_path, rule, said):
    where = made.folder(
        tmp_path,
        shapes=lambda text: text.replace(
            "wado.retrieve_study: {action: read, audit: retrieve}", f"wado.retrieve_study: {rule}"
        ),
    )
    assert said in faults_of(where)


def test_only_rooms_without_stored_data_are_open():
    rules = made.loaded().shapes.access
    assert {name.partition(".")[0] for name, rule in rules.items() if rule.action is None} == set(OPEN_ROOMS)
