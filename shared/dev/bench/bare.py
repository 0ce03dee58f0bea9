"""Storage calls with nothing between the caller and aiohttp but the signature: what the others are measured against.

No retry, no error codes, no table or container made by the way: a call that fails ends the benchmark.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
from yarl import URL

from shared.dev.bench.report import BenchError
from shared.storage.account import Account, sign_blob, sign_table
from shared.storage.client import BLOB_VERSION, TABLE_VERSION

_JSON = "application/json;odata=nometadata"
_TABLE_HEADERS = {"x-ms-version": TABLE_VERSION, "DataServiceVersion": "3.0", "Accept": _JSON}
_BATCH_HEADERS = {**_TABLE_HEADERS, "Content-Type": "multipart/mixed; boundary=batch_b"}

Row = Mapping[str, Any]


class BareStorage:
    """Signed aiohttp calls to one container and to tables.

    Args:
        account: where to; has a key.
        session: the connections.
        container: of the blobs.
    """

    def __init__(self, account: Account, session: aiohttp.ClientSession, container: str) -> None:
        self._account = account
        self._session = session
        self._container = f"{account.blob_url}/{container}"

    async def make(self, *tables: str) -> None:
        """Make the container and tables."""
        url = f"{self._container}?restype=container"
        await self._send("PUT", url, self._blob_headers("PUT", url, {}))
        for table in tables:
            url = f"{self._account.table_url}/Tables"
            headers = {**self._table_headers(url), "Content-Type": "application/json", "Prefer": "return-no-content"}
            await self._send("POST", url, headers, orjson.dumps({"TableName": table}))

    async def put_blob(self, name: str, content: bytes) -> None:
        """Write a whole blob."""
        url = f"{self._container}/{name}"
        headers = {
            "x-ms-blob-type": "BlockBlob",
            "Content-Type": "application/octet-stream",
            "Content-Length": str(len(content)),
        }
        await self._send("PUT", url, self._blob_headers("PUT", url, headers), content)

    async def get_blob(self, name: str) -> bytes:
        """Read a whole blob."""
        url = f"{self._container}/{name}"
        return await self._send("GET", url, self._blob_headers("GET", url, {}))

    async def get_row(self, table: str, partition: str, row: str) -> dict[str, Any]:
        """Read one row."""
        url = f"{self._account.table_url}/{table}(PartitionKey='{partition}',RowKey='{row}')"
        found: dict[str, Any] = orjson.loads(await self._send("GET", url, self._table_headers(url)))
        return found

    async def rows(self, table: str, where: str, top: int) -> list[dict[str, Any]]:
        """One page of a query."""
        url = f"{self._account.table_url}/{table}()?$filter={quote(where)}&$top={top}"
        page: list[dict[str, Any]] = orjson.loads(await self._send("GET", url, self._table_headers(url)))["value"]
        return page

    async def put_rows(self, table: str, partition: str, rows: Sequence[tuple[str, Row]]) -> None:
        """Write rows of one partition in one transaction, replacing what was there."""
        root = self._account.table_url
        pieces = [b"--batch_b\r\nContent-Type: multipart/mixed; boundary=changes_c\r\n\r\n"]
        for key, row in rows:
            body = orjson.dumps({"PartitionKey": partition, "RowKey": key, **row})
            pieces.append(
                "--changes_c\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
                f"PUT {root}/{table}(PartitionKey='{partition}',RowKey='{key}') HTTP/1.1\r\n"
                f"Accept: {_JSON}\r\nDataServiceVersion: 3.0\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            )
            pieces += (body, b"\r\n")
        pieces.append(b"--changes_c--\r\n--batch_b--\r\n")
        url = f"{root}/$batch"
        answer = await self._send("POST", url, {**_BATCH_HEADERS, **self._signed_table(url)}, b"".join(pieces))
        if b"HTTP/1.1 4" in answer:
            raise BenchError(f"a bare transaction failed: {answer[:300]!r}")

    def _table_headers(self, url: str) -> dict[str, str]:
        return {**_TABLE_HEADERS, **self._signed_table(url)}

    def _signed_table(self, url: str) -> dict[str, str]:
        date = formatdate(usegmt=True)
        return {"x-ms-date": date, "Authorization": sign_table(self._account, url, date)}

    def _blob_headers(self, method: str, url: str, headers: Mapping[str, str]) -> dict[str, str]:
        sent = {**headers, "x-ms-version": BLOB_VERSION, "x-ms-date": formatdate(usegmt=True)}
        sent["Authorization"] = sign_blob(self._account, method, url, sent)
        return sent

    async def _send(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None = None) -> bytes:
        # What is signed must be what is sent: aiohttp is not to encode the URL once more.
        sent = URL(url, encoded=True)
        async with self._session.request(method, sent, headers=headers, data=content) as response:
            answer = await response.read()
            if response.status >= 300:
                raise BenchError(f"a bare {method} was answered {response.status}: {answer[:300]!r}")
            return answer


@asynccontextmanager
async def bare_storage(account: Account, container: str, connections: int = 64) -> AsyncIterator[BareStorage]:
    """Bare calls for the length of a block."""
    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("Content-Type",),  # a header that is added after signing breaks the signature
    ) as session:
        yield BareStorage(account, session, container)
