"""Messages that the service sends are those that the host's queue trigger understands."""

from __future__ import annotations

import base64

import pytest
from azure.storage.queue.aio import QueueClient

from shared.errors import StoreUnavailable
from shared.settings import Settings
from shared.storage.account import account_of
from shared.storage.stores import open_stores
from tests.support.jobs import messages, received
from tests.support.storage import WatchedTransport, fresh_settings, watched_stores

pytestmark = pytest.mark.azurite


async def test_the_first_message_makes_its_queue_and_is_base64_text(azurite):
    settings = fresh_settings(azurite.connection_string)
    stores = open_stores(settings)
    try:
        await stores.queues.send("a-queue", '{"text": "<&ü>"}')
        await stores.queues.send("a-queue", "two")
    finally:
        await stores.close()
    async with QueueClient.from_connection_string(settings.storage_connection, "a-queue") as queue:
        first, second = await queue.peek_messages(max_messages=5)
    assert base64.b64decode(first.content).decode() == '{"text": "<&ü>"}'
    assert base64.b64decode(second.content) == b"two"
    assert first.expires_on is not None
    assert first.expires_on.year == 9999


async def test_a_delayed_message_stays_hidden(azurite):
    settings = fresh_settings(azurite.connection_string)
    stores = open_stores(settings)
    try:
        await stores.queues.send("a-queue", "later", delay_seconds=60)
        await stores.queues.send("a-queue", "now")
    finally:
        await stores.close()
    assert await received(settings.storage_connection, "a-queue") == ["now"]


async def test_a_message_whose_answer_is_lost_is_sent_again(azurite):
    settings, transport = fresh_settings(azurite.connection_string), WatchedTransport()
    stores = open_stores(settings, transport)
    try:
        await stores.queues.send("a-queue", "warm")
        lost = ["after"]
        transport.fault = lambda _: lost.pop() if lost else None
        await stores.queues.send("a-queue", "once or twice")
        texts = await messages(settings.storage_connection, "a-queue")
    finally:
        await stores.close()
        await transport.close()
    assert texts in (["warm", "once or twice"], ["warm", "once or twice", "once or twice"])
    assert not lost


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_message_that_cannot_be_sent_is_unavailable_storage(azurite, when):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        transport.fault = lambda _: when
        with pytest.raises(StoreUnavailable):
            await stores.queues.send("a-queue", "text")
        transport.fault = lambda _: None
        await stores.queues.check()


async def test_the_check_says_when_the_queue_service_is_away(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await stores.queues.check()
        transport.fault = lambda _: "before"
        with pytest.raises(StoreUnavailable):
            await stores.queues.check()


def test_the_queue_service_of_an_account_is_where_the_other_services_are():
    named = account_of(Settings(storage_connection="", storage_account="some"))
    short = account_of(Settings(storage_connection="UseDevelopmentStorage=true"))
    keyed = account_of(Settings(storage_connection="AccountName=some;AccountKey=dGVzdA==;EndpointSuffix=example.org"))
    assert named.queue_url == "https://some.queue.core.windows.net"
    assert short.queue_url == "http://127.0.0.1:10001/devstoreaccount1"
    assert keyed.queue_url == "https://some.queue.example.org"
