"""What clients of the service send and how they read what comes back: forms seen on the wire, and a bare socket."""

from __future__ import annotations

import asyncio
import contextlib
import email.message
import email.parser
import email.policy
import json
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import httpx
import pydicom
from dicomweb_client import DICOMwebClient

from tests.support import versions
from tests.support.files import synthetic_instance
from tests.support.served import Service

VERSIONS = versions.LABELS
SUPPORTED = versions.SUPPORTED
DICOM_JSON = "application/dicom+json"
ANY_PARTS = 'multipart/related; type="application/dicom"; transfer-syntax=*'
BOUNDARY = "0f3cf5c0-70e0-41ef-baef-c6f9f65ec3e1"

Report = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Made:
    """A synthetic instance and its UIDs.

    Attributes:
        content: the file.
    """

    study_uid: str
    series_uid: str
    sop_instance_uid: str
    content: bytes

    @property
    def path(self) -> str:
        """Below the version."""
        return f"/studies/{self.study_uid}/series/{self.series_uid}/instances/{self.sop_instance_uid}"


def made(**options: Any) -> Made:
    """A new instance; the options are those of `synthetic_instance`."""
    uids = {name: options.pop(name, None) or new_uid() for name in ("study_uid", "series_uid", "sop_instance_uid")}
    return Made(**uids, content=synthetic_instance(**uids, **options))


def uids_of(instance: Made) -> dict[str, Any]:
    """The instance's UIDs as parameters of a call."""
    return {name: getattr(instance, name) for name in ("study_uid", "series_uid", "sop_instance_uid")}


def new_uid() -> str:
    return f"2.25.{uuid.uuid4().int}"


def related(parts: Iterable[bytes], boundary: str = BOUNDARY, heads: Sequence[bytes] | None = None) -> bytes:
    """A multipart body as the Python dicomweb-client writes it.

    Args:
        parts: contents.
        boundary: between them.
        heads: header blocks of the parts, without their blank line.
    """
    body = b""
    for place, part in enumerate(parts):
        head = heads[place] if heads is not None else b"Content-Type: application/dicom"
        body += b"\r\n--" + boundary.encode() + b"\r\n" + head + (b"\r\n\r\n" if head else b"\r\n") + part
    return body + b"\r\n--" + boundary.encode() + b"--"


def related_type(boundary: str = BOUNDARY) -> str:
    return f'multipart/related; type="application/dicom"; boundary="{boundary}"'


async def store(
    client: httpx.AsyncClient, root: str, parts: Iterable[bytes], study_uid: str | None = None, **headers: str
) -> httpx.Response:
    """Store files in one multipart request; `root` is the version, with its partition where there is one."""
    path = f"{root}/studies" if study_uid is None else f"{root}/studies/{study_uid}"
    sent = {"Content-Type": related_type(), "Accept": DICOM_JSON, **headers}
    return await client.post(path, content=related(parts), headers=sent)


def stored_items(report: Report) -> list[Report]:
    """Items of ReferencedSOPSequence."""
    return list(report.get("00081199", {}).get("Value", []))


def failed_items(report: Report) -> list[Report]:
    """Items of FailedSOPSequence."""
    return list(report.get("00081198", {}).get("Value", []))


def failure_reasons(report: Report) -> list[int]:
    return [item["00081197"]["Value"][0] for item in failed_items(report)]


def warning_reasons(report: Report) -> list[int | None]:
    return [item.get("00081196", {}).get("Value", [None])[0] for item in stored_items(report)]


def stored_uids(report: Report) -> list[str]:
    """SOPInstanceUIDs of what was stored."""
    return [item["00081155"]["Value"][0] for item in stored_items(report)]


def comments(item: Report) -> list[str]:
    """ErrorComment values of an item's FailedAttributesSequence."""
    return [inner["00000902"]["Value"][0] for inner in item.get("00741048", {}).get("Value", [])]


@dataclass(frozen=True, slots=True)
class ReadPart:
    """A part as a client got it."""

    content_type: str
    content: bytes


def email_parts(content_type: str, body: bytes) -> list[ReadPart]:
    """Parts by Python's e-mail parser, which knows nothing of DICOM."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.compat32).parsebytes(head + body)
    assert message.is_multipart()
    assert not message.defects
    parts = []
    for part in message.get_payload():
        assert isinstance(part, email.message.Message)
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        parts.append(ReadPart(str(part["Content-Type"]), content))
    return parts


def naive_parts(body: bytes) -> list[ReadPart]:
    """Parts as viewers read them: the first line is the boundary, `Content-Type:` has exactly this spelling."""
    head_end = body.index(b"\r\n\r\n")
    marker = next(line for line in body[:head_end].split(b"\r\n") if line.startswith(b"--"))
    parts = []
    rest = body[body.index(marker) + len(marker) :]
    while not rest.startswith(b"--"):
        head_end = rest.index(b"\r\n\r\n")
        content_end = rest.index(b"\r\n" + marker, head_end)
        head = rest[:head_end].decode("ascii")
        types = [line.removeprefix("Content-Type: ") for line in head.split("\r\n") if line.startswith("Content-Type:")]
        assert len(types) == 1, head
        parts.append(ReadPart(types[0], rest[head_end + 4 : content_end]))
        rest = rest[content_end + 2 + len(marker) :]
    return parts


def dicom_of(content: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(BytesIO(content))


class FileClient(DICOMwebClient):
    """The Python dicomweb-client, sending and getting files as they are.

    The original writes a data set anew before it sends it, and reads it again before it hands it out; whether bytes
    come back as they went can only be seen between those steps. Requests, framing and retries are the original's.
    """

    def store_files(self, files: Sequence[bytes]) -> pydicom.Dataset:
        report: pydicom.Dataset = self._http_post_multipart_application_dicom(f"{self.base_url}/studies", files)
        return report

    def files(self, path: str) -> list[bytes]:
        """The parts of a study, series or instance as they are stored."""
        response = self._http_get(f"{self.base_url}{path}", headers={"Accept": ANY_PARTS})
        return [bytes(part) for part in self._decode_multipart_message(response, stream=False)]


def head_of(service: Service, path: str, *lines: str, method: str = "POST") -> bytes:
    """A request head with Host, the given header lines, and its blank line."""
    host = urlsplit(service.url).netloc
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode("latin-1")


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An answer read from a socket.

    Attributes:
        status: 0 when the connection was closed without an answer.
        headers: names in lower case.
        body: decoded from its chunks.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@contextlib.asynccontextmanager
async def connected(service: Service) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection to the service."""
    parts = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def raw_answer(reader: asyncio.StreamReader) -> RawAnswer:
    """The next answer on a connection, to its end."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return RawAnswer(0, {}, b"")
    status = int(head[0].split(" ")[1])
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    if headers.get("transfer-encoding") == "chunked":
        return RawAnswer(status, headers, await _chunked(reader))
    return RawAnswer(status, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


async def _chunked(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body


async def raw(service: Service, request: bytes, seconds: float = 15) -> RawAnswer:
    """Send bytes as they are and read one answer; a connection that hangs fails the test."""
    async with asyncio.timeout(seconds), connected(service) as (reader, writer):
        writer.write(request)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        return await raw_answer(reader)
