"""Reading side: which instances there are, their bytes and their metadata."""

from __future__ import annotations

import asyncio
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from shared.errors import NotFound, ReplacedMeanwhile
from shared.storage.blobs import BlobMissing, Blobs, OpenBlob
from shared.storage.files import HEAD, StoredInstance, open_file, stored_instance
from shared.storage.index import DELETING
from shared.storage.keys import (
    ORIGINAL,
    STUDY_ROW,
    instance_row,
    main_table,
    series_range,
    series_row,
    study_partition,
    uids_of_row,
)
from shared.storage.originals import originals
from shared.storage.partitions import DataPartition
from shared.storage.rows import METADATA_COLUMNS, METADATA_SUFFIX, packed_of, unpacked_metadata
from shared.storage.tables import Entity, Tables, between, binary, whole

PLACE = ("RowKey", "blob", "offset", "length", "syntax", "version", HEAD, "headLength", "tail", DELETING)
"""Columns that say where an instance is."""
_METADATA = ("RowKey", "blob", HEAD, "dictionary", "version", DELETING, *METADATA_COLUMNS)
_DICTIONARIES = 256


@dataclass(frozen=True, slots=True)
class InstanceMetadata:
    """Metadata of one instance.

    Attributes:
        json: DICOM JSON, one object.
        version: the instance's version number.
    """

    json: bytes
    version: int


class Instances:
    """Stored instances, seen from one worker that reads them."""

    def __init__(self, tables: Tables, blobs: Blobs) -> None:
        self._tables = tables
        self._blobs = blobs
        # A series' dictionary never changes while the series lives, and its key names that life.
        self._dictionaries: OrderedDict[tuple[int, str, str], bytes] = OrderedDict()

    async def find(
        self,
        partition: DataPartition,
        study_uid: str,
        series_uid: str,
        sop_instance_uid: str,
        *,
        original: bool = False,
    ) -> StoredInstance:
        """One instance; `original` asks for it as it was before it was updated.

        Raises:
            NotFound: it is not stored.
        """
        key = instance_row(series_uid, sop_instance_uid)
        row = await self._instance_row(partition, study_uid, key, PLACE, original=original)
        if row is None:
            raise NotFound("The instance is not stored here.")
        return stored_instance(row)

    async def pages(
        self, partition: DataPartition, study_uid: str, series_uid: str | None = None, *, original: bool = False
    ) -> AsyncIterator[list[StoredInstance]]:
        """The instances of a study or of one of its series, up to 1,000 at a time. Nothing for an unknown one."""
        async for page in self._pages(partition, study_uid, series_uid, PLACE, original=original):
            instances = [stored_instance(row) for row in page if "blob" in row]
            if instances:
                yield instances

    def open(
        self, instance: StoredInstance, start: int = 0, stop: int | None = None
    ) -> AbstractAsyncContextManager[OpenBlob]:
        """The bytes of an instance, or those from `start` to before `stop`, as they arrive.

        Raises:
            BlobMissing: they are gone: the instance was deleted, or updated again, after it was found.
        """
        return open_file(self._blobs, instance, start, stop)

    async def study_version(self, partition: DataPartition, study_uid: str) -> int:
        """Version number of a study; changes with everything that is stored in it.

        Raises:
            NotFound: there is no such study.
        """
        return await self._version(partition, study_uid, STUDY_ROW, "study")

    async def series_version(self, partition: DataPartition, study_uid: str, series_uid: str) -> int:
        """Version number of a series; changes with everything that is stored in it.

        Raises:
            NotFound: there is no such series.
        """
        return await self._version(partition, study_uid, series_row(series_uid), "series")

    async def metadata(
        self,
        partition: DataPartition,
        study_uid: str,
        series_uid: str,
        sop_instance_uid: str,
        *,
        original: bool = False,
    ) -> InstanceMetadata:
        """Metadata of one instance; `original` asks for it as it was before the instance was updated.

        Raises:
            NotFound: it is not stored.
        """
        key = instance_row(series_uid, sop_instance_uid)
        row, dictionary = await asyncio.gather(
            self._instance_row(partition, study_uid, key, _METADATA, original=original),
            self._dictionary(partition, study_uid, series_uid),
        )
        if row is None or dictionary is None:
            raise NotFound("The instance is not stored here.")
        json, _ = await self.unpacked(partition, study_uid, series_uid, row)
        return InstanceMetadata(json, whole(row, "version"))

    async def unpacked(
        self, partition: DataPartition, study_uid: str, series_uid: str, row: Entity
    ) -> tuple[bytes, bytes]:
        """The metadata that an instance's row says, and the dictionary that it is packed with.

        Raises:
            NotFound: the series is gone.
            ReplacedMeanwhile: the instance was deleted, or updated again, after its row was read.
        """
        for _ in range(2):
            dictionary = await self._dictionary(partition, study_uid, series_uid)
            if dictionary is None:
                break
            try:
                return await self._unpacked(row, dictionary), dictionary
            except BlobMissing as error:
                raise ReplacedMeanwhile from error
            except zlib.error:
                # The series was deleted and stored anew since this worker read its dictionary.
                self._dictionaries.pop((partition.number, study_uid, series_uid), None)
        raise NotFound("The instance is not stored here.")

    async def metadata_of(
        self, partition: DataPartition, study_uid: str, row: Entity, dictionary: bytes | None = None
    ) -> bytes | None:
        """Metadata that is in an instance's row; None when the instance is gone by now.

        Args:
            partition: where it is.
            study_uid: StudyInstanceUID.
            row: with `RowKey`, `blob`, `HEAD` and the columns of metadata.
            dictionary: of its series, when that is known.
        """
        uids = uids_of_row(row["RowKey"])
        known = dictionary or await self._dictionary(partition, study_uid, uids[0])
        try:
            return None if known is None else await self._unpacked(row, known)
        except (zlib.error, BlobMissing):
            # The series was stored anew, or the instance updated, since its row was read.
            try:
                return (await self.metadata(partition, study_uid, *uids)).json
            except NotFound:
                return None

    async def metadata_pages(
        self, partition: DataPartition, study_uid: str, series_uid: str | None = None, *, original: bool = False
    ) -> AsyncIterator[list[bytes]]:
        """Metadata of all instances of a study or series, DICOM JSON objects, some hundreds at a time."""
        dictionaries: dict[str, bytes] = {}
        async for page in self._pages(partition, study_uid, series_uid, _METADATA, original=original):
            documents: list[bytes] = []
            for row in page:
                series_uid = uids_of_row(row["RowKey"])[0]
                if "dictionary" in row:
                    dictionaries[series_uid] = zlib.decompress(binary(row, "dictionary"))
                elif "blob" in row:
                    # A series' row sorts before those of its instances.
                    json = await self.metadata_of(partition, study_uid, row, dictionaries[series_uid])
                    documents += [] if json is None else [json]
            if documents:
                yield documents

    async def _pages(
        self,
        partition: DataPartition,
        study_uid: str,
        series_uid: str | None,
        columns: Sequence[str],
        *,
        original: bool,
    ) -> AsyncIterator[list[Entity]]:
        """Rows of series and instances, without those that are being deleted."""
        table, where = main_table(study_uid), study_partition(partition.number, study_uid)
        only = (STUDY_ROW, ORIGINAL) if series_uid is None else series_range(series_uid)
        going: str | None = None
        async for page in self._tables.pages(table, between(where, *only), columns):
            staying: list[Entity] = []
            for row in page:
                if DELETING in row:
                    # The row of a study or series sorts before everything in it.
                    going = row["RowKey"].rstrip("!")
                elif going is None or not row["RowKey"].startswith(f"{going}!" if going else ""):
                    staying.append(row)
            yield await originals(self._tables, table, where, staying, columns) if original else staying

    async def _unpacked(self, row: Entity, dictionary: bytes) -> bytes:
        packed = packed_of(row)
        if not packed:
            async with self._blobs.open((row.get(HEAD) or row["blob"]) + METADATA_SUFFIX) as opened:
                packed = b"".join([chunk async for chunk in opened.chunks])
        return unpacked_metadata(packed, dictionary)

    async def _dictionary(self, partition: DataPartition, study_uid: str, series_uid: str) -> bytes | None:
        key = (partition.number, study_uid, series_uid)
        known = self._dictionaries.get(key)
        if known is not None:
            self._dictionaries.move_to_end(key)
            return known
        row = await self._row(partition, study_uid, series_row(series_uid), ("dictionary",))
        if row is None:
            return None
        dictionary = self._dictionaries[key] = zlib.decompress(binary(row, "dictionary"))
        if len(self._dictionaries) > _DICTIONARIES:
            self._dictionaries.popitem(last=False)
        return dictionary

    async def _version(self, partition: DataPartition, study_uid: str, row_key: str, what: str) -> int:
        row = await self._row(partition, study_uid, row_key, ("version", DELETING))
        if row is None or DELETING in row:
            raise NotFound(f"The {what} is not stored here.")
        return whole(row, "version")

    async def _instance_row(
        self, partition: DataPartition, study_uid: str, row_key: str, columns: Sequence[str], *, original: bool
    ) -> Entity | None:
        row = await self._row(partition, study_uid, row_key, columns)
        if row is None or not original:
            return row
        table, where = main_table(study_uid), study_partition(partition.number, study_uid)
        found = await originals(self._tables, table, where, [{**row, "RowKey": row_key}], columns)
        return found[0] if found else None

    async def _row(self, partition: DataPartition, study_uid: str, row: str, columns: Sequence[str]) -> Entity | None:
        where = study_partition(partition.number, study_uid)
        return await self._tables.get(main_table(study_uid), where, row, columns)


__all__ = ["BlobMissing", "InstanceMetadata", "Instances", "StoredInstance"]
