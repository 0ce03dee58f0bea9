"""One worker with one dropped file: stores it, says what has become of it, and puts it away."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from shared.dicom.reasons import FailureReason, error_comment
from shared.dicom.validation import Identity, ValidationRules
from shared.errors import NotFound, StoreUnavailable, Superseded
from shared.storage.blobs import BlobMissing
from shared.storage.copying import ORIGIN
from shared.storage.dropped import DroppedFile, FileChanged, failed_name, stored_name
from shared.storage.errors import StorageFailed
from shared.storage.filerecords import FileRecord, FileStatus
from shared.storage.leases import work_while_held
from shared.storage.meter import Meter, metered
from shared.storage.partitions import DEFAULT_NAME, DataPartition
from shared.storage.stores import Stores
from shared.stow.outcomes import Outcome
from shared.stow.store import StoreRequest

LOG = logging.getLogger(__name__)

FAULTY_TRIES = 5
"""So many tries of which the last one ended with an error of its own, and the file has failed."""
MOST_TRIES = 20
"""So many tries, however they ended: also a file that kills its worker comes to an end."""
WORK_SECONDS = 25 * 60.0
"""A file takes no longer than this: below the half hour after which the host ends a function (host.json)."""
TRIED = "failed try"
_PARTITION_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_NOT_DICOM = "This is no DICOM file that can be read to its end (PS3.10 §7)."
_EMPTY = "The file is empty."
_GONE = "The file was taken away, or another one written over it, before it was stored."
_NO_PARTITION = (
    "The first folder of the path is no name of a data partition: 1 to 64 letters, digits, ._- (contract C13)."
)
_REASONS = {
    FailureReason.PROCESSING_FAILURE: "Storage refused the instance.",
    FailureReason.VALIDATION_FAILURE: "The data set breaks rules of the service.",
    FailureReason.ALREADY_EXISTS: "The instance is stored already.",
}


def _nobody(_mark: str, _record: FileRecord) -> None:
    """Nobody wants to know."""


def _unmeasured(_status: str, _seconds: float, _meter: Meter) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class ImportConduct:
    """How files are imported.

    Attributes:
        rules: how strictly they are judged.
        keep_stored: whether stored files are kept beside their outcomes.
        told: is given the mark and the record of each file whose end this worker wrote down, for the audit.
        measured: is given how each try ended (the file's status, or `TRIED`), its seconds, and its calls to storage.
    """

    rules: ValidationRules
    keep_stored: bool = False
    told: Callable[[str, FileRecord], None] = _nobody
    measured: Callable[[str, float, Meter], None] = _unmeasured


class ImportFailed(Exception):
    """A try ended with an error of its own; named without its message, which may quote attribute values."""


def gone(record: FileRecord) -> FileRecord:
    """The record of a file that is not there any more and was not stored."""
    return replace(record, status=FileStatus.FAILED, reason=_GONE)


async def put_away(file: DroppedFile, record: FileRecord, stores: Stores) -> None:
    """Take a file that has been seen to out of the container."""
    dropped = stores.dropped
    try:
        away = await (dropped.move(file, record.kept_as) if record.kept_as else dropped.remove(file))
    except StorageFailed as refused:
        LOG.warning("file %s cannot be put away: %s", file.mark, refused)
        return
    if not away:
        LOG.warning("file %s was not put away: it has changed, or somebody holds it", file.mark)


@dataclass(slots=True)
class ImportWork:
    """A file in the hands of a worker, with its record as it was written last."""

    stores: Stores
    conduct: ImportConduct
    file: DroppedFile
    record: FileRecord

    async def run(self) -> None:
        """See to the file.

        Raises:
            StoreUnavailable: storage failed.
            ImportFailed: something else did, and it may be tried again.
        """
        began, meter = time.monotonic(), Meter()
        try:
            with metered(meter):
                ended = await self._ended()
                self.record = await self.stores.file_records.end(replace(ended, version=self.record.version))
        except Superseded:
            LOG.warning("file %s was taken over by another worker", self.file.mark)
            return
        except (StoreUnavailable, ImportFailed):
            self.conduct.measured(TRIED, time.monotonic() - began, meter)
            raise
        seconds = time.monotonic() - began
        LOG.info(
            "file %s status=%s bytes=%d ms=%d %s",
            self.file.mark,
            self.record.status,
            self.file.length_bytes,
            seconds * 1000,
            meter.line(),
        )
        self.conduct.told(self.file.mark, self.record)
        self.conduct.measured(self.record.status.value, seconds, meter)
        await put_away(self.file, self.record, self.stores)

    async def _ended(self) -> FileRecord:
        """What has become of the file."""
        if self.record.tries > MOST_TRIES:
            return self._failed(f"Given up after {MOST_TRIES} tries that did not end.")
        try:
            return await self._while_held()
        except Superseded:
            raise
        except FileChanged:
            return gone(self.record)
        except (asyncio.CancelledError, StoreUnavailable):
            await self._let_go()
            raise
        except Exception as error:  # noqa: BLE001 - whatever ended the try, the next one need not wait for the lease
            fault = type(error).__name__
        LOG.error("file %s: try %d ended with %s", self.file.mark, self.record.tries, fault)
        if self.record.tries >= FAULTY_TRIES:
            return self._failed(f"Given up after {self.record.tries} tries; the last one ended with {fault}.")
        await self._let_go(fault)
        # Not in the except block: the error would be logged as the context of what is raised.
        raise ImportFailed(f"a try to store file {self.file.mark} ended with {fault}")

    async def _let_go(self, fault: str = "") -> None:
        with contextlib.suppress(StoreUnavailable, Superseded):
            await self.stores.file_records.release(self.record, fault)

    async def _while_held(self) -> FileRecord:
        """Store the file, with the record renewed as long as it takes.

        Raises:
            Superseded: another worker has the file; the store was cut off.
            TimeoutError: it takes too long.
        """
        return await work_while_held(
            f"file {self.file.mark}",
            self.stores.file_records.lease,
            asyncio.wait_for(self._judged(), WORK_SECONDS),
            self._renew,
        )

    async def _renew(self) -> None:
        self.record = await self.stores.file_records.renew(self.record)

    async def _judged(self) -> FileRecord:
        if not self.file.length_bytes:
            return self._failed(_EMPTY)
        name = self._partition_name()
        if _PARTITION_NAME.fullmatch(name) is None:
            return self._failed(_NO_PARTITION)
        partition = await self.stores.partition_or_new(name)
        return self._told(await self._store(partition), partition)

    def _partition_name(self) -> str:
        folder, slash, _ = self.file.path.partition("/")
        return folder if slash and self.stores.partitions.in_use else DEFAULT_NAME

    async def _store(self, partition: DataPartition) -> Outcome:
        """Store the file as the only one of a request."""
        async with self.stores.copying.request(partition.number, self.file) as uploads:
            request = StoreRequest(self.stores, uploads, partition, self.conduct.rules, None)
            try:
                async with aclosing(self.stores.dropped.chunks(self.file)) as chunks:
                    await request.take(chunks)
                (expected,) = request.judged
                (outcome,) = await request.finish()
            finally:
                await request.close()
        if outcome.failure is FailureReason.ALREADY_EXISTS and await self._is_from_here(outcome.identity, partition):
            return expected
        return outcome

    async def _is_from_here(self, identity: Identity | None, partition: DataPartition) -> bool:
        """Whether what is stored already is this very file: a worker died, or was overtaken, before it could say so."""
        assert identity is not None, "what is stored has its UIDs"
        uids = (identity.study_uid or "", identity.series_uid or "", identity.sop_instance_uid or "")
        try:
            found = await self.stores.instances.find(partition, *uids, original=True)
            async with self.stores.instances.open(found, 0, 1) as opened:
                return opened.metadata.get(ORIGIN) == self.file.mark
        except (NotFound, BlobMissing):
            return False

    def _failed(self, reason: str) -> FileRecord:
        kept_as = failed_name(self.file.path)
        return replace(self.record, status=FileStatus.FAILED, reason=reason, kept_as=kept_as)

    def _told(self, outcome: Outcome, partition: DataPartition) -> FileRecord:
        identity = outcome.identity or Identity(None, None, None, None)
        record = replace(
            self.record,
            partition=partition.name,
            sop_class_uid=identity.sop_class_uid or "",
            study_uid=identity.study_uid or "",
            series_uid=identity.series_uid or "",
            sop_instance_uid=identity.sop_instance_uid or "",
            attributes=tuple(error_comment(finding.tag, finding.text) for finding in outcome.findings),
        )
        if outcome.failure is None:
            kept_as = stored_name(self.file.path) if self.conduct.keep_stored else ""
            return replace(record, status=FileStatus.STORED, warning_reason=int(outcome.warning or 0), kept_as=kept_as)
        reason = _NOT_DICOM if outcome.identity is None else _REASONS[outcome.failure]
        kept_as = failed_name(self.file.path)
        failure = int(outcome.failure)
        return replace(record, status=FileStatus.FAILED, reason=reason, failure_reason=failure, kept_as=kept_as)
