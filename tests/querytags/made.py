"""A whole service in this process, for tests of extended query tags: it stores, adds tags and searches."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson

from shared.settings import Settings
from shared.storage.stores import Stores, open_stores
from tests.support.clients import DICOM_JSON, related, related_type
from tests.support.files import synthetic_instance
from tests.support.front import Answer, Front
from tests.support.jobs import worked_off
from tests.support.storage import WatchedTransport, fresh_settings

JSON = "application/json"
UIDS = {"studies": "0020000D", "series": "0020000E", "instances": "00080018"}


def file(study: str, series: str, sop: str, **extra: Any) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, of values that are invalid on purpose
        said = {"StudyDate": "20240101", **extra}
        return synthetic_instance(study_uid=study, series_uid=series, sop_instance_uid=sop, columns=2, extra=said)


@dataclass
class Service:
    """The service, and the worker behind it."""

    stores: Stores
    settings: Settings
    front: Front
    transport: WatchedTransport

    async def ask(self, method: str, path: str, body: Any = None, version: str = "v2", **headers: str) -> Answer:
        content = b"" if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
        if content:
            headers = {"Content_Type": JSON, **headers}
        return await self.front.ask(method, f"/{version}{path}", content, **headers)

    async def store(self, *files: bytes, version: str = "v2", status: int = 200) -> Answer:
        answer = await self.front.ask(
            "POST", f"/{version}/studies", related(files), Content_Type=related_type(), Accept=DICOM_JSON
        )
        assert answer.status == status, answer.content
        return answer

    async def begin(self, *tags: dict[str, str]) -> str:
        """Add tags; gives the id of the operation, which nobody has worked on yet."""
        answer = await self.ask("POST", "/extendedquerytags", list(tags))
        assert answer.status == 202, answer.content
        return str(answer.json()["id"])

    async def add(self, *tags: dict[str, str]) -> None:
        """Add tags, and have them ready."""
        operation = await self.begin(*tags)
        await self.work()
        answer = await self.ask("GET", f"/operations/{operation}")
        assert (answer.status, answer.json()["status"]) == (200, "succeeded"), answer.content

    async def work(self) -> int:
        """Let the worker do all that is queued; gives the number of slices."""
        return await worked_off(self.stores, self.settings.storage_connection)

    async def search(self, what: str, within: str = "", version: str = "v2", **keys: str) -> Answer:
        return await self.front.ask("GET", f"/{version}{within}/{what}?{urlencode(keys)}", Accept=DICOM_JSON)

    async def found(self, what: str, within: str = "", **keys: str) -> list[str]:
        """UIDs of what a search finds, in its order."""
        answer = await self.search(what, within, **keys)
        assert answer.status in (200, 204), answer.content
        return [item[UIDS[what]]["Value"][0] for item in answer.json()] if answer.status == 200 else []

    async def tag(self, path: str) -> dict[str, Any]:
        answer = await self.ask("GET", f"/extendedquerytags/{path}")
        assert answer.status == 200, answer.content
        return dict(answer.json())

    async def whole(self) -> None:
        report = await self.stores.fsck()
        assert report.broken == []


def tag(path: str, level: str, vr: str = "", creator: str = "") -> dict[str, str]:
    members = {"path": path, "level": level, "vr": vr, "privateCreator": creator}
    return {name: text for name, text in members.items() if text}


@asynccontextmanager
async def service(connection: str, stored: Sequence[bytes] = ()) -> AsyncIterator[Service]:
    """A service over an empty account; whole at the end."""
    settings = fresh_settings(connection)
    transport = WatchedTransport()
    stores = open_stores(settings, transport)
    try:
        running = Service(stores, settings, Front(stores, settings), transport)
        if stored:
            await running.store(*stored)
        yield running
        await stores.deletion.settled()
        await running.whole()
    finally:
        await stores.close()
        await transport.close()


@asynccontextmanager
async def another_worker(one: Service) -> AsyncIterator[Service]:
    """A second worker on the same store."""
    transport = WatchedTransport()
    stores = open_stores(one.settings, transport)
    try:
        yield Service(stores, one.settings, Front(stores, one.settings), transport)
    finally:
        await stores.close()
        await transport.close()
