"""One record for each access to data: who, what, and how it ended, without a value of anybody (contract C18)."""

from __future__ import annotations

import json
import logging

import pytest

from shared.api import audit, pipeline
from shared.dev.issuer import TENANT
from shared.errors import NotFound, StoreUnavailable
from shared.settings import Settings
from shared.wire.call import Reply
from tests.api import made
from tests.support.tokens import bearer, door, issuer

INSTANCE = {"studyInstanceUid": "1.2 ", "seriesInstanceUid": "1.2.3", "sopInstanceUid": "1.2.3.4"}

# The words of contract C18, but for the work that goes on behind a bulk update, which no request does.
WORDS = {
    *("store", "retrieve", "retrieve-metadata", "retrieve-rendered", "query", "delete", "change-feed", "export"),
    *("operation", "partition", "add-workitem", "cancel-workitem", "query-workitem", "retrieve-workitem"),
    *("change-state-workitem", "update-workitem", "add-extended-query-tag", "remove-extended-query-tag"),
    *("get-all-extended-query-tag", "get-extended-query-tag", "get-extended-query-tag-errors"),
    *("update-extended-query-tag", "update-study"),
}


@pytest.fixture
def records(caplog):
    caplog.set_level(logging.INFO, "dicom.audit")

    def taken():
        return [json.loads(one.getMessage()) for one in caplog.records if one.name == "dicom.audit"]

    return taken


async def ask(name, request, *, reply=None, error=None, settings=made.SETTINGS, front=None):
    async def act(_call):
        if error:
            raise error
        return reply or Reply(200)

    endpoint = made.bound(settings=settings, room=made.Room(act))[name]
    return await pipeline.answer(endpoint, request, front or made.door(settings))


async def test_a_record_says_what_was_done_to_what_and_how_it_ended(records):
    await ask("v2_retrieveFrames", made.arrival(path={**INSTANCE, "frames": "3,1"}))
    (found,) = records()
    assert found.pop("time").endswith("Z")
    assert found == {
        "action": "retrieve",
        "operation": "retrieveFrames",
        "version": "v2",
        "outcome": 200,
        "caller": "anonymous",
        "partition": "Microsoft.Default",
        "resources": {
            "studyInstanceUid": "1.2",
            "seriesInstanceUid": "1.2.3",
            "sopInstanceUid": "1.2.3.4",
            "frames": [3, 1],
        },
    }


async def test_a_record_names_the_caller_in_the_issuers_words(records):
    token = issuer().token("globalReader", sub="sub\n1", oid="o" * 300, appid="app", azp=None)
    request = made.arrival(path=INSTANCE, headers=bearer(token))
    assert (await ask("v2_retrieveStudy", request, front=door())).status == 200
    assert records()[0]["caller"] == {
        "subject": "sub\n1",
        "object_id": "o" * 256,
        "application": "app",
        "tenant": TENANT,
        "roles": ["globalReader"],
    }


async def test_who_is_refused_is_recorded_as_far_as_they_are_known(records):
    await ask("v2_deleteStudy", made.arrival("DELETE", path=INSTANCE), front=door())
    reader = bearer(issuer().token("globalReader", sub="reader"))
    await ask("v2_deleteStudy", made.arrival("DELETE", path=INSTANCE, headers=reader), front=door())
    nobody, known = records()
    assert (nobody["outcome"], nobody["caller"], nobody.get("resources")) == (401, "anonymous", None)
    assert (known["outcome"], known["caller"]["subject"], known["action"]) == (403, "reader", "delete")
    assert known["resources"] == {"studyInstanceUid": "1.2"}


@pytest.mark.parametrize(
    ("error", "outcome"), [(NotFound("x"), 404), (StoreUnavailable(), 503), (RuntimeError("Doe^John"), 500)]
)
async def test_a_failed_access_is_recorded_with_its_status(records, error, outcome):
    await ask("v2_retrieveStudy", made.arrival(path=INSTANCE), error=error)
    (found,) = records()
    assert (found["outcome"], found["resources"]) == (outcome, {"studyInstanceUid": "1.2"})


async def test_an_access_is_recorded_before_the_first_byte_is_sent(records):
    async def act(_call):
        return Reply(200, made.stream(b"one", b"two"), "application/dicom")

    endpoint = made.bound(room=made.Room(act))["v2_retrieveStudy"]
    reply = await made.ask(endpoint, made.arrival(path=INSTANCE))
    assert len(records()) == 1
    assert b"".join([chunk async for chunk in made.streaming(reply)]) == b"onetwo"
    assert len(records()) == 1


async def test_what_a_store_took_in_is_named_up_to_a_bound_and_counted(records):
    stored = tuple(f"1.2/1.2.3/1.{number}" for number in range(150))
    await ask("v2_storeInstances", store(), reply=Reply(200, about=(*stored, *stored)))
    (found,) = records()
    assert found["about"] == list(stored[: audit.MOST_RESOURCES])
    assert found["aboutCount"] == 150


def store(**more):
    return made.arrival("POST", headers={"Content-Type": "application/dicom"}, chunks=(b"x",), **more)


async def test_what_is_no_uid_is_never_in_a_record(records):
    odd = ("DOE^JOHN", "1.2/DOE", "1.2/1.3/1.4/1.5", "1" * 65, "", "1.2\n", "١.٢", "1.2")
    await ask("v2_storeInstances", store(), reply=Reply(200, about=odd))
    await ask("v2_retrieveStudy", made.arrival(path={"studyInstanceUid": "DOE^JOHN"}))
    await ask("v2_getExtendedQueryTag", made.arrival(path={"tagPath": "DOE^JOHN"}))
    await ask("v2_getExtendedQueryTag", made.arrival(path={"tagPath": "00100010"}))
    await ask("v2_searchStudies", made.arrival(query="PatientName=DOE%5EJOHN&00100020=DOE"))
    await ask("v2_getExtendedQueryTag", made.arrival(path={"tagPath": "DOEJOHN"}))
    await ask("v2_getExtendedQueryTag", made.arrival(path={"tagPath": "PatientName"}))
    await ask("v2_getOperation", made.arrival(path={"operationId": "0F8FAD5B-d9cb-469f-a165-70867728950e"}))
    await ask("v2_getOperation", made.arrival(path={"operationId": "DOE"}))
    taken = records()
    assert [found["outcome"] for found in taken] == [200, 400, 200, 200, 200, 200, 200, 200, 200]
    assert taken[0]["about"] == ["1.2"]
    assert taken[3]["resources"] == {"tagPath": "00100010"}
    assert taken[6]["resources"] == {"tagPath": "PatientName"}
    assert taken[7]["resources"] == {"operationId": "0F8FAD5B-d9cb-469f-a165-70867728950e"}
    assert "DOE" not in json.dumps(taken)


async def test_a_record_names_the_partition(records):
    settings = Settings(data_partitions=True)
    path = {**INSTANCE, "partitionName": "clinic-1"}
    await ask("v2_retrieveStudyInPartition", made.arrival(path=path), settings=settings)
    odd = {**INSTANCE, "partitionName": "DOE^JOHN"}
    await ask("v2_retrieveStudyInPartition", made.arrival(path=odd), settings=settings)
    good, bad = records()
    assert (good["partition"], bad.get("partition")) == ("clinic-1", None)


async def test_audit_headers_are_in_the_record(records):
    headers = {"X-MS-AZUREDICOM-AUDIT-Reason": "R", "x-ms-azuredicom-audit-site": "S" * audit.MOST_HEADER_CHARACTERS}
    more = {f"x-ms-azuredicom-audit-{number}": "\x07\r\n\u00e9" for number in range(8)}
    reply = await ask("v2_retrieveStudy", made.arrival(path=INSTANCE, headers={**headers, **more, "X-Other": "O"}))
    assert reply.status == 200
    (found,) = records()
    assert len(found["custom"]) == 10
    assert found["custom"]["x-ms-azuredicom-audit-reason"] == "R"
    assert found["custom"]["x-ms-azuredicom-audit-7"] == "\x07\r\n\u00e9"


@pytest.mark.parametrize(
    "headers",
    [
        {f"X-MS-AZUREDICOM-AUDIT-{number}": "x" for number in range(11)},
        {"x-ms-azuredicom-audit-a": "x" * 2049},
    ],
)
async def test_too_many_or_too_long_audit_headers_are_refused(records, headers):
    """Contract C1.9."""
    reply = await ask("v2_retrieveStudy", made.arrival(path=INSTANCE, headers=headers))
    assert reply.status == 400
    assert b"X-MS-AZUREDICOM-AUDIT-" in made.whole(reply)
    assert (records()[0]["outcome"], records()[0].get("custom")) == (400, None)


async def test_repeated_lines_of_an_audit_header_count_together(records):
    lines = [("Host", "h"), ("Accept", "*/*"), *[("X-Ms-AzureDicom-Audit-A", "x" * 1500)] * 2]
    request = made.replaced_headers(made.arrival(path=INSTANCE), lines)
    assert (await ask("v2_retrieveStudy", request)).status == 400


async def test_a_record_is_one_line_of_ascii_whatever_is_in_it(caplog):
    caplog.set_level(logging.INFO, "dicom.audit")
    headers = {"X-MS-AZUREDICOM-AUDIT-A": 'a\r\n{"forged": 1}\x00\x1b[31m\x7f\u0085\u2028'}
    await ask("v2_retrieveStudy", made.arrival(path=INSTANCE, headers=headers))
    (line,) = [one.getMessage() for one in caplog.records if one.name == "dicom.audit"]
    assert line.isascii()
    assert not set(line) & {chr(code) for code in (*range(32), 127)}


async def test_what_is_open_to_anyone_and_what_no_row_serves_has_no_record(records):
    await ask("v2_getOpenApi", made.arrival())
    await ask("service_getLiveness", made.arrival())
    await ask("zy_v2_fallback", made.arrival(path={"version": "v2", "path": "x"}))
    assert records() == []


def test_the_words_are_those_of_the_contract():
    assert {rule.audit for rule in made.loaded().shapes.access.values()} - {""} == WORDS


def test_every_operation_that_needs_an_action_is_recorded():
    for endpoint in made.bound().values():
        if hasattr(endpoint.work, "rule"):
            assert (made.service(endpoint).rule.action is None) == (not made.service(endpoint).rule.audit)
