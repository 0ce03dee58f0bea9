"""What has become of dropped files: one JSON document each, for people, and for workers to agree on who does what.

A document is changed on condition that it is as it was read. Whoever holds it works on the file; a holder that falls
silent is overtaken when its time is over (docs/import.md).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import orjson

from shared.errors import StoreUnavailable, Superseded
from shared.storage import schema
from shared.storage.client import BLOB_VERSION, StorageClient, expect
from shared.storage.dropped import DroppedFile, outcome_name, quote_name, results_container
from shared.storage.keys import SCHEMA

_HEADERS = {"x-ms-version": BLOB_VERSION}
_TRIES = 5


class FileStatus(StrEnum):
    """How far a file is."""

    QUEUED = "queued"
    STORING = "storing"
    STORED = "stored"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """What is known of a file.

    Attributes:
        file: its path.
        etag: which file of that path this is about.
        length_bytes: how long it is.
        status: how far it is.
        updated: when something last happened.
        tries: how often a worker began with it, without those that storage ended.
        partition: name of the data partition it goes to.
        sop_class_uid: SOPClassUID.
        study_uid: StudyInstanceUID.
        series_uid: SeriesInstanceUID.
        sop_instance_uid: SOPInstanceUID.
        reason: why it was not stored, a sentence without attribute values.
        failure_reason: FailureReason (0008,1197); 0 for none.
        warning_reason: WarningReason (0008,1196); 0 for none.
        attributes: attributes that break a rule.
        kept_as: the blob that it has become.
        holder: the worker that has it; empty when nobody has.
        until: when it is no longer that worker's.
        posted: when the poll sent a message about it.
        posts: how often it did since a worker began with it.
        fault: name of the error that ended the last try; empty when it was none of the work's own.
        version: ETag of the document as it was read; empty before it is written first.
    """

    file: str
    etag: str
    length_bytes: int
    status: FileStatus
    updated: datetime
    tries: int = 0
    partition: str = ""
    sop_class_uid: str = ""
    study_uid: str = ""
    series_uid: str = ""
    sop_instance_uid: str = ""
    reason: str = ""
    failure_reason: int = 0
    warning_reason: int = 0
    attributes: tuple[str, ...] = ()
    kept_as: str = ""
    holder: str = ""
    until: datetime | None = None
    posted: datetime | None = None
    posts: int = 0
    fault: str = ""
    version: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing is left to be found out."""
        return self.status in (FileStatus.STORED, FileStatus.FAILED)

    def held(self, now: datetime) -> bool:
        """Whether a worker has it."""
        return self.until is not None and self.until > now

    def is_of(self, file: DroppedFile) -> bool:
        """Whether it is about this file, and not about an earlier one of the same path."""
        return self.etag == file.etag


_MEMBERS = {
    "file": "file",
    "etag": "fileETag",
    "length_bytes": "bytes",
    "status": "status",
    "updated": "updated",
    "tries": "tries",
    "partition": "partition",
    "sop_class_uid": "sopClassUID",
    "study_uid": "studyInstanceUID",
    "series_uid": "seriesInstanceUID",
    "sop_instance_uid": "sopInstanceUID",
    "reason": "reason",
    "failure_reason": "failureReason",
    "warning_reason": "warningReason",
    "attributes": "attributes",
    "kept_as": "keptAs",
    "holder": "holder",
    "until": "until",
    "posted": "posted",
    "posts": "posts",
    "fault": "fault",
}
_ALWAYS = frozenset({"length_bytes", "tries"})
_TIMES = ("updated", "until", "posted")


class FileRecords:
    """The documents of one import container.

    Args:
        client: of the service's own account.
        container: the container that files are dropped into.
        lease: how long a file stays with a worker that fell silent.
    """

    def __init__(self, client: StorageClient, container: str, lease: timedelta) -> None:
        self._client = client
        self._root = f"{client.account.blob_url}/{results_container(container)}"
        self.lease = lease

    async def find(self, path: str) -> FileRecord | None:
        """The document of a path; None when there is none.

        Raises:
            UnknownSchema: it is of another release, in a form that this one does not read.
        """
        found = await self._read(path)
        return None if found is None else _record(*found)

    async def post(self, file: DroppedFile, known: FileRecord | None) -> None:
        """Write down that a message was sent about a file. Somebody who was quicker is right.

        Args:
            file: which one.
            known: its document, as it was read.
        """
        now = datetime.now(UTC)
        posted = known if known is not None and known.is_of(file) else _fresh(file, FileStatus.QUEUED, known, now)
        try:
            await self._write(replace(posted, posted=now, posts=posted.posts + 1))
        except Superseded:
            return

    async def take(self, file: DroppedFile, known: FileRecord | None, holder: str) -> FileRecord:
        """Let a worker have a file.

        Args:
            file: which one.
            known: its document, as it was read.
            holder: a name that no worker had before.

        Raises:
            Superseded: somebody else was quicker.
        """
        now = datetime.now(UTC)
        base = known if known is not None and known.is_of(file) else _fresh(file, FileStatus.STORING, known, now)
        return await self._write(
            replace(
                base,
                status=FileStatus.STORING,
                updated=now,
                holder=holder,
                until=now + self.lease,
                tries=base.tries + 1,
                posts=0,
            )
        )

    async def renew(self, record: FileRecord) -> FileRecord:
        """Make the time of a worker longer.

        Raises:
            Superseded: another one has the file.
        """
        return await self._write(replace(record, until=datetime.now(UTC) + self.lease))

    async def release(self, record: FileRecord, fault: str = "") -> None:
        """Let go of a file that is not seen to yet.

        Args:
            record: as the worker has it.
            fault: name of the error when it was the work's own, which counts as a try; empty when it was storage's.

        Raises:
            Superseded: another one has the file.
        """
        tries = record.tries if fault else record.tries - 1
        now = datetime.now(UTC)
        await self._write(replace(record, updated=now, holder="", until=None, tries=tries, fault=fault))

    async def end(self, record: FileRecord) -> FileRecord:
        """Write down what has become of a file.

        Raises:
            Superseded: another one has the file.
        """
        return await self._write(replace(record, updated=datetime.now(UTC), holder="", until=None, fault=""))

    async def _read(self, path: str) -> tuple[dict[str, Any], str] | None:
        response = await self._client.send("GET", self._url(path), _HEADERS)
        if response.status_code == 404:
            return None
        expect(response, "get outcome", 200)
        content: dict[str, Any] = orjson.loads(response.content)
        schema.expect_readable(content.get("schema"), "outcome")
        return content, response.headers["ETag"]

    async def _write(self, record: FileRecord) -> FileRecord:
        """Write a document that is still as it was read."""
        mark = uuid.uuid4().hex
        condition = {"If-Match": record.version} if record.version else {"If-None-Match": "*"}
        headers = {**_HEADERS, **condition, "x-ms-blob-type": "BlockBlob", "Content-Type": "application/json"}
        content = orjson.dumps({**_members(record), "mark": mark, "schema": SCHEMA}, option=orjson.OPT_INDENT_2)
        for _ in range(_TRIES):
            response = await self._client.send("PUT", self._url(record.file), headers, content)
            if response.status_code == 201:
                return replace(record, version=response.headers["ETag"])
            if response.headers.get("x-ms-error-code") == "ContainerNotFound":
                made = await self._client.send("PUT", f"{self._root}?restype=container", _HEADERS)
                expect(made, "create container", 201, 409)
                continue
            expect(response, "put outcome", 404, 409, 412)
            found = await self._read(record.file)
            if found is not None and found[0].get("mark") == mark:
                return replace(record, version=found[1])  # an earlier try was carried out, and its answer lost
            raise Superseded("Another worker has this file.")
        raise StoreUnavailable

    def _url(self, path: str) -> str:
        return f"{self._root}/{quote_name(outcome_name(path))}"


def _fresh(file: DroppedFile, status: FileStatus, before: FileRecord | None, now: datetime) -> FileRecord:
    version = "" if before is None else before.version
    return FileRecord(
        file=file.path, etag=file.etag, length_bytes=file.length_bytes, status=status, updated=now, version=version
    )


def _members(record: FileRecord) -> Mapping[str, object]:
    """A record as its document has it: without what has nothing to say."""
    values = {field.name: getattr(record, field.name) for field in fields(record) if field.name in _MEMBERS}
    return {_MEMBERS[name]: value for name, value in values.items() if value or name in _ALWAYS}


def _record(content: Mapping[str, Any], version: str) -> FileRecord:
    values = {name: content[member] for name, member in _MEMBERS.items() if member in content}
    values |= {name: datetime.fromisoformat(values[name]) for name in _TIMES if name in values}
    values["status"] = FileStatus(values["status"])
    values["attributes"] = tuple(values.get("attributes", ()))
    return FileRecord(**values, version=version)
