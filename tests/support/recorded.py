"""Whole stores as files: everything in an account as the services give it, so that later code can be held against it.

`python -m tests.support.recorded` lets this code store, and records the schema it writes; with `--code` the code of an
older release, in a folder of its own, does. A record is written once a schema: a test reads those of today's and of the
one before.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import httpx

from shared.dev.host.settings import environment
from shared.settings import Settings
from shared.storage.account import account_of
from shared.storage.client import BLOB_VERSION, TABLE_VERSION, StorageClient, expect
from shared.storage.keys import SCHEMA
from tests.support.azurite import running_azurite
from tests.support.clients import Made, made, new_uid
from tests.support.pixels import JPEG, pixel_file
from tests.support.served import ROOT, started
from tests.support.storage import fresh_account

FOLDER = ROOT / "tests" / "storage" / "fixtures" / "schema"
CONTAINER = "dicom"
PARTITION = "ward"

_TABLES = {
    "x-ms-version": TABLE_VERSION,
    "DataServiceVersion": "3.0",
    "Accept": "application/json;odata=minimalmetadata",
}
_BLOBS = {"x-ms-version": BLOB_VERSION}
_META = "x-ms-meta-"

Record = dict[str, Any]
"""`tables`: entities by table; `blobs`: name, metadata and content in base64."""


def recorded(schema: int) -> Record:
    """The store that was recorded when that schema was written."""
    record: Record = json.loads((FOLDER / f"{schema}.json").read_text())
    return record


@asynccontextmanager
async def _client(connection: str) -> AsyncIterator[StorageClient]:
    client = StorageClient(account_of(Settings(storage_connection=connection)))
    try:
        yield client
    finally:
        await client.close()


async def load(connection: str, record: Record) -> None:
    """Write a record into an empty account."""
    async with _client(connection) as client:
        root = client.account.table_url
        sent = {**_TABLES, "Content-Type": "application/json", "Prefer": "return-no-content"}
        for table, entities in record["tables"].items():
            body = json.dumps({"TableName": table}).encode()
            expect(await client.send("POST", f"{root}/Tables", sent, body), "create table", 204)
            for entity in entities:
                body = json.dumps(entity).encode()
                expect(await client.send("POST", f"{root}/{table}", sent, body), "insert row", 204)
        container = f"{client.account.blob_url}/{CONTAINER}"
        expect(await client.send("PUT", f"{container}?restype=container", _BLOBS), "create container", 201)
        for blob in record["blobs"]:
            headers = {**_BLOBS, "x-ms-blob-type": "BlockBlob", "Content-Type": "application/octet-stream"}
            headers |= {_META + name: text for name, text in blob["metadata"].items()}
            content = base64.b64decode(blob["content"])
            expect(await client.send("PUT", f"{container}/{blob['name']}", headers, content), "put blob", 201)


async def dump(connection: str) -> Record:
    """Everything that an account holds."""
    async with _client(connection) as client:
        listed = json.loads((await client.send("GET", f"{client.account.table_url}/Tables", _TABLES)).content)
        names = sorted(entry["TableName"] for entry in listed["value"])
        return {
            "tables": {name: await _entities(client, name) for name in names},
            "blobs": [blob async for blob in _dumped_blobs(client)],
        }


async def _entities(client: StorageClient, table: str) -> list[dict[str, Any]]:
    answer = expect(await client.send("GET", f"{client.account.table_url}/{table}()", _TABLES), "query", 200)
    assert "x-ms-continuation-NextPartitionKey" not in answer.headers, "a record is a small store"
    return [
        {name: value for name, value in entity.items() if not name.startswith(("odata.", "Timestamp"))}
        for entity in json.loads(answer.content)["value"]
    ]


async def _dumped_blobs(client: StorageClient) -> AsyncIterator[dict[str, Any]]:
    container = f"{client.account.blob_url}/{CONTAINER}"
    listed = expect(await client.send("GET", f"{container}?restype=container&comp=list", _BLOBS), "list", 200)
    for name in (element.text or "" for element in ElementTree.fromstring(listed.content).iter("Name")):
        answer = expect(await client.send("GET", f"{container}/{quote(name)}", _BLOBS), "get blob", 200)
        said = {key.lower(): value for key, value in answer.headers.items()}
        metadata = {key.removeprefix(_META): value for key, value in said.items() if key.startswith(_META)}
        yield {"name": name, "metadata": metadata, "content": base64.b64encode(answer.content).decode()}


# ---- recording ----


@dataclass(frozen=True, slots=True)
class _Release:
    """A release that stores into an account.

    Attributes:
        code: its folder.
        connection: of the account.
    """

    code: Path
    connection: str

    @contextmanager
    def host(self, **settings: str) -> Iterator[httpx.Client]:
        """Its service; killed at the end, so that its last heartbeat never comes."""
        chosen = {"DICOM_STORAGE": self.connection, "DICOM_BACKGROUND": "off", **settings}
        with (
            started(chosen, self.code, code=self.code, dies=True) as service,
            httpx.Client(base_url=service.url, timeout=60, trust_env=False) as client,
        ):
            yield client
            os.kill(service.pid, signal.SIGKILL)

    def leave(self, *words: str) -> None:
        """Run `leftovers.py` with its code."""
        script = str(Path(__file__).with_name("leftovers.py"))
        inherited: Mapping[str, str] = {**environment(), "PYTHONPATH": str(self.code)}
        command = [sys.executable, script, self.connection, *words]
        subprocess.run(command, cwd=self.code, env=dict(inherited), check=True)


def _in(client: httpx.Client, root: str, instance: Made) -> None:
    answer = client.post(
        f"{root}/studies", content=instance.content, headers={"Content-Type": "application/dicom", "Accept": "*/*"}
    )
    assert answer.status_code == 200, answer.text


def _encapsulated(frames: int) -> Made:
    uids = (new_uid(), new_uid(), new_uid())
    fragments = tuple(f"frame {number:04d}".encode() for number in range(1, frames + 1))
    return Made(*uids, pixel_file(syntax=JPEG, frames=str(frames), vr="OB", fragments=fragments, uids=uids))


def _first(client: httpx.Client) -> None:
    """Studies of all kinds, one of which was rewritten; a deleted one; a finished metadata answer."""
    one = made(columns=8, patient_name="Recorded^One")
    again = {"study_uid": one.study_uid, "columns": 2, "patient_name": "Recorded^One", "frames": 2}
    _in(client, "/v1", one)
    for _ in range(7):  # a series of eight has its metadata packed
        _in(client, "/v1", made(**again, series_uid=one.series_uid))
    path = f"/v1/studies/{one.study_uid}/series/{one.series_uid}/metadata"
    assert client.get(path).status_code == 200
    for instance in (
        made(**again, modality="MR", extra={"StudyDescription": "Recorded later"}),
        _encapsulated(3),
        _encapsulated(300),
        made(columns=8, transfer_syntax="1.2.840.10008.1.2.1.99", patient_name="Recorded^Deflated"),
    ):
        _in(client, "/v1", instance)
    gone = made(columns=8)
    _in(client, "/v2", gone)
    assert client.delete(f"/v2/studies/{gone.study_uid}").status_code == 204


async def record(code: Path) -> Record:
    """Let a release store into an empty account, and leave it as a worker that died leaves it."""
    release = _Release(code, fresh_account(running_azurite().connection_string))
    with release.host() as client:
        _first(client)
    release.leave("seal")
    with release.host(DICOM_DATA_PARTITIONS="on") as client:
        _in(client, f"/v2/partitions/{PARTITION}", made(columns=8, patient_name="Recorded^Ward"))
    dying = made(columns=8, patient_name="Recorded^Dying")
    with release.host() as client:
        _in(client, "/v2", dying)
        _in(client, "/v2", made(columns=8, modality="US", patient_name="Recorded^Last"))
    release.leave("leave", dying.study_uid)
    return await dump(release.connection)


def main() -> None:
    """Write the record of a schema."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.recorded", description=__doc__)
    parser.add_argument("--code", type=Path, default=ROOT, help="folder of the release that stores (default: this one)")
    parser.add_argument("--schema", type=int, default=SCHEMA, help="the schema it writes (default: %(default)d)")
    options = parser.parse_args()
    path = FOLDER / f"{options.schema}.json"
    text = json.dumps(asyncio.run(record(options.code.resolve())), indent=0, sort_keys=True)
    path.write_text(text + "\n")
    print(f"{path.relative_to(ROOT)}: {len(text) // 1024} KiB")


if __name__ == "__main__":
    main()
