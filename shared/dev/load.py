"""Fill a store with tiny studies, `python -m shared.dev.load COUNT`: study number n is the same in every store.

Every file goes through what a store request does with it. Without `--files` the bytes themselves are left out: such a
store can be searched, which is what large ones are loaded for, and nothing can be retrieved from it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from io import BytesIO

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from shared.behaviours import InvalidOtherValue, InvalidSearchableValue, NulPadding, PatientIdRule
from shared.dicom.part10 import Part10Scanner
from shared.dicom.validation import ValidationRules
from shared.errors import StoreUnavailable
from shared.settings import Settings, SettingsError
from shared.storage.index import Snapshot
from shared.storage.partitions import DataPartition
from shared.storage.stores import Stores, open_stores
from shared.stow.digest import digest, new_instance
from shared.stow.store import StoreRequest

DEFAULT = DataPartition(0, "Microsoft.Default")
RARE_NAME, COMMON_NAME = "Quillfeather", "Smith"

RULES = ValidationRules(
    PatientIdRule.MUST_BE_PRESENT, InvalidSearchableValue.WARN, InvalidOtherValue.WARN, NulPadding.TRIMMED
)
_FAMILIES = ("Garcia", "Johansson", "Kowalski", "M\u00fcller", "Nguyen", "Okafor", "Rossi", "Tanaka", "Yilmaz", "Zhang")
_GIVEN = ("Alex", "Bela", "Chris", "Dana", "Eli", "Finn", "Gale", "Hana", "Iris", "Jona", "Kim", "Lou", "Mika", "Nour")
_MODALITIES = ("CT",) * 40 + ("MR",) * 25 + ("CR",) * 20 + ("US",) * 14 + ("XA",)
_FIRST_DAY = date(2010, 1, 1)
_STUDIES_A_DAY = 10
_STUDIES_A_PATIENT = 3
_NAME_CHARACTERS = 32
_AT_ONCE = 32
_A_REQUEST = 20

Report = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class MadeStudy:
    """What is in study number n; values are as they are written into the file."""

    study_uid: str
    series_uid: str
    sop_instance_uid: str
    patient_name: str
    patient_id: str
    accession: str
    day: str
    modality: str


# As long as any value that takes their place, so that a file is made by replacing them.
_BLANK = MadeStudy(
    study_uid="2.25.1" + "7" * 30,
    series_uid="2.25.2" + "7" * 30,
    sop_instance_uid="2.25.3" + "7" * 30,
    patient_name="n" * _NAME_CHARACTERS,
    patient_id="PPPPPPPP",
    accession="AAAAAAAAAA",
    day="19990909",
    modality="QQ",
)


def made_study(number: int) -> MadeStudy:
    """Study number n: a day after ten others, a patient after three, a name and a modality by chance."""
    chance = random.Random(number)  # noqa: S311 - the same for the same number, not hard to guess
    family = chance.choice(_FAMILIES)
    if number % 20 == 0:
        family = COMMON_NAME
    if number % 997 == 500:
        family = RARE_NAME
    return MadeStudy(
        study_uid=f"2.25.1{number:030d}",
        series_uid=f"2.25.2{number:030d}",
        sop_instance_uid=f"2.25.3{number:030d}",
        patient_name=f"{family}^{chance.choice(_GIVEN)}",
        patient_id=f"P{number // _STUDIES_A_PATIENT:07d}",
        accession=f"A{number:09d}",
        day=f"{_FIRST_DAY + timedelta(days=number // _STUDIES_A_DAY):%Y%m%d}",
        modality=chance.choice(_MODALITIES),
    )


def file_of(study: MadeStudy) -> bytes:
    """Its only instance."""
    content = _template()
    name = study.patient_name.encode()
    for blank, value in (
        (_BLANK.study_uid, study.study_uid.encode()),
        (_BLANK.series_uid, study.series_uid.encode()),
        (_BLANK.sop_instance_uid, study.sop_instance_uid.encode()),
        (_BLANK.patient_name, name.ljust(_NAME_CHARACTERS)),
        (_BLANK.patient_id, study.patient_id.encode()),
        (_BLANK.accession, study.accession.encode()),
        (_BLANK.day, study.day.encode()),
        (_BLANK.modality, study.modality.encode()),
    ):
        content = content.replace(blank.encode(), value)
    return content


@cache
def _template() -> bytes:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.SOPInstanceUID = _BLANK.sop_instance_uid
    dataset.StudyInstanceUID = _BLANK.study_uid
    dataset.SeriesInstanceUID = _BLANK.series_uid
    dataset.PatientName = _BLANK.patient_name
    dataset.PatientID = _BLANK.patient_id
    dataset.AccessionNumber = _BLANK.accession
    dataset.StudyDate = _BLANK.day
    dataset.Modality = _BLANK.modality
    dataset.PatientBirthDate = "19700101"
    dataset.ReferringPhysicianName = "Referring^Doctor"
    dataset.StudyDescription = "Made for a load"
    dataset.InstanceNumber = 1
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    file = BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


async def load(stores: Stores, numbers: range, report: Report, *, files: bool = False) -> None:
    """Store the studies of some numbers; those that are there stay as they are.

    Args:
        stores: where to.
        numbers: of studies.
        report: called now and then with how many are stored.
        files: whether to store their bytes as well.
    """
    for first in range(0, len(numbers), _AT_ONCE * _A_REQUEST):
        part = numbers[first : first + _AT_ONCE * _A_REQUEST]
        if files:
            await asyncio.gather(
                *(_request(stores, part[start : start + _A_REQUEST]) for start in range(0, len(part), _A_REQUEST))
            )
        else:
            await asyncio.gather(*(_rows(stores, part[start::_AT_ONCE]) for start in range(min(_AT_ONCE, len(part)))))
        report(first + len(part))


async def _request(stores: Stores, numbers: Sequence[int]) -> None:
    async with stores.uploads.request(DEFAULT.number) as uploads:
        request = StoreRequest(stores, uploads, DEFAULT, RULES, None)
        try:
            for number in numbers:
                await request.take(_chunks(file_of(made_study(number))))
            await request.finish()
        finally:
            await request.close()


async def _rows(stores: Stores, numbers: Sequence[int]) -> None:
    async with stores.writer.request() as epoch:
        await stores.index.ready(DEFAULT)
        for number in numbers:
            scanner = Part10Scanner()
            scanner.feed(file_of(made_study(number)))
            scanned = scanner.finish()
            digested = digest(scanned, RULES, None)
            instance = new_instance(scanned, digested, stores.writer.blob_name(DEFAULT.number, epoch))
            await stores.index.commit(DEFAULT, [instance], Snapshot(None, {}))


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    yield content


def main(arguments: Sequence[str] | None = None) -> int:
    """Load as the command line says; 0, or 1 when storage cannot be reached."""
    parser = argparse.ArgumentParser(prog="python -m shared.dev.load", description="Fill a store with tiny studies.")
    parser.add_argument("count", type=int, help="how many studies")
    parser.add_argument("--first", type=int, default=0, help="number of the first one (default: 0)")
    parser.add_argument(
        "--files", action="store_true", help="store the files too, and not only what search knows of them"
    )
    parser.add_argument("--connection", default="UseDevelopmentStorage=true", help="connection string of the account")
    options = parser.parse_args(arguments)
    try:
        asyncio.run(_main(options))
    except (SettingsError, StoreUnavailable) as error:
        print(f"load: {error}", file=sys.stderr)
        return 1
    return 0


async def _main(options: argparse.Namespace) -> None:
    stores = open_stores(Settings(storage_connection=options.connection))
    began = time.monotonic()

    def report(done: int) -> None:
        a_second = done / (time.monotonic() - began)
        print(
            f"\r{done:,} of {options.count:,} studies, {a_second:,.0f} a second ", end="", file=sys.stderr, flush=True
        )

    try:
        numbers = range(options.first, options.first + options.count)
        await load(stores, numbers, report, files=options.files)
    finally:
        await stores.close()
        print(file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
