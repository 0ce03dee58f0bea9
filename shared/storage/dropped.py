"""The container that files are dropped into, for imports (docs/import.md): what lies there, its bytes, and its end.

What others put there is theirs: names of any kind, metadata of any kind, and no schema of ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree

from shared.errors import StoreUnavailable
from shared.storage.blobs import Blobs, chunks_of
from shared.storage.client import BLOB_VERSION, StorageClient, expect
from shared.storage.errors import StorageFailed

LISTED = 1000
"""So many names are looked at in one go."""
QUIET = timedelta(minutes=5)
"""A file that may still grow counts as complete when it has been left alone for so long."""
RANGE_BYTES = 64 * 1024 * 1024

_HEADERS = {"x-ms-version": BLOB_VERSION}
_NAME_LENGTH = 1024
_TRIES = 3
_SUBJECT = "/blobServices/default/containers/"


class FileChanged(Exception):
    """The file is gone, or another one has taken its place."""


@dataclass(frozen=True, slots=True)
class DroppedFile:
    """A file in the container.

    Attributes:
        path: its name there.
        etag: changes when the file does.
        length_bytes: how long it is.
        modified: when it was written last.
        may_grow: it is of a kind that is written piece by piece, or empty yet.
        copying: storage is still copying it from elsewhere.
        folder: it stands for a folder and is no file.
    """

    path: str
    etag: str
    length_bytes: int
    modified: datetime
    may_grow: bool = False
    copying: bool = False
    folder: bool = False

    def complete(self, now: datetime, quiet: timedelta = QUIET) -> bool:
        """Whether nothing more is to be expected of whoever writes it."""
        return not self.copying and (not self.may_grow or now - self.modified >= quiet)

    @property
    def mark(self) -> str:
        """A name of this very file, without a word of its path: for logs, and to know it again."""
        return hashlib.sha256(f"{self.path}\0{self.etag}".encode()).hexdigest()[:32]


def results_container(container: str) -> str:
    """The container with what has become of files."""
    return f"{container}-results"


def outcome_name(path: str) -> str:
    """The blob that says what has become of a file."""
    return _result("outcomes/", path, ".json")


def failed_name(path: str) -> str:
    """The blob that a file becomes when it is not stored."""
    return _result("failed/", path)


def stored_name(path: str) -> str:
    """The blob that a file becomes when it is stored and kept."""
    return _result("stored/", path)


def quote_name(name: str) -> str:
    """A blob's name as addresses have it."""
    return quote(name, safe="/~-._")


def _result(folder: str, path: str, suffix: str = "") -> str:
    name = f"{folder}{path}{suffix}"
    # Storage counts UTF-16 units.
    if len(name.encode("utf-16-le")) // 2 <= _NAME_LENGTH:
        return name
    return f"{folder}~{hashlib.sha256(path.encode()).hexdigest()}{suffix}"


class Dropped:
    """The files of one container.

    Args:
        client: of the service's own account.
        container: its name.
    """

    def __init__(self, client: StorageClient, container: str) -> None:
        self._client = client
        self._root = f"{client.account.blob_url}/{container}"
        self._results = Blobs(client, results_container(container))
        self.container = container

    def path_of(self, subject: str, url: str) -> str | None:
        """The file that an event is about; None when it is none of this container in this account.

        Args:
            subject: `/blobServices/default/containers/{container}/blobs/{path}`.
            url: of the blob. It is compared, never connected to.
        """
        path = subject.removeprefix(self.subject(""))
        if path == subject or not _can_be_asked_for(path) or not self._is_here(url):
            return None
        return path

    def subject(self, path: str) -> str:
        """What events call a file."""
        return f"{_SUBJECT}{self.container}/blobs/{path}"

    async def find(self, path: str) -> DroppedFile | None:
        """A file; None when there is none of that name."""
        response = await self._client.send("HEAD", self.url(path), _HEADERS)
        if response.status_code in (400, 404):
            return None  # 400: nothing can have such a name
        found = expect(response, "get blob properties", 200).headers
        length = int(found.get("Content-Length", "0"))
        return DroppedFile(
            path=path,
            etag=found["ETag"],
            length_bytes=length,
            modified=parsedate_to_datetime(found["Last-Modified"]),
            may_grow=not length or found.get("x-ms-blob-type") == "AppendBlob",
            copying=found.get("x-ms-copy-status") == "pending",
            folder=_is_folder(path, length, found.get("x-ms-meta-hdi_isfolder")),
        )

    async def listed(self) -> list[DroppedFile]:
        """The first files of the container, which is made when it is not there.

        Raises:
            StorageFailed: names are in it that the emulator does not write as XML.
        """
        query = f"restype=container&comp=list&include=metadata,copy&maxresults={LISTED}"
        response = await self._client.send("GET", f"{self._root}?{query}", _HEADERS)
        if response.status_code == 404:
            made = await self._client.send("PUT", f"{self._root}?restype=container", _HEADERS)
            expect(made, "create container", 201, 409)
            return []
        try:
            root = ElementTree.fromstring(expect(response, "list blobs", 200).content)  # noqa: S314 - storage wrote it
        except ElementTree.ParseError as error:
            raise StorageFailed(200, "InvalidXml", "list blobs") from error
        return [file for element in root.iter("Blob") if _can_be_asked_for((file := _listed(element)).path)]

    async def chunks(self, file: DroppedFile) -> AsyncGenerator[bytes, None]:
        """The bytes of a file as they arrive; a connection that breaks is followed by another one.

        Raises:
            FileChanged: it is not that file any more.
            StoreUnavailable: storage does not give it.
        """
        at = failures = 0
        while at < file.length_bytes:
            begun, stop = at, min(at + RANGE_BYTES, file.length_bytes)
            headers = {**_HEADERS, "x-ms-range": f"bytes={at}-{stop - 1}", "If-Match": file.etag}
            try:
                async with self._client.stream(self.url(file.path), headers) as response:
                    if response.status_code in (404, 412, 416):
                        raise FileChanged
                    expect(response, "get blob", 206)
                    async with aclosing(chunks_of(response)) as chunks:
                        async for chunk in chunks:
                            at += len(chunk)
                            yield chunk
            except StoreUnavailable:
                failures = 0 if at > begun else failures + 1
                if failures == _TRIES:
                    raise

    async def remove(self, file: DroppedFile) -> bool:
        """Take a file away; False when it is another one by now, or somebody holds it."""
        response = await self._client.send("DELETE", self.url(file.path), {**_HEADERS, "If-Match": file.etag})
        return expect(response, "delete blob", 202, 404, 409, 412).status_code in (202, 404)

    async def move(self, file: DroppedFile, name: str) -> bool:
        """Move a file to a name in the container of results, within storage; as `remove`.

        Raises:
            StorageFailed: storage refuses.
        """
        try:
            await self._results.copy(name, self.url(file.path), file.etag, {})
        except StorageFailed as refused:
            if refused.status in (404, 412):
                return False
            raise
        return await self.remove(file)

    def url(self, path: str) -> str:
        """The address of a file."""
        return f"{self._root}/{quote_name(path)}"

    def _is_here(self, url: str) -> bool:
        ours = urlsplit(self._client.account.blob_url)
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        if parts.netloc == ours.netloc:
            return f"{parts.scheme}://{parts.netloc}{parts.path}".startswith(f"{self._root}/")
        # Events of accounts with folders name the endpoint of files.
        return bool(parts.hostname) and parts.hostname == (ours.hostname or "").replace(".blob.", ".dfs.", 1)


def _listed(element: ElementTree.Element) -> DroppedFile:
    name = element.find("Name")
    path = "" if name is None else name.text or ""
    if name is not None and name.get("Encoded") == "true":
        path = unquote(path)
    length = int(element.findtext("Properties/Content-Length") or 0)
    modified = element.findtext("Properties/Last-Modified")
    metadata = {item.tag.lower(): item.text or "" for item in element.iterfind("Metadata/*")}
    etag = element.findtext("Properties/Etag", "")
    return DroppedFile(
        path=path,
        etag=etag if etag.startswith('"') else f'"{etag}"',
        length_bytes=length,
        modified=parsedate_to_datetime(modified) if modified else datetime.now(UTC),
        may_grow=not length or element.findtext("Properties/BlobType") == "AppendBlob",
        copying=element.findtext("Properties/CopyStatus") == "pending",
        folder=_is_folder(path, length, metadata.get("hdi_isfolder")),
    )


def _is_folder(path: str, length_bytes: int, said: str | None) -> bool:
    return (said or "").lower() == "true" or (not length_bytes and path.endswith("/"))


def _can_be_asked_for(path: str) -> bool:
    """Whether a request for the path is not understood as one for another: `..` in an address goes a folder up."""
    return bool(path) and not {".", ".."} & set(path.replace("\\", "/").split("/"))
