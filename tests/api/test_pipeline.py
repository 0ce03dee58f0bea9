from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace

import pytest

from shared.api import pipeline
from shared.api.arrival import BEYOND_LIMIT_BYTES
from shared.errors import ClientGone, MalformedBody, NotFound, StoreUnavailable
from shared.settings import Settings
from shared.wire.call import Reply
from tests.api import made
from tests.support.versions import SUPPORTED

ALL = SUPPORTED
PARTITIONED = Settings(data_partitions=True)
STUDY = {"studyInstanceUid": "1.2"}


async def ask(name, request, *, act=None, settings=made.SETTINGS, where=made.VERSIONS):
    room = made.Room(act)
    reply = await made.ask(made.bound(where, settings, room)[name], request, settings)
    return reply, room.calls


def raising(error):
    async def act(_call):
        raise error

    return act


def replying(reply):
    async def act(_call):
        return reply

    return act


async def test_a_good_request_reaches_its_handler_as_a_call():
    request = made.arrival(
        path={"version": "V2.0", "studyInstanceUid": "1.2 "},
        headers={"If-None-Match": "7-1", "msdicom-request-original": "True"},
    )
    reply, (call,) = await ask("v2_retrieveStudyMetadata", request)
    assert reply.status == 200
    assert call.operation == "retrieveStudyMetadata"
    assert call.parameters == {"study_uid": "1.2", "if_none_match": "7-1", "request_original": True}
    assert call.service_root == "https://dicom.example:8080/V2.0"
    assert call.partition == "Microsoft.Default"
    assert call.choice.media_type == "application/dicom+json"
    assert call.behaviours.warned_store_status.value == "accepted_202"


async def test_every_answer_has_base_and_version_headers():
    reply, _ = await ask("v1_retrieveStudy", made.arrival(path=STUDY))
    headers = made.headers_of(reply)
    assert headers["api-supported-versions"] == ALL
    assert "api-deprecated-versions" not in headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["content-security-policy"] == "frame-src 'self';"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("Not here."), 404),
        (StoreUnavailable(9), 503),
        (MalformedBody("Broken."), 400),
        (ClientGone("Gone."), 400),
        (RuntimeError("Doe^John"), 500),
        (RecursionError("Doe^John"), 500),
    ],
)
async def test_errors_of_a_handler_become_answers_with_version_headers(error, status, caplog):
    reply, _ = await ask("v2_retrieveStudy", made.arrival(path=STUDY), act=raising(error))
    assert reply.status == status
    assert made.headers_of(reply)["api-supported-versions"] == ALL
    assert reply.media_type == "text/plain; charset=utf-8"
    assert "Doe" not in reply.body.decode()
    assert "Doe" not in caplog.text


async def test_an_unexpected_error_is_logged_with_its_place_and_causes_but_without_its_message(caplog):
    cause, effect = KeyError("Doe^John"), ValueError("Roe^Jane")

    async def act(_call):
        try:
            raise cause
        except KeyError as error:
            raise effect from error

    await ask("v2_retrieveStudy", made.arrival(path=STUDY), act=act)
    text = "\n".join(record.getMessage() for record in caplog.records)
    assert "builtins.ValueError" in text
    assert "builtins.KeyError" in text
    assert "test_pipeline.py" in text
    assert "Doe" not in text
    assert "Roe" not in text


async def test_unavailable_storage_is_one_line_in_the_log(caplog):
    await ask("v2_retrieveStudy", made.arrival(path=STUDY), act=raising(StoreUnavailable()))
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert line == "storage unavailable causes=shared.errors.StoreUnavailable"


async def test_the_query_check_comes_before_everything():
    request = made.arrival("POST", query="x=%3Cscript", headers={"Accept": "text/html"})
    reply, calls = await ask("v2_storeInstances", request)
    assert (reply.status, calls) == (400, [])
    reply, _ = await ask("v2_storeInstances", made.arrival("POST", query="x=<"))
    assert reply.status == 400


async def test_a_wrong_body_type_is_told_before_a_wrong_accept():
    request = made.arrival("POST", headers={"Content-Type": "text/html", "Accept": "text/html"})
    reply, calls = await ask("v2_storeInstances", request)
    assert (reply.status, calls) == (415, [])


@pytest.mark.parametrize("content_type", [None, "", "multipart/form-data; boundary=x", "application/json", ";"])
async def test_a_body_of_another_type_is_refused(content_type):
    reply, _ = await ask("v2_storeInstances", made.arrival("POST", headers={"Content-Type": content_type}))
    assert reply.status == 415


@pytest.mark.parametrize(
    "content_type", ["multipart/related", "Multipart/Related; boundary=x", "application/dicom; a=b"]
)
async def test_finer_rules_of_the_body_type_are_left_to_the_handler(content_type):
    reply, calls = await ask("v2_storeInstances", made.arrival("POST", headers={"Content-Type": content_type}))
    assert (reply.status, len(calls)) == (200, 1)


async def test_a_wrong_accept_is_told_before_a_wrong_parameter():
    request = made.arrival(path={"studyInstanceUid": "x"}, headers={"Accept": "text/html"})
    reply, _ = await ask("v2_retrieveStudy", request)
    assert reply.status == 406
    assert reply.body


async def test_accept_in_the_query_wins_over_the_header():
    request = made.arrival(path=STUDY, headers={"Accept": "text/html"}, query="accept=application/dicom+json")
    reply, (call,) = await ask("v2_retrieveStudyMetadata", request)
    assert (reply.status, call.choice.media_type) == (200, "application/dicom+json")


async def test_a_wrong_uid_is_a_400_that_names_the_parameter():
    reply, calls = await ask("v2_retrieveStudy", made.arrival(path={"studyInstanceUid": "1.2.x"}))
    assert (reply.status, calls) == (400, [])
    assert reply.body.startswith(b"studyInstanceUid: ")


@pytest.mark.parametrize("host", [None, "", "a b", "a/b", 'evil"', "a:b", "[::1", "x" * 300])
async def test_a_host_that_is_none_is_refused(host):
    reply, _ = await ask("v2_retrieveStudy", made.arrival(path=STUDY, headers={"Host": host}))
    assert reply.status == 400


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:7071", "[::1]:7071", "my-app_1.azurewebsites.net"])
async def test_the_host_of_the_request_is_in_the_service_root(host):
    _, (call,) = await ask("v1_retrieveStudy", made.arrival(path={**STUDY, "version": "v1"}, headers={"Host": host}))
    assert call.service_root == f"https://{host}/v1"


async def test_a_version_segment_with_a_line_feed_is_not_served():
    reply, calls = await ask("v2_retrieveStudy", made.arrival(path={**STUDY, "version": "v2\n"}))
    assert (reply.status, calls) == (404, [])
    reply, _ = await ask("zz_unknown_version", made.arrival(path={"version": "v9\n", "path": ""}))
    assert reply.status == 404


@pytest.mark.parametrize(
    ("settings", "name", "partition", "status"),
    [
        (made.SETTINGS, "v2_retrieveStudy", None, 200),
        (made.SETTINGS, "v2_retrieveStudyInPartition", "p1", 400),
        (PARTITIONED, "v2_retrieveStudy", None, 400),
        (PARTITIONED, "v2_retrieveStudyInPartition", "p1._-", 200),
        (PARTITIONED, "v2_retrieveStudyInPartition", "p 1", 400),
        (PARTITIONED, "v2_retrieveStudyInPartition", "p%2F1", 400),
        (PARTITIONED, "v2_retrieveStudyInPartition", "p" * 65, 400),
        (PARTITIONED, "v2_getOpenApi", None, 200),
    ],
)
async def test_partitions_are_named_exactly_where_they_are_in_use(settings, name, partition, status):
    path = {**STUDY, **({"partitionName": partition} if partition else {})}
    reply, calls = await ask(name, made.arrival(path=path), settings=settings)
    assert reply.status == status
    if calls:
        assert calls[0].partition == (partition or "Microsoft.Default")
        assert calls[0].service_root == "https://dicom.example:8080/v2" + (
            f"/partitions/{partition}" if partition else ""
        )


async def test_unversioned_answers_carry_no_version_headers(tmp_path):
    where = made.folder(tmp_path, service=lambda text: text.replace("routes: refused", "routes: v1"))
    room = made.Room()
    endpoint = made.bound(where, room=room)["unversioned_retrieveStudy"]
    request = replace(made.arrival(), path_values=STUDY)
    reply = await made.ask(endpoint, request)
    assert reply.status == 200
    assert "api-supported-versions" not in made.headers_of(reply)
    assert room.calls[0].service_root == "https://dicom.example:8080"
    assert room.calls[0].behaviours.warned_store_status.value == "ok_200"


async def test_a_status_the_row_does_not_name_is_noticed():
    with pytest.raises(made.Undeclared, match="retrieveStudy answered 418"):
        await ask("v2_retrieveStudy", made.arrival(path=STUDY), act=replying(Reply(418)))


async def test_in_production_an_undeclared_status_is_only_logged(caplog):
    room = made.Room(replying(Reply(418)))
    door = pipeline.Door(made.door().stores, made.SETTINGS)
    reply = await pipeline.answer(made.bound(room=room)["v2_retrieveStudy"], made.arrival(path=STUDY), door)
    assert reply.status == 418
    assert "undeclared status operation=retrieveStudy status=418" in caplog.text


async def read_all(call):
    return Reply(200, str(sum([len(chunk) async for chunk in call.body])).encode())


def upload(*chunks, **headers):
    return made.arrival("POST", chunks=chunks, headers={"Content-Type": "application/dicom", **headers})


async def test_a_body_up_to_the_limit_is_read_in_full():
    reply, _ = await ask(
        "v2_storeInstances", upload(b"12345", b"67890"), act=read_all, settings=Settings(max_request_bytes=10)
    )
    assert (reply.status, reply.body) == (200, b"10")


@pytest.mark.parametrize("length", [{}, {"Content-Length": None, "Transfer-Encoding": "chunked"}])
async def test_a_body_over_the_limit_is_a_413_that_names_the_limit(length):
    settings = Settings(max_request_bytes=9)
    reply, calls = await ask("v2_storeInstances", upload(b"12345", b"67890", **length), act=read_all, settings=settings)
    assert reply.status == 413
    assert b"9 bytes" in reply.body
    assert bool(calls) == bool(length), "a declared length is refused before the handler is called"
    assert made.headers_of(reply)["api-supported-versions"] == ALL


class Counted:
    def __init__(self, chunk: bytes, times: int) -> None:
        self.chunk, self.left, self.taken = chunk, times, 0

    def __aiter__(self):
        return self

    async def __anext__(self) -> bytes:
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        self.taken += 1
        return self.chunk


async def test_a_body_nobody_read_is_read_before_an_early_answer():
    body = Counted(b"x" * 1000, 50)
    request = made.arrival("POST", headers={"Content-Type": "text/html", "Content-Length": "50000"}, body=body)
    reply, _ = await ask("v2_storeInstances", request)
    assert (reply.status, body.left) == (415, 0)


async def test_what_is_read_of_an_unwanted_body_is_bounded():
    body = Counted(b"x" * (1 << 20), 1000)
    request = made.arrival("POST", headers={"Content-Type": "text/html", "Transfer-Encoding": "chunked"}, body=body)
    reply, _ = await ask("v2_storeInstances", request, settings=Settings(max_request_bytes=4 << 20))
    assert reply.status == 415
    assert body.taken == (BEYOND_LIMIT_BYTES >> 20) + 4


async def test_a_body_somewhat_over_the_limit_is_read_to_its_end_so_that_its_413_arrives():
    body = Counted(b"x" * (1 << 20), 12)
    request = made.arrival(
        "POST", headers={"Content-Type": "application/dicom", "Content-Length": "12582912"}, body=body
    )
    reply, _ = await ask("v2_storeInstances", request, settings=Settings(max_request_bytes=4 << 20))
    assert (reply.status, body.left) == (413, 0)


async def test_a_client_that_stops_sending_does_not_hold_its_answer_for_ever(monkeypatch):
    monkeypatch.setattr("shared.api.arrival.UNWANTED_SECONDS", 0.05)

    async def stalling():
        yield b"one"
        await asyncio.Event().wait()

    request = made.arrival("POST", headers={"Content-Type": "text/html", "Content-Length": "9"}, body=stalling())
    reply, _ = await asyncio.wait_for(ask("v2_storeInstances", request), 5)
    assert reply.status == 415


async def test_without_a_body_none_is_waited_for():
    body = Counted(b"x", 5)
    await ask("v2_retrieveStudy", made.arrival(path=STUDY, body=body))
    assert body.taken == 0


async def test_a_client_that_leaves_in_the_middle_of_its_body_ends_in_a_400():
    async def leaving():
        yield b"half"
        raise ClientGone("The connection was closed.")

    request = made.arrival("POST", headers={"Content-Type": "application/dicom", "Content-Length": "9"}, body=leaving())
    reply, _ = await ask("v2_storeInstances", request, act=read_all)
    assert reply.status == 400


class Source:
    def __init__(self, *chunks: bytes, error: Exception | None = None) -> None:
        self.chunks, self.error, self.closed = list(chunks), error, False

    def __aiter__(self):
        return self

    async def __anext__(self) -> bytes:
        if self.chunks:
            return self.chunks.pop(0)
        if self.error:
            raise self.error
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed = True


async def test_what_fails_at_the_first_chunk_still_has_a_status():
    source = Source(error=StoreUnavailable())
    reply, _ = await ask("v2_retrieveStudy", made.arrival(path=STUDY), act=replying(Reply(200, source)))
    assert (reply.status, source.closed) == (503, True)


async def test_a_stream_gives_all_chunks_and_is_logged_when_it_ends(caplog):
    caplog.set_level(logging.INFO)
    source = Source(b"one", b"two")
    reply, _ = await ask("v2_retrieveStudy", made.arrival(path=STUDY), act=replying(Reply(200, source)))
    assert "request operation" not in caplog.text
    assert [chunk async for chunk in reply.body] == [b"one", b"two"]
    (line,) = [record.getMessage() for record in caplog.records if "request operation" in record.getMessage()]
    assert line.startswith("request operation=retrieveStudy version=v2 status=200 ms=")
    assert line.endswith(" bytes=6 end=complete")


async def test_a_stream_that_fails_later_raises_and_is_logged(caplog):
    caplog.set_level(logging.INFO)
    source = Source(b"one", error=ValueError("Doe^John"))
    reply, _ = await ask("v2_retrieveStudy", made.arrival(path=STUDY), act=replying(Reply(200, source)))
    with pytest.raises(ValueError, match="Doe"):
        [chunk async for chunk in reply.body]
    assert "end=failed" in caplog.text
    assert "stream failed operation=retrieveStudy" in caplog.text
    assert "Doe" not in caplog.text


async def test_a_stream_the_client_left_is_closed_and_logged_once(caplog):
    caplog.set_level(logging.INFO)
    source = Source(b"one", b"two")
    reply, _ = await ask("v2_retrieveStudy", made.arrival(path=STUDY), act=replying(Reply(200, source)))
    await anext(reply.body)
    await reply.body.aclose()
    await reply.body.aclose()
    assert source.closed
    assert caplog.text.count("end=client left") == 1


async def test_the_access_line_has_no_values_of_the_request(caplog):
    caplog.set_level(logging.INFO)
    await ask("v2_retrieveStudy", made.arrival(path={"studyInstanceUid": "1.2.3"}, query="PatientName=Doe"))
    (line,) = [record.getMessage() for record in caplog.records if record.name == pipeline.LOG.name]
    assert line.startswith("request operation=retrieveStudy version=v2 status=200")
    assert "1.2.3" not in line
    assert "Doe" not in caplog.text


# What no row serves.


async def miss(name, method, path, version="v2", *, settings=made.SETTINGS, where=made.VERSIONS, **more):
    reply, _ = await ask(
        name, made.arrival(method, path={"version": version, "path": path}, **more), settings=settings, where=where
    )
    return reply


REPLACE = """
  - operation: replaceInstances
    method: PUT
    path: studies
    partitioned: true
    handler: stow.store_instances
    tag: Store
    summary: Store instances in place of others
    returns: {202: nothing}
"""


@pytest.mark.parametrize("path", ["", "nothing", "studies/1/series/2/3", "studies//metadata", "partitions/p/api.yaml"])
async def test_a_path_nobody_serves_is_a_404_with_version_headers(path):
    reply = await miss("zy_v2_fallback", "GET", path)
    assert (reply.status, reply.media_type) == (404, "text/plain; charset=utf-8")
    assert reply.body
    assert made.headers_of(reply)["api-supported-versions"] == ALL


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "studies", "GET, POST"),
        ("PUT", "STUDIES/1.2/", "DELETE, GET, POST"),
        ("HEAD", "studies/1.2/metadata", "GET"),
        ("OPTIONS", "partitions/p1/studies/1.2", "DELETE, GET, POST"),
        ("POST", "api.json", "GET"),
    ],
)
async def test_another_method_is_a_405_with_allow_and_version_headers(method, path, allow):
    reply = await miss("zy_v2_fallback", method, path)
    headers = made.headers_of(reply)
    assert (reply.status, headers["allow"], headers["api-supported-versions"]) == (405, allow, ALL)
    assert reply.body


@pytest.mark.parametrize("path", ["export", "partitions/p1/export", "EXPORT/"])
async def test_an_operation_of_other_versions_is_an_unsupported_version_with_its_own_headers(path):
    reply = await miss("zy_v1_0_prerelease_fallback", "POST", path, "v1-prerelease")
    assert (reply.status, reply.media_type) == (400, "application/json; charset=utf-8")
    error = json.loads(reply.body)["error"]
    assert set(error) == {"code", "message"}
    assert error["code"] == "UnsupportedApiVersion"
    assert f"https://dicom.example:8080/v1-prerelease/{path}" in error["message"]
    assert made.headers_of(reply)["api-supported-versions"] == "1, 2"


@pytest.mark.parametrize("body", [{}, {"chunks": [b"{}"]}, {"chunks": [b"x"], "headers": {"Accept": "x/y"}}])
@pytest.mark.parametrize("name", ["v1_bulkUpdateStudies", "v1_0_prerelease_bulkUpdateStudiesInPartition"])
async def test_a_word_that_another_version_has_is_a_404_without_a_body(name, body):
    """Contract D2 and E28: whatever is sent there, and although these versions are listed."""
    reply = await miss(
        name, "POST", "studies/$bulkUpdate", "v1" if name.startswith("v1_b") else "v1-prerelease", **body
    )
    assert (reply.status, reply.body) == (404, b"")
    assert made.headers_of(reply)["api-supported-versions"] == ALL


async def test_a_path_that_only_other_versions_have_with_another_method_is_a_404():
    reply = await miss("zy_v1_0_prerelease_fallback", "GET", "export", "v1-prerelease")
    assert reply.status == 404
    assert made.headers_of(reply)["api-supported-versions"] == "1, 2"


async def test_a_method_that_only_other_versions_have_is_a_405_that_says_so(tmp_path):
    where = made.folder(tmp_path, v2=lambda text: text + REPLACE)
    reply = await miss("zy_v1_fallback", "PUT", "studies", "v1", where=where)
    headers = made.headers_of(reply)
    assert (reply.status, headers["allow"], headers["api-supported-versions"]) == (405, "GET, POST", "2")
    assert json.loads(reply.body)["error"]["code"] == "UnsupportedApiVersion"


@pytest.mark.parametrize("path", ["", "studies", "nothing/at/all"])
async def test_an_unknown_version_is_a_400_in_json_with_all_versions(path):
    reply = await miss("zz_unknown_version", "GET", path, "v7999", query="secret=1")
    error = json.loads(reply.body)["error"]
    assert (reply.status, error["code"]) == (400, "UnsupportedApiVersion")
    assert "/v7999" in error["message"]
    assert "secret" not in error["message"]
    assert made.headers_of(reply)["api-supported-versions"] == ALL


async def test_a_version_this_app_does_not_serve_is_a_404_that_says_so():
    reply = await miss("zz_unknown_version", "POST", "studies", "V1.0", settings=Settings(api_versions=("v2",)))
    assert reply.status == 404
    assert b"Version 1 exists, but this deployment" in reply.body
    assert made.headers_of(reply)["api-supported-versions"] == ALL


async def test_the_query_check_holds_where_nothing_is_served():
    reply = await miss("zy_v2_fallback", "GET", "nothing", query="%3c")
    assert reply.status == 400
    assert made.headers_of(reply)["api-supported-versions"] == ALL


async def test_answers_of_a_deprecated_version_say_so_errors_included(tmp_path):
    line = "deprecation: {announced: 2027-01-01, sunset: 2028-01-01, successor: v2, read_more: https://a.example/}"
    where = made.folder(tmp_path, v1=lambda text: text.replace("deprecation: null", line))
    good, _ = await ask("v1_retrieveStudy", made.arrival(path={**STUDY, "version": "v1"}), where=where)
    bad = await miss("zy_v1_fallback", "GET", "nothing", "v1", where=where)
    for reply in (good, bad):
        headers = made.headers_of(reply)
        assert headers["api-supported-versions"] == "1.0-prerelease, 2"
        assert headers["api-deprecated-versions"] == "1"
        assert headers["sunset"] == "Sat, 01 Jan 2028 00:00:00 GMT"
    other, _ = await ask("v2_retrieveStudy", made.arrival(path=STUDY), where=where)
    assert "sunset" not in made.headers_of(other)
