"""Reading side: which instances there are, their bytes and their metadata."""

from __future__ import annotations

import asyncio
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from shared.errors import NotFound
from shared.storage.blobs import BlobMissing, Blobs, OpenBlob
from shared.storage.index import DELETING
from shared.storage.keys import (
    STUDY_ROW,
    instance_row,
    main_table,
    series_range,
    series_row,
    study_partition,
    uids_of_row,
)
from shared.storage.partitions import DataPartition
from shared.storage.rows import METADATA_COLUMNS, METADATA_SUFFIX, packed_of, unpacked_metadata
from shared.storage.tables import Entity, Tables, between, binary, quoted, whole

PLACE = ("RowKey", "blob", "offset", "length", "syntax", "version", DELETING)
"""Columns that say where an instance is."""
_METADATA = ("RowKey", "blob", "dictionary", "version", DELETING, *METADATA_COLUMNS)
_DICTIONARIES = 256


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """Where a stored instance is.

    Attributes:
        series_uid: SeriesInstanceUID.
        sop_instance_uid: SOPInstanceUID.
        blob: name of its blob.
        offset_bytes: where it begins in the blob.
        length_bytes: how long it is.
        transfer_syntax: as stored.
        version: its version number.
    """

    series_uid: str
    sop_instance_uid: str
    blob: str
    offset_bytes: int
    length_bytes: int
    transfer_syntax: str
    version: int


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
        self, partition: DataPartition, study_uid: str, series_uid: str, sop_instance_uid: str
    ) -> StoredInstance:
        """One instance.

        Raises:
            NotFound: it is not stored.
        """
        row = await self._row(partition, study_uid, instance_row(series_uid, sop_instance_uid), PLACE)
        if row is None:
            raise NotFound("The instance is not stored here.")
        return stored_instance(row)

    async def pages(
        self, partition: DataPartition, study_uid: str, series_uid: str | None = None
    ) -> AsyncIterator[list[StoredInstance]]:
        """The instances of a study or of one of its series, up to 1,000 at a time. Nothing for an unknown one."""
        async for page in self._pages(partition, study_uid, series_uid, PLACE):
            instances = [stored_instance(row) for row in page if "blob" in row]
            if instances:
                yield instances

    def open(self, instance: StoredInstance) -> AbstractAsyncContextManager[OpenBlob]:
        """The bytes of an instance, as they arrive.

        Raises:
            BlobMissing: they are gone: the instance was deleted after it was found.
        """
        return self._blobs.open(instance.blob, instance.offset_bytes, instance.length_bytes)

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
        self, partition: DataPartition, study_uid: str, series_uid: str, sop_instance_uid: str
    ) -> InstanceMetadata:
        """Metadata of one instance.

        Raises:
            NotFound: it is not stored.
        """
        row, dictionary = await asyncio.gather(
            self._row(partition, study_uid, instance_row(series_uid, sop_instance_uid), _METADATA),
            self._dictionary(partition, study_uid, series_uid),
        )
        if row is None or dictionary is None:
            raise NotFound("The instance is not stored here.")
        try:
            json = await self._unpacked(row, dictionary)
        except zlib.error:
            # The series was deleted and stored anew since this worker read its dictionary.
            self._dictionaries.pop((partition.number, study_uid, series_uid), None)
            fresh = await self._dictionary(partition, study_uid, series_uid)
            if fresh is None:
                raise NotFound("The instance is not stored here.") from None
            json = await self._unpacked(row, fresh)
        return InstanceMetadata(json, whole(row, "version"))

    async def metadata_pages(
        self, partition: DataPartition, study_uid: str, series_uid: str | None = None
    ) -> AsyncIterator[list[bytes]]:
        """Metadata of all instances of a study or series, DICOM JSON objects, some hundreds at a time."""
        dictionaries: dict[str, bytes] = {}
        async for page in self._pages(partition, study_uid, series_uid, _METADATA):
            documents: list[bytes] = []
            for row in page:
                series_uid = uids_of_row(row["RowKey"])[0]
                if "dictionary" in row:
                    dictionaries[series_uid] = zlib.decompress(binary(row, "dictionary"))
                elif "blob" in row:
                    # A series' row sorts before those of its instances.
                    documents.append(await self._unpacked(row, dictionaries[series_uid]))
            if documents:
                yield documents

    async def _pages(
        self, partition: DataPartition, study_uid: str, series_uid: str | None, columns: Sequence[str]
    ) -> AsyncIterator[list[Entity]]:
        """Rows of series and instances, without those that are being deleted."""
        where = study_partition(partition.number, study_uid)
        rows = f"PartitionKey eq {quoted(where)}" if series_uid is None else between(where, *series_range(series_uid))
        going: str | None = None
        async for page in self._tables.pages(main_table(study_uid), rows, columns):
            staying: list[Entity] = []
            for row in page:
                if DELETING in row:
                    # The row of a study or series sorts before everything in it.
                    going = row["RowKey"].rstrip("!")
                elif going is None or not row["RowKey"].startswith(f"{going}!" if going else ""):
                    staying.append(row)
            yield staying

    async def _unpacked(self, row: Entity, dictionary: bytes) -> bytes:
        packed = packed_of(row)
        if not packed:
            async with self._blobs.open(row["blob"] + METADATA_SUFFIX) as opened:
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

    async def _row(self, partition: DataPartition, study_uid: str, row: str, columns: Sequence[str]) -> Entity | None:
        where = study_partition(partition.number, study_uid)
        return await self._tables.get(main_table(study_uid), where, row, columns)


def stored_instance(row: Entity) -> StoredInstance:
    """The instance that a row with the columns of `PLACE` describes."""
    series_uid, sop_instance_uid = uids_of_row(row.get("RowKey", "!"))
    return StoredInstance(
        series_uid=series_uid,
        sop_instance_uid=sop_instance_uid,
        blob=row.get("blob", ""),
        offset_bytes=whole(row, "offset"),
        length_bytes=whole(row, "length"),
        transfer_syntax=row.get("syntax", ""),
        version=whole(row, "version"),
    )


__all__ = ["BlobMissing", "InstanceMetadata", "Instances", "StoredInstance"]
