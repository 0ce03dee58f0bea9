"""Instances for storage tests, without DICOM: storage only keeps what it is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from shared.storage.partitions import DataPartition
from shared.storage.rows import LevelValues, NewInstance
from shared.storage.stores import Stores


class WorkerDied(BaseException):
    """A worker ends in the middle of its work; nothing in the service catches this."""


class DiesAfter:
    """A fault that lets so many calls through and none after them."""

    def __init__(self, calls: int) -> None:
        self._left = calls
        self.died = False

    def __call__(self, _request) -> None:
        self._left -= 1
        if self._left < 0:
            self.died = True
            raise WorkerDied


DEFAULT = DataPartition(0, "Microsoft.Default")


def level(tag: str, element: dict[str, Any], **columns: str) -> LevelValues:
    """What an instance says about a level: one element, found by its columns."""
    return LevelValues({tag: element}, {tag: element}, columns)


def instance(
    study: str, series: str, sop: str, *, blob: str = "0/w/1/b", name: str = "A", modality: str = "CT"
) -> NewInstance:
    patient: dict[str, Any] = {"vr": "LO", "Value": [name * 200]}
    kind: dict[str, Any] = {"vr": "CS", "Value": [modality]}
    return NewInstance(
        study_uid=study,
        series_uid=series,
        sop_instance_uid=sop,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        transfer_syntax="1.2.840.10008.1.2.1",
        blob=blob,
        length_bytes=10,
        pixels=None,
        metadata=orjson.dumps({"00080018": {"vr": "UI", "Value": [sop]}, "00080060": kind, "00100010": patient}),
        modality=modality,
        study=level("00100010", patient, PatientName=name.lower()),
        series=level("00080060", kind, Modality=modality.lower()),
        columns={},
    )


async def store(
    stores: Stores,
    study: str,
    sops: Sequence[str],
    *,
    series: str = "1.2.3",
    name: str = "A",
    modality: str = "CT",
    partition: DataPartition = DEFAULT,
) -> list[bool]:
    """Upload ten bytes for each SOP instance and make them visible in one commit."""
    async with stores.uploads.request(partition.number) as uploads:
        instances = []
        for sop in sops:
            upload = uploads.begin()
            await upload.write(b"0123456789")
            await (await uploads.finish(upload, study, series, sop))
            instances.append(instance(study, series, sop, blob=upload.name, name=name, modality=modality))
        uploads.committing(one.blob for one in instances)
        stored = await stores.index.commit(partition, instances)
        for one, is_new in zip(instances, stored, strict=True):
            (uploads.keep if is_new else uploads.refuse)(one.blob)
    return stored


async def rows(stores: Stores, table: str) -> list[dict[str, object]]:
    """All rows of a table in key order."""
    return [dict(row) async for page in stores._tables.pages(table, "PartitionKey gt ' '") for row in page]


async def covering_rows(stores: Stores, kind: str) -> list[dict[str, object]]:
    """All covering rows of a log, headers left out."""
    found: list[dict[str, object]] = []
    for shard in range(16):
        found += [row for row in await rows(stores, f"{kind}{shard:02d}") if "order" in row]
    return found


async def blob_names(stores: Stores) -> list[str]:
    """Names of all blobs in the container."""
    import re

    url = f"{stores._blobs._root}?restype=container&comp=list"
    response = await stores._client.send("GET", url, {"x-ms-version": "2021-12-02"})
    return re.findall(r"<Name>([^<]+)</Name>", response.content.decode()) if response.status_code == 200 else []
