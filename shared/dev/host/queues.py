"""Queue triggers of the local host: leases, dequeue counts and poison queues as the storage extension has them."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
import random
from collections.abc import Callable
from typing import Any

from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.functions.queue import QueueMessage
from azure.storage.queue import QueueMessage as Envelope
from azure.storage.queue.aio import QueueClient

from shared.dev.azurite import expanded
from shared.dev.host.app import HostedFunction, QueueTrigger
from shared.dev.host.hostjson import QueueRules
from shared.dev.host.invoke import Invoker

_LOG = logging.getLogger(__name__)
_SHORTEST_PAUSE_SECONDS = 0.1


# The vendor's class has no types.
_make_message: Callable[..., Any] = QueueMessage


def message_for(function: HostedFunction, text: str, envelope: Envelope | None = None) -> Any:
    """What the function's parameter gets: str, bytes or a QueueMessage, by its annotation."""
    if function.handler.annotation is str:
        return text
    if function.handler.annotation is bytes:
        return text.encode()
    if envelope is None:
        return _make_message(id="", body=text.encode(), dequeue_count=1)
    return _make_message(
        id=envelope.id,
        body=text.encode(),
        dequeue_count=envelope.dequeue_count,
        expiration_time=envelope.expires_on,
        insertion_time=envelope.inserted_on,
        time_next_visible=envelope.next_visible_on,
        pop_receipt=envelope.pop_receipt,
    )


class QueueLoop:
    """Feeds one function from its queue.

    Args:
        function: with a queue trigger.
        invoker: runs it.
        rules: from host.json.
    """

    def __init__(self, function: HostedFunction, invoker: Invoker, rules: QueueRules) -> None:
        if not isinstance(function.trigger, QueueTrigger):
            raise TypeError(f"{function.name} has no queue trigger")
        self._function = function
        self._invoker = invoker
        self._rules = rules
        self._running: set[asyncio.Task[None]] = set()
        connection = expanded(function.trigger.connection)
        # The loop itself tries again; the client's own patience would only hold up a stop.
        self._queue = QueueClient.from_connection_string(connection, function.trigger.queue, retry_total=1)
        self._poison = QueueClient.from_connection_string(connection, f"{function.trigger.queue}-poison", retry_total=1)

    async def run(self, stopping: asyncio.Event) -> None:
        """Fetch and run messages until `stopping` is set, then let running functions end."""
        async with self._queue, self._poison:
            try:
                await self._poll(stopping)
                if self._running:
                    await asyncio.wait(self._running)
            finally:
                for task in self._running:
                    task.cancel()
                await asyncio.gather(*self._running, return_exceptions=True)

    async def _poll(self, stopping: asyncio.Event) -> None:
        pause = _SHORTEST_PAUSE_SECONDS
        while not stopping.is_set():
            if len(self._running) > self._rules.new_batch_threshold:
                await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED, timeout=0.5)
                continue
            batch = await self._fetch()
            for envelope in batch:
                task = asyncio.create_task(self._process(envelope))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            pause = _SHORTEST_PAUSE_SECONDS if batch else min(pause * 2, self._rules.max_polling_seconds)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), random.uniform(pause / 2, pause))  # noqa: S311 - spreads load, no secret

    async def _fetch(self) -> list[Envelope]:
        pages = self._queue.receive_messages(
            messages_per_page=self._rules.batch_size,
            max_messages=self._rules.batch_size,
            visibility_timeout=self._rules.lease_seconds,
        )
        try:
            return [envelope async for envelope in pages]
        except ResourceNotFoundError:
            return []  # A queue that does not exist yet is looked for again.
        except AzureError as error:
            _LOG.warning("queue %s cannot be read: %s", self._queue.queue_name, error.message)
            return []

    async def _process(self, envelope: Envelope) -> None:
        try:
            text = self._text(envelope)
            if text is None or (envelope.dequeue_count or 0) > self._rules.max_dequeue_count:
                await self._to_poison(envelope, envelope.pop_receipt)
                return
            succeeded, receipt = await self._run_leased(envelope, text)
            if succeeded:
                await self._queue.delete_message(envelope.id, receipt)
            elif (envelope.dequeue_count or 0) >= self._rules.max_dequeue_count:
                await self._to_poison(envelope, receipt)
            else:
                await self._queue.update_message(
                    envelope.id, receipt, visibility_timeout=self._rules.visibility_seconds
                )
        except AzureError as error:
            _LOG.error("message %s of queue %s: %s", envelope.id, self._queue.queue_name, error.message)

    def _text(self, envelope: Envelope) -> str | None:
        if not self._rules.base64:
            return str(envelope.content)
        try:
            return base64.b64decode(envelope.content, validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            _LOG.error("message %s of queue %s is not base64 text", envelope.id, self._queue.queue_name)
            return None

    async def _run_leased(self, envelope: Envelope, text: str) -> tuple[bool, str | None]:
        """Run the function while its message stays hidden; says whether it succeeded, and the receipt to use next."""
        lease = _Lease(self._queue, envelope, self._rules.lease_seconds)
        renewal = asyncio.create_task(lease.keep())
        succeeded = False
        try:
            context = self._invoker.context(self._function)
            await self._invoker.call(self._function, message_for(self._function, text, envelope), context)
            succeeded = True
        except Exception:  # noqa: BLE001 - a failed function is a failed try, whatever it raised
            _LOG.exception("function %s failed (try %s)", self._function.name, envelope.dequeue_count)
        finally:
            lease.over.set()
            await renewal
        return succeeded, lease.receipt

    async def _to_poison(self, envelope: Envelope, receipt: str | None) -> None:
        """The same text goes to the poison queue, then the message leaves its own."""
        try:
            await self._poison.send_message(envelope.content)
        except ResourceNotFoundError:
            await self._poison.create_queue()
            await self._poison.send_message(envelope.content)
        await self._queue.delete_message(envelope.id, receipt)
        _LOG.error("message %s went to queue %s", envelope.id, self._poison.queue_name)


class _Lease:
    """Keeps one message hidden until `over` is set; each renewal gives a new receipt."""

    def __init__(self, queue: QueueClient, envelope: Envelope, seconds: int) -> None:
        self._queue = queue
        self._id = envelope.id
        self._seconds = seconds
        self.receipt = envelope.pop_receipt
        self.over = asyncio.Event()

    async def keep(self) -> None:
        # Never cancelled: a renewal that is cut off would leave a receipt nobody knows.
        while not self.over.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.over.wait(), self._seconds / 2)
                return
            try:
                renewed = await self._queue.update_message(self._id, self.receipt, visibility_timeout=self._seconds)
            except AzureError as error:
                _LOG.warning("the lease of message %s was not renewed: %s", self._id, error.message)
            else:
                self.receipt = renewed.pop_receipt
