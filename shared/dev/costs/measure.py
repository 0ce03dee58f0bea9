"""Sends one of each kind of request to the service, and counts."""

from __future__ import annotations

import gzip
import json
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pydicom
from pydicom.data import get_testdata_file
from pydicom.uid import UID

from shared.api import jobs
from shared.dev import backup
from shared.dev.bench.files import BOUNDARY, EXPLICIT, RELATED, MadeInstance, beside, instance, new_uid, whole_body
from shared.dev.costs.counts import Counted, Counts, Timer
from shared.dev.costs.watched import CostError, Watched, watched
from shared.dev.load import load, made_study
from shared.settings import Settings
from shared.storage.account import account_of
from shared.storage.client import StorageClient
from shared.storage.keys import shard
from shared.stow import importing
from shared.wire.multipart import closing, part_head

# Enough for a search to need more than one segment of the log of studies, as in any store that is in use.
STUDIES = 1100
OVER_ALL = (
    "search studies, a page of 100",
    "search series of all studies, a page of 100",
    "search studies by PatientID",
)
"""What depends on how much is stored."""
IN_A_REQUEST = 20
_SIZE_BYTES = 4096
_ROOT = "/v2"
_PARTS = {"Content-Type": RELATED, "Accept": "application/dicom+json"}
_JSON = {"Content-Type": "application/dicom+json", "Accept": "application/dicom+json"}
_MONTH_MINUTES = 30 * 24 * 60
_MADE_STUDY = 123
_KEYS = ("PartitionKey", "RowKey")


async def measured(settings: Settings, studies: int = STUDIES) -> Counts:
    """Counts of all requests.

    Args:
        settings: name an empty account of an emulator.
        studies: how many are stored before searches are counted; 0 leaves those out that depend on it.
    """
    async with watched(settings) as service:
        await _warm(service)
        found = await _stored(service)
        found |= await _found(service, studies)
        found |= await _workitems(service)
        timers = await _timers(service)
        return Counts(found, timers, await _row_bytes(service, settings))


async def _warm(service: Watched) -> None:
    """Tables are made when they are first needed, and that is once in the life of a store."""
    await _store(service, _series(1))


def _series(count: int) -> list[MadeInstance]:
    """Instances of a new series, whose study is in the first of the tables that studies are spread over."""
    study_uid, series_uid = next(uid for uid in iter(new_uid, "") if shard(uid) == 0), new_uid()
    return [instance(_SIZE_BYTES, EXPLICIT, study_uid, series_uid) for _ in range(count)]


async def _store(service: Watched, instances: list[MadeInstance]) -> Counted:
    return await service.ask("POST", f"{_ROOT}/studies", whole_body(instances), _PARTS)


async def _stored(service: Watched) -> dict[str, Counted]:
    (alone,) = _series(1)
    many = _series(IN_A_REQUEST)
    found = {
        "store 1 instance, new study": await _store(service, [alone]),
        "store 1 instance, known series": await _store(service, [beside(alone)]),
        f"store {IN_A_REQUEST} instances, new study": await _store(service, many),
    }
    one, series = f"{_ROOT}/{many[0].path}", f"{_ROOT}/{many[0].path.partition('/instances')[0]}"
    found["retrieve an instance"] = await service.ask("GET", one, headers=_accepts("application/dicom"))
    frame = _accepts("application/octet-stream")
    found["retrieve a frame"] = await service.ask("GET", f"{one}/frames/1", headers=frame)
    found[f"retrieve a series of {IN_A_REQUEST}"] = await service.ask(
        "GET", series, headers=_accepts("application/dicom")
    )
    found["metadata of a series, first time"] = await service.ask("GET", f"{series}/metadata")
    found["metadata of a series, asked before"] = await service.ask("GET", f"{series}/metadata")
    found["search instances of a series"] = await service.ask("GET", f"{series}/instances")
    study = f"{_ROOT}/studies/{many[0].study_uid}"
    found["search series of a study"] = await service.ask("GET", f"{study}/series")
    found[f"delete a study of {IN_A_REQUEST}"] = await _deleted(service, study)
    return found


def _accepts(media_type: str) -> Mapping[str, str]:
    return {"Accept": f'multipart/related; type="{media_type}"; transfer-syntax=*'}


async def _deleted(service: Watched, study: str) -> Counted:
    """With what the service does after its answer, which is where the files go."""
    with service.counting() as counts:
        await service.ask("DELETE", study)
        await service.stores.deletion.settled()
    return counts[0]


async def _found(service: Watched, studies: int) -> dict[str, Counted]:
    if not studies:
        return {}
    await load(service.stores, range(studies), lambda _: None)
    patient = made_study(_MADE_STUDY).patient_id
    asked = (
        f"{_ROOT}/studies?limit=100",
        f"{_ROOT}/series?limit=100",
        f"{_ROOT}/studies?PatientID={patient}&limit=100",
    )
    for url in asked:  # by a worker that has asked before
        await service.ask("GET", url)
    return {name: await service.ask("GET", url) for name, url in zip(OVER_ALL, asked, strict=True)}


async def _workitems(service: Watched) -> dict[str, Counted]:
    uid, transaction = new_uid(), new_uid()
    await service.ask("POST", f"{_ROOT}/workitems?{new_uid()}", _body(workitem()), _JSON)
    state = {"00081195": {"vr": "UI", "Value": [transaction]}, "00741000": {"vr": "CS", "Value": ["IN PROGRESS"]}}
    made = await service.ask("POST", f"{_ROOT}/workitems?{uid}", _body(workitem()), _JSON)
    changed = await service.ask("PUT", f"{_ROOT}/workitems/{uid}/state", _body(state), _JSON)
    return {
        "make a workitem": made,
        "change the state of a workitem": changed,
        "retrieve a workitem": await service.ask("GET", f"{_ROOT}/workitems/{uid}"),
    }


def _body(dataset: Mapping[str, Any]) -> bytes:
    return json.dumps([dataset]).encode()


# PS3.4 Table CC.2.5-3: what a new workitem must have, with or without a value.
_EMPTY = {
    "LO": ("00100021", "00380010"),
    "LT": ("00400400",),
    "SQ": ("00081084", "00100024", "00101002", "00380014", "00404021", "0040A370", "00741002", "00741210", "00741216"),
    "UI": ("00081195",),
}
_GIVEN = {
    "00080081": ("ST", "1 Road"),
    "00081080": ("LO", "None"),
    "00100020": ("LO", "BENCH-1"),
    "00100030": ("DA", "19700101"),
    "00100040": ("CS", "O"),
    "00404005": ("DT", "20261122083000"),
    "00404041": ("CS", "READY"),
    "00741000": ("CS", "SCHEDULED"),
    "00741200": ("CS", "MEDIUM"),
    "00741204": ("LO", "Read images"),
}
_CODED = ("00404018", "00404025", "00404026", "00404027")


def workitem() -> dict[str, Any]:
    """A data set that can be made a workitem."""
    code = {
        "00080100": {"vr": "SH", "Value": ["READ"]},
        "00080102": {"vr": "SH", "Value": ["99COSTS"]},
        "00080104": {"vr": "LO", "Value": ["Read images"]},
    }
    return {
        **{tag: {"vr": vr} for vr, tags in _EMPTY.items() for tag in tags},
        **{tag: {"vr": vr, "Value": [text]} for tag, (vr, text) in _GIVEN.items()},
        **{tag: {"vr": "SQ", "Value": [code]} for tag in _CODED},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Bench^Mark"}]},
    }


async def _timers(service: Watched) -> dict[str, Timer]:
    """The second run of each: the first one tidies up behind what was just stored."""
    stores = service.stores
    works: Mapping[str, tuple[int, Callable[[], Awaitable[object]]]] = {
        "sweep": (5, stores.sweep.run),
        "look at operations": (1, lambda: jobs.wake(stores)),
        "look at dropped files": (1, lambda: importing.poll(stores)),
    }
    timers = {}
    for name, (minutes, work) in works.items():
        await work()
        with service.counting() as counts:
            await work()
        timers[name] = Timer(_MONTH_MINUTES // minutes, counts[0])
    return timers


async def _row_bytes(service: Watched, settings: Settings) -> int:
    """By storing one series more: what 20 instances of a scanner add to the tables, an instance."""
    before = await _table_bytes(settings)
    await service.ask("POST", f"{_ROOT}/studies", _scanned(), _PARTS)
    return (await _table_bytes(settings) - before) // IN_A_REQUEST


def _scanned() -> bytes:
    """A series of a real CT, with as many attributes as scanners write; its file comes with pydicom."""
    path = get_testdata_file("CT_small.dcm")
    assert isinstance(path, str), "it is part of pydicom"
    dataset = pydicom.dcmread(path)
    files = []
    for place in range(IN_A_REQUEST):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(new_uid())
        file = BytesIO()
        pydicom.dcmwrite(file, dataset)
        files += [part_head(BOUNDARY, "application/dicom", place == 0), file.getvalue()]
    return b"".join([*files, closing(BOUNDARY)])


async def _table_bytes(settings: Settings) -> int:
    client = StorageClient(account_of(settings))
    try:
        with TemporaryDirectory() as folder:
            file = Path(folder) / "tables.gz"
            await backup.save(client, file)
            with gzip.open(file, "rt", encoding="utf-8") as lines:
                return sum(_entity_bytes(json.loads(line)) for line in lines)
    except backup.BackupError as error:
        raise CostError(str(error)) from error
    finally:
        await client.close()


def _entity_bytes(line: Any) -> int:
    """How large a row is to the table service, which counts characters and names twice; 0 for what is no row."""
    match line:
        case [str(), {"PartitionKey": str(partition), "RowKey": str(row)} as entity]:
            values = {name: value for name, value in entity.items() if "@" not in name and name not in _KEYS}
            kinds = {name: str(entity.get(f"{name}@odata.type", "")) for name in values}
            return (
                4
                + 2 * len(partition + row)
                + sum(8 + 2 * len(name) + _value_bytes(value, kinds[name]) for name, value in values.items())
            )
    return 0


def _value_bytes(value: Any, kind: str) -> int:
    if kind == "Edm.Binary":
        return 4 + len(b64decode(value))
    if kind or isinstance(value, float):  # numbers of 64 bits and times
        return 8
    if isinstance(value, bool):
        return 1
    return 4 if isinstance(value, int) else 4 + 2 * len(value)
