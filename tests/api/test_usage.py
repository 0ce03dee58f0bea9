"""The access line says who asks and what the answer has cost; `Server-Timing` tells the client, where it is wanted."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import re

import pytest

from shared.api import jobs, pipeline, routes
from shared.api.pipeline import Door
from shared.api.streams import StreamedBody
from shared.api.usage import Usage, product
from shared.settings import Settings, SettingsError
from shared.storage.meter import Meter, metered, note_read
from shared.storage.operations import OperationKind
from shared.storage.stores import open_stores
from shared.wire.call import Headers, Reply
from tests.api import made
from tests.support import numbers
from tests.support.calls import multipart
from tests.support.files import synthetic_instance
from tests.support.jobs import worked_off
from tests.support.numbers_app.counted import step
from tests.support.storage import WatchedTransport, fresh_settings

LINE = re.compile(
    r"request operation=(?P<operation>\w+) version=(?P<version>\S+) status=(?P<status>\d{3}) ms=(?P<ms>\d+)"
    r" storage_ms=(?P<storage_ms>\d+) storage_calls=(?P<calls>\d+) storage_read_bytes=(?P<read>\d+)"
    r" storage_written_bytes=(?P<written>\d+) client=(?P<client>\S+) bytes=(?P<bytes>\d+) end=(?P<end>.+)"
)
TIMING = re.compile(r'total;dur=(\d+\.\d), storage;dur=(\d+\.\d);desc="(\d+) calls?"')
SLICE = re.compile(
    r"slice kind=export id=(?P<id>\w+) slice=\d+ ms=\d+ storage_ms=\d+ storage_calls=(?P<calls>\d+)"
    r" storage_read_bytes=\d+ storage_written_bytes=(?P<written>\d+) percent=\S+ status=\w+"
)
TIMED = Settings(server_timing=True)
STUDY = "1.2.826.0.1.7"


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("OHIF/3.9.1 (Linux) axios/1.7", "OHIF/3.9.1"),
        ("Mozilla/5.0 (X11; Linux x86_64)", "Mozilla/5.0"),
        ("dicom-command", "dicom-command"),
        ("  python-httpx/0.28 ", "python-httpx/0.28"),
        ("x=1;status=500", "x1status500"),
        ("A\x00B\r\nrequest operation=no", "AB"),
        ("Müller/1", "Mller/1"),
        ("a" * 200, "a" * 64),
        ("4711-0815", "-"),
        ("(comment)", "comment"),
        ("/../etc", "-"),
        ("", "-"),
        (" ", "-"),
        (None, "-"),
    ],
)
def test_the_client_is_its_first_product_and_nothing_that_means_anything_to_a_log(sent, name):
    lines = [] if sent is None else [("User-Agent", sent)]
    assert product(Headers(lines)) == name


def test_without_the_setting_answers_tell_no_times():
    assert Usage("x").headers(Settings(cors_origins=("https://a.example",))) == ()


def test_with_the_setting_answers_tell_time_and_calls():
    usage = Usage("x")
    with usage.meter.call(0):
        pass
    ((name, value),) = usage.headers(TIMED)
    found = TIMING.fullmatch(value)
    assert name == "Server-Timing"
    assert found
    assert float(found[1]) >= float(found[2])
    assert value.endswith('desc="1 call"')


@pytest.mark.parametrize(
    ("origins", "told"), [(("*",), "*"), (("https://a.example", "http://b"), "https://a.example, http://b")]
)
def test_pages_that_may_ask_may_see_the_times(origins, told):
    settings = dataclasses.replace(TIMED, cors_origins=origins)
    assert dict(Usage("x").headers(settings))["Timing-Allow-Origin"] == told


@pytest.mark.parametrize(("word", "on"), [("on", True), ("OFF", False), ("", False)])
def test_the_setting_is_a_switch_that_is_off_by_itself(word, on):
    found = Settings.from_env({"DICOM_STORAGE": "UseDevelopmentStorage=true", "DICOM_SERVER_TIMING": word})
    assert found.server_timing is on


def test_another_word_for_the_setting_is_refused_at_start():
    with pytest.raises(SettingsError, match="DICOM_SERVER_TIMING"):
        Settings.from_env({"DICOM_STORAGE": "UseDevelopmentStorage=true", "DICOM_SERVER_TIMING": "yes"})


@pytest.mark.parametrize("status", [200, 400, 404])
async def test_errors_tell_times_too(status):
    path = {200: {"studyInstanceUid": "1.2"}, 400: {"studyInstanceUid": "x"}, 404: {"version": "none"}}[status]
    name = "zz_unknown_version" if status == 404 else "v2_retrieveStudy"
    reply = await made.ask(made.bound(room=made.Room())[name], made.arrival(path=path), TIMED)
    assert reply.status == status
    assert TIMING.fullmatch(made.headers_of(reply)["server-timing"])


def fields(line: str) -> dict[str, str]:
    found = LINE.fullmatch(line)
    assert found, line
    return found.groupdict()


def calls_told(reply: Reply) -> int:
    found = TIMING.fullmatch(made.headers_of(reply)["server-timing"])
    assert found
    return int(found[3])


def access_lines(caplog):
    return [record.getMessage() for record in caplog.records if record.name == pipeline.LOG.name]


async def test_what_comes_from_storage_while_an_answer_is_sent_counts_for_its_request(caplog):
    caplog.set_level(logging.INFO, pipeline.LOG.name)

    async def act(_call):
        async def chunks():
            for _ in range(3):
                note_read(1000)
                yield b"chunk"

        return Reply(200, chunks())

    endpoint = made.bound(room=made.Room(act))["v2_retrieveStudy"]
    reply = await made.ask(endpoint, made.arrival(path={"studyInstanceUid": "1.2"}))
    other = Meter()
    with metered(other):
        assert await sent(reply.body) == 15
    (line,) = access_lines(caplog)
    assert (fields(line)["read"], other.read_bytes) == ("3000", 0)


class Front:
    """The real front door over real storage, without a host."""

    def __init__(self, settings: Settings) -> None:
        self.stores = open_stores(settings)
        self._door = Door(self.stores, settings)
        self._endpoints = {one.name: one for one in routes.bind(made.loaded(), settings)}

    async def ask(self, name: str, request) -> Reply:
        return await pipeline.answer(self._endpoints[name], request, self._door)


@pytest.mark.azurite
async def test_a_slice_of_long_work_has_what_it_has_cost(azurite, caplog):
    caplog.set_level(logging.INFO, jobs.LOG.name)
    settings = fresh_settings(azurite.connection_string)
    transport = WatchedTransport()
    stores = open_stores(settings, transport)
    try:
        begun = await stores.operations.begin(OperationKind.EXPORT, numbers.work(5))
        await worked_off(stores, settings.storage_connection, {OperationKind.EXPORT: step}, budget_seconds=60)
    finally:
        await stores.close()
        await transport.close()
    lines = [record.getMessage() for record in caplog.records if record.name == jobs.LOG.name]
    found = [SLICE.fullmatch(line) for line in lines if line.startswith("slice ")]
    assert all(one and one["id"] == begun.id for one in found), lines
    assert 0 < sum(int(one["calls"]) for one in found if one) < len(transport.calls)
    assert all(int(one["written"]) > 0 for one in found if one)


async def sent(body) -> int:
    """Send a body as the host does: from another task, which does not know the request's context."""
    return await asyncio.create_task(_length(body)) if isinstance(body, StreamedBody) else len(body)


async def _length(body) -> int:
    return sum([len(chunk) async for chunk in body])


@pytest.mark.azurite
async def test_the_access_line_has_what_a_request_has_cost(azurite, caplog):
    caplog.set_level(logging.INFO, pipeline.LOG.name)
    front = Front(dataclasses.replace(fresh_settings(azurite.connection_string), server_timing=True))
    file = synthetic_instance(study_uid=STUDY, series_uid=f"{STUDY}.1", sop_instance_uid=f"{STUDY}.1.1")
    body, lines = multipart([file])
    headers = {**dict(lines), "Content-Length": str(len(body)), "User-Agent": "modality/7 (north)"}
    try:
        stored = await front.ask("v2_storeInstances", made.arrival("POST", chunks=(body,), headers=headers))
        got = await front.ask("v2_retrieveStudy", made.arrival(path={"studyInstanceUid": STUDY}))
        at_begin = calls_told(got)
        length = await sent(got.body)
        await front.ask("zz_unknown_version", made.arrival(path={"version": "v99", "path": ""}))
    finally:
        await front.stores.close()
    assert stored.status == got.status == 200
    store, retrieve, unknown = map(fields, access_lines(caplog))
    assert (store["operation"], store["client"], store["end"]) == ("storeInstances", "modality/7", "complete")
    assert int(store["calls"]) >= 4
    assert int(store["written"]) > len(file)
    assert (retrieve["client"], int(retrieve["bytes"])) == ("-", length)
    assert int(retrieve["calls"]) >= at_begin > 0
    assert int(retrieve["read"]) > len(file), "what came while it was sent counts, too"
    assert (unknown["calls"], unknown["read"], unknown["version"]) == ("0", "0", "-")
