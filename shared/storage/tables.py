"""Tables: point reads, range reads, transactions. The only caller of the table service.

Entities are plain dicts. Text, bool and small int are stored as they are; bytes and large int carry a type when they
are written and come back as text (`binary` and `whole` turn them back), because answers are asked for without types.
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

import orjson
from azure.core.rest import AsyncHttpResponse

from shared.storage.client import TABLE_VERSION, StorageClient, expect
from shared.storage.errors import OutcomeUnknown, StorageFailed, TransactionFailed
from shared.storage.schema import NAME, expect_readable

Entity = Mapping[str, Any]
ETAG = "odata.etag"
TRANSACTION_LIMIT = 100
# The service takes 4 MiB a transaction; base64, headers and property names are in it, so stay clear of the edge.
TRANSACTION_BYTES = 3 * 1024 * 1024

_JSON = "application/json;odata=nometadata"
_HEADERS = {"x-ms-version": TABLE_VERSION, "DataServiceVersion": "3.0", "Accept": _JSON}
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")
_CODE = re.compile(rb'"code"\s*:\s*"([^"]*)"')
_FAILED = re.compile(rb'"value"\s*:\s*"(\d+):')
_INT32 = 2**31


@dataclass(frozen=True, slots=True)
class Write:
    """One operation of a transaction.

    Attributes:
        kind: insert (fails when the row exists), merge and replace (fail when it does not), put (insert or replace),
            delete.
        row: RowKey.
        entity: the properties, keys left out.
        etag: the row must be this one; `*` for any that exists. Unused by insert and put.
    """

    kind: Literal["insert", "merge", "replace", "put", "delete"]
    row: str
    entity: Entity = field(default_factory=dict)
    etag: str = "*"


def binary(entity: Entity, name: str) -> bytes:
    """A property that was written as bytes; empty when the row does not have it."""
    return base64.b64decode(entity.get(name, ""))


def whole(entity: Entity, name: str) -> int:
    """A property that was written as int; 0 when the row does not have it."""
    return int(entity.get(name, 0))


def quoted(text: str) -> str:
    """A text as a literal of a `$filter`."""
    return "'" + text.replace("'", "''") + "'"


def between(partition: str, low: str, high: str) -> str:
    """The filter for rows of a partition with low <= RowKey < high."""
    return f"PartitionKey eq {quoted(partition)} and RowKey ge {quoted(low)} and RowKey lt {quoted(high)}"


class Tables:
    """All tables of the account. A write that finds its table missing makes it; reading a missing one finds nothing."""

    def __init__(self, client: StorageClient) -> None:
        self._client = client
        self._root = client.account.table_url

    async def get(self, table: str, partition: str, row: str, select: Sequence[str] = ()) -> Entity | None:
        """Read one row by its keys; None when there is none. Its ETag is under `ETAG`.

        Raises:
            UnknownSchema: this code does not read rows of its form.
        """
        query = _selected(select, "?")
        response = await self._client.send("GET", self._row_url(table, partition, row) + query, _HEADERS)
        if response.status_code == 404:
            return None
        entity: dict[str, Any] = orjson.loads(expect(response, "get row", 200).content)
        expect_readable(entity.get(NAME), table, partition, row)
        entity[ETAG] = response.headers.get("ETag", "")
        return entity

    async def pages(
        self, table: str, where: str, select: Sequence[str] = (), top: int = 1000, *, etags: bool = False
    ) -> AsyncIterator[list[Entity]]:
        """Rows that satisfy a filter, in key order, page by page; a page may be empty.

        Args:
            table: table name.
            where: the `$filter`.
            select: properties to bring; all when empty.
            top: rows a page, at most 1,000.
            etags: bring each row's ETag, under `ETAG`; that makes answers longer.

        Raises:
            UnknownSchema: this code does not read one of the rows.
        """
        base = f"{self._root}/{table}()?$filter={quote(where)}&$top={top}{_selected(select, '&')}"
        headers = {**_HEADERS, "Accept": "application/json;odata=minimalmetadata"} if etags else _HEADERS
        token = ""
        while True:
            response = await self._client.send("GET", base + token, headers)
            if response.status_code == 404:
                return
            rows: list[Entity] = orjson.loads(expect(response, "query rows", 200).content)["value"]
            for row in rows:
                expect_readable(row.get(NAME), table, row.get("PartitionKey", "?"), row.get("RowKey", "?"))
            yield rows
            following = {
                "NextPartitionKey": response.headers.get("x-ms-continuation-NextPartitionKey"),
                "NextRowKey": response.headers.get("x-ms-continuation-NextRowKey"),
            }
            token = "".join(f"&{name}={quote(value, safe='')}" for name, value in following.items() if value)
            if not token:
                return

    async def put(self, table: str, partition: str, row: str, entity: Entity) -> None:
        """Insert a row or replace it."""
        body = _body(partition, row, entity)
        url = self._row_url(table, partition, row)
        expect(await self._write(table, "PUT", url, body), "put row", 204)

    async def merge(self, table: str, partition: str, row: str, entity: Entity, etag: str = "*") -> bool:
        """Change properties of a row; False when the row is not there or is another than `etag`."""
        url = self._row_url(table, partition, row)
        response = await self._client.send("MERGE", url, {**_WRITE, "If-Match": etag}, _body(partition, row, entity))
        return expect(response, "merge row", 204, 404, 412).status_code == 204

    async def replace(self, table: str, partition: str, row: str, entity: Entity, etag: str) -> str | None:
        """Write a row that is still the one that was read; its new ETag, or None when it is another or gone.

        None may also mean that a first try did it and its answer was lost: whoever minds looks at the row again.
        """
        url = self._row_url(table, partition, row)
        response = await self._client.send("PUT", url, {**_WRITE, "If-Match": etag}, _body(partition, row, entity))
        if expect(response, "replace row", 204, 404, 412).status_code != 204:
            return None
        return str(response.headers.get("ETag", ""))

    async def delete(self, table: str, partition: str, row: str, etag: str = "*") -> bool:
        """Delete a row; False when it is not there or is another than `etag`."""
        url = self._row_url(table, partition, row)
        response = await self._client.send("DELETE", url, {**_HEADERS, "If-Match": etag})
        return expect(response, "delete row", 204, 404, 412).status_code == 204

    async def insert(self, table: str, partition: str, row: str, entity: Entity) -> bool:
        """Insert a row; False when there is one already."""
        try:
            await self.transact(table, partition, [Write("insert", row, entity)])
        except TransactionFailed as error:
            if error.code == "EntityAlreadyExists":
                return False
            raise
        return True

    async def transact(self, table: str, partition: str, writes: Sequence[Write]) -> None:
        """Do all writes or none of them.

        Raises:
            TransactionFailed: none was done; says which one could not be and why.
            OutcomeUnknown: storage gave no answer; all or none were done.
        """
        assert 0 < len(writes) <= TRANSACTION_LIMIT, "a transaction has 1 to 100 operations"
        body = self._batch(table, partition, writes)
        headers = {**_HEADERS, "Content-Type": f"multipart/mixed; boundary={_BATCH}"}
        for attempt in range(2):
            response = await self._client.send("POST", f"{self._root}/$batch", headers, body)
            failure = _failure(response)
            if failure is None:
                return
            if attempt == 0 and failure.code == "TableNotFound":
                await self._create(table)
                continue
            raise failure

    async def check(self) -> None:
        """Ask the service for anything: returns when it answers.

        Raises:
            StoreUnavailable: it does not.
        """
        expect(await self._client.send("GET", f"{self._root}/Tables?$top=1", _HEADERS), "list tables", 200)

    def _row_url(self, table: str, partition: str, row: str) -> str:
        keys = f"PartitionKey={_key(partition)},RowKey={_key(row)}"
        return f"{self._root}/{table}({keys})"

    async def _write(self, table: str, method: str, url: str, body: bytes) -> AsyncHttpResponse:
        response = await self._client.send(method, url, _WRITE, body)
        if response.status_code != 404:
            return response
        await self._create(table)
        return await self._client.send(method, url, _WRITE, body)

    async def _create(self, table: str) -> None:
        body = orjson.dumps({"TableName": table})
        try:
            response = await self._client.send("POST", f"{self._root}/Tables", _WRITE, body)
        except OutcomeUnknown:
            return  # the write that wanted the table finds out
        expect(response, "create table", 201, 204, 409)

    def _batch(self, table: str, partition: str, writes: Sequence[Write]) -> bytes:
        lines = [f"--{_BATCH}\r\nContent-Type: multipart/mixed; boundary={_CHANGES}\r\n\r\n".encode()]
        for write in writes:
            lines.append(_CHANGE_HEAD)
            lines.append(self._operation(table, partition, write))
            lines.append(b"\r\n")
        lines.append(f"--{_CHANGES}--\r\n--{_BATCH}--\r\n".encode())
        return b"".join(lines)

    def _operation(self, table: str, partition: str, write: Write) -> bytes:
        if write.kind == "insert":
            head = f"POST {self._root}/{table} HTTP/1.1\r\nPrefer: return-no-content\r\n"
        else:
            verb = _VERBS[write.kind]
            match = "" if write.kind == "put" else f"If-Match: {write.etag}\r\n"
            head = f"{verb} {self._row_url(table, partition, write.row)} HTTP/1.1\r\n{match}"
        head += f"Accept: {_JSON}\r\nDataServiceVersion: 3.0\r\n"
        if write.kind == "delete":
            return head.encode() + b"\r\n"
        body = _body(partition, write.row, write.entity)
        return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


_WRITE = {**_HEADERS, "Content-Type": "application/json", "Prefer": "return-no-content"}
_VERBS = {"merge": "MERGE", "replace": "PUT", "put": "PUT", "delete": "DELETE"}
_BATCH = "batch_8f2b6c"
_CHANGES = "changeset_41d9e0"
_CHANGE_HEAD = f"--{_CHANGES}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n".encode()


def _selected(columns: Sequence[str], before: str) -> str:
    """The part of a query that asks for some columns; the row's form is told with them, and which row it is."""
    return f"{before}$select={','.join(dict.fromkeys((*columns, 'RowKey', NAME)))}" if columns else ""


def _key(text: str) -> str:
    return quote(quoted(text), safe="'~!.-_")


def _body(partition: str, row: str, entity: Entity) -> bytes:
    body: dict[str, Any] = {"PartitionKey": partition, "RowKey": row}
    for name, value in entity.items():
        if isinstance(value, bytes):
            body[name + "@odata.type"] = "Edm.Binary"
            body[name] = base64.b64encode(value).decode()
        elif isinstance(value, int) and not isinstance(value, bool) and not -_INT32 <= value < _INT32:
            body[name + "@odata.type"] = "Edm.Int64"
            body[name] = str(value)
        else:
            body[name] = value
    return orjson.dumps(body)


def _failure(response: AsyncHttpResponse) -> StorageFailed | None:
    """What went wrong in a transaction: its HTTP status says 202 even when an operation inside failed."""
    content = response.content
    code = _CODE.search(content)
    named = code.group(1).decode() if code else response.headers.get("x-ms-error-code", "")
    if response.status_code != 202:
        return _named(response.status_code, named, content)
    for match in _STATUS.finditer(content):
        status = int(match.group(1))
        if status >= 400:
            return _named(status, named, content)
    return None


def _named(status: int, code: str, content: bytes) -> StorageFailed:
    index = _FAILED.search(content)
    if not code and status == 404:
        code = "TableNotFound"
    return TransactionFailed(status, code, "transaction", int(index.group(1)) if index else 0)
