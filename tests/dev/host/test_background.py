"""Queue and timer triggers of the local host, on a real queue."""

import asyncio
import base64
import itertools
import json
import uuid

import httpx
import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue.aio import QueueClient

from shared.dev.host.app import HostedFunction, QueueTrigger
from shared.dev.host.hostjson import HostJsonError, QueueRules, read
from shared.dev.host.invoke import Invoker
from shared.dev.host.queues import QueueLoop
from shared.dev.host.signatures import Handler
from tests.support.served import ROOT, served

BACKGROUND = ROOT / "tests" / "dev" / "apps" / "background"

pytestmark = pytest.mark.azurite


@pytest.fixture
async def queues(azurite):
    """Name of a new queue and a way to reach any queue by name."""
    name = f"jobs-{uuid.uuid4().hex}"
    clients = {}

    def client(queue):
        if queue not in clients:
            clients[queue] = QueueClient.from_connection_string(azurite.connection_string, queue)
        return clients[queue]

    await client(name).create_queue()
    yield name, client
    for each in clients.values():
        await each.close()


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def lines(folder, name):
    path = folder / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def until(condition, seconds=15.0):
    async with asyncio.timeout(seconds):
        while not (found := await condition()):  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.05)
    return found


async def poisoned(client, name):
    try:
        return [message.content for message in await client(f"{name}-poison").peek_messages(max_messages=5)]
    except ResourceNotFoundError:
        return []


async def length(client, name):
    return (await client(name).get_queue_properties()).approximate_message_count


def settings(folder, name):
    return {"QUEUE": name, "SEEN": str(folder), "AzureWebJobs.off.Disabled": "true"}


@pytest.mark.served
async def test_messages_run_fail_and_go_to_the_poison_queue(queues, tmp_path):
    """One host for all facts of a message's life: starting one for each would cost more than it tells."""
    name, client = queues
    async with served(settings(tmp_path, name), BACKGROUND):
        for text in ("one", "fail-twice", "wait-a-little"):
            await client(name).send_message(encoded(text))
        await client(name).send_message("not base64!")

        async def both_poisoned():
            found = await poisoned(client, name)
            return found if len(found) == 2 else None

        # The text that goes there is the one that came, encoded or not.
        assert sorted(await until(both_poisoned)) == sorted([encoded("fail-twice"), "not base64!"])

        async def emptied():
            return await length(client, name) == 0

        await until(emptied)
    taken = [(each["text"], each["tries"]) for each in lines(tmp_path, "take")]
    assert sorted(taken) == [("fail-twice", 1), ("fail-twice", 2), ("one", 1), ("wait-a-little", 1)]


@pytest.mark.served
async def test_a_queue_that_comes_later_is_found_and_a_plain_function_gets_the_text(queues, tmp_path):
    name, client = queues
    async with served(settings(tmp_path, name), BACKGROUND):
        await client(f"{name}-plain").create_queue()
        await client(f"{name}-plain").send_message(encoded("late"))

        async def seen():
            return lines(tmp_path, "plain")

        assert (await until(seen))[0]["text"] == "late"


@pytest.mark.served
async def test_a_stop_lets_a_running_queue_function_end(queues, tmp_path):
    name, client = queues
    async with served(settings(tmp_path, name), BACKGROUND) as service:
        await client(name).send_message(encoded("wait"))

        async def begun():
            return lines(tmp_path, "take")

        await until(begun)
        await asyncio.to_thread(service.process.stop, 15)
        assert service.process.exit_code() == 0
    assert lines(tmp_path, "waited")
    assert await length(client, name) == 0


@pytest.mark.served
async def test_timers_run_by_schedule_at_start_and_by_hand(queues, tmp_path):
    name, _ = queues
    async with served(settings(tmp_path, name), BACKGROUND) as service, httpx.AsyncClient() as http:

        async def ticked():
            return len(lines(tmp_path, "tick")) >= 2

        await until(ticked)
        assert lines(tmp_path, "tick")[0]["past_due"] is False
        assert [each["function"] for each in lines(tmp_path, "rare")] == ["rare"]
        assert (await http.post(f"{service.url}/admin/functions/RARE", json={})).status_code == 202
        assert (await http.post(f"{service.url}/admin/functions/take", json={"input": "hand"})).status_code == 202

        async def ran_again():
            return len(lines(tmp_path, "rare")) == 2 and lines(tmp_path, "take")

        await until(ran_again)
        assert not lines(tmp_path, "off")
    at = [each["at"] for each in lines(tmp_path, "tick")]
    assert min(later - earlier for earlier, later in itertools.pairwise(at)) > 0.5


async def test_a_message_stays_hidden_while_its_function_runs(queues, azurite):
    """The lease is renewed at half time: a function that runs longer than the lease is not started twice."""
    name, client = queues
    runs = []
    stopping = asyncio.Event()

    async def long(message):
        runs.append(message)
        await asyncio.sleep(5)
        stopping.set()

    connection = client(name)
    await connection.send_message(encoded("long"))
    handler = Handler(long, "message", str, wants_context=False, is_async=True)
    function = HostedFunction("long", QueueTrigger(name, azurite.connection_string), handler)
    loop = QueueLoop(function, Invoker(ROOT, 1), QueueRules(lease_seconds=2, max_polling_seconds=0.2))
    await asyncio.wait_for(loop.run(stopping), 20)
    assert runs == ["long"]
    assert await length(client, name) == 0


@pytest.mark.parametrize(
    "queues_section",
    [
        '{"batchSize": 33}',
        '{"batchSize": true}',
        '{"maxDequeueCount": 0}',
        '{"visibilityTimeout": 30}',
        '{"visibilityTimeout": "soon"}',
        '{"messageEncoding": "utf8"}',
        "[]",
    ],
)
def test_queue_rules_that_the_host_would_not_take_are_refused(tmp_path, queues_section):
    (tmp_path / "host.json").write_text('{"version": "2.0", "extensions": {"queues": ' + queues_section + "}}")
    with pytest.raises(HostJsonError):
        read(tmp_path)


def test_queue_rules_are_read(tmp_path):
    (tmp_path / "host.json").write_text(
        '{"version": "2.0", "extensions": {"queues": {"batchSize": 4, "newBatchThreshold": 2, "maxDequeueCount": 3,'
        ' "visibilityTimeout": "00:00:30", "maxPollingInterval": "1.00:00:05", "messageEncoding": "none"}}}'
    )
    assert read(tmp_path).queues == QueueRules(4, 2, 3, 30, 86405, base64=False)
    assert read(tmp_path).route_prefix == "api"
