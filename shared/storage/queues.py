"""Queues: put small messages into them. The only caller of the queue service; receiving is the Functions host's."""

from __future__ import annotations

import base64

from shared.errors import StoreUnavailable
from shared.storage.client import BLOB_VERSION, StorageClient, expect
from shared.storage.errors import OutcomeUnknown

_HEADERS = {"x-ms-version": BLOB_VERSION}
_BODY = "<QueueMessage><MessageText>{}</MessageText></QueueMessage>"
_NEVER = -1
_TRIES = 2


class Queues:
    """All queues of the account. A queue is made when the first message finds that it is missing."""

    def __init__(self, client: StorageClient) -> None:
        self._client = client
        self._root = client.account.queue_url

    async def send(self, queue: str, text: str, delay_seconds: int = 0) -> None:
        """Put a message into a queue, where it stays until it is worked off; when in doubt, it is put there twice.

        Args:
            queue: name of the queue.
            text: the message, up to 45 KB. It is sent as base64, as the host's queue trigger expects (host.json).
            delay_seconds: how long it stays hidden, up to seven days.

        Raises:
            StoreUnavailable: it may not have been put there.
        """
        url = f"{self._root}/{queue}/messages?visibilitytimeout={delay_seconds}&messagettl={_NEVER}"
        body = _BODY.format(base64.b64encode(text.encode()).decode()).encode()
        headers = {**_HEADERS, "Content-Type": "application/xml"}
        for _ in range(_TRIES):
            try:
                response = await self._client.send("POST", url, headers, body)
                if response.status_code == 404:
                    await self._create(queue)
                    response = await self._client.send("POST", url, headers, body)
            except OutcomeUnknown:
                continue
            expect(response, "put message", 201)
            return
        raise StoreUnavailable

    async def length(self, queue: str) -> int:
        """About how many messages a queue has, those in work too."""
        response = await self._client.send("GET", f"{self._root}/{queue}?comp=metadata", _HEADERS)
        found = expect(response, "get queue metadata", 200, 404).headers
        return int(found.get("x-ms-approximate-messages-count", "0"))

    async def check(self) -> None:
        """Ask the service for anything: returns when it answers.

        Raises:
            StoreUnavailable: it does not.
        """
        response = await self._client.send("GET", f"{self._root}/?comp=list&maxresults=1", _HEADERS)
        expect(response, "list queues", 200)

    async def _create(self, queue: str) -> None:
        response = await self._client.send("PUT", f"{self._root}/{queue}", _HEADERS)
        expect(response, "create queue", 201, 204, 409)
