"""How long the DICOM JSON of a file takes: the service's own writer beside pydicom's."""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from shared.dev.bench.report import BenchError, Figures, Progress, machine, middle, number, ratio
from shared.dicom.part10 import Part10Scanner, read_dataset
from shared.wire.dicomjson import dataset_to_json, dumps

SUMMARY = "processor time of DICOM JSON, beside pydicom"
HELP = """\
Makes the DICOM JSON metadata of files that ship with pydicom and pydicom-data (pixel data and other bulk left out),
in interleaved rounds of one run.

  json ms   a data set that has just been read, its values still raw, to the JSON model: ours is dataset_to_json, the
            other Dataset.to_json_dict
  file ms   the bytes of a file to JSON text: ours scans, reads, converts and writes with orjson; the other is
            pydicom.dcmread, to_json_dict and json.dumps
  ratio     ours as a part of pydicom's: below 1 is faster
"""

_FILES = (
    ("CT_small.dcm", "CT image"),
    ("reportsi.dcm", "structured report"),
    ("eCT_Supplemental.dcm", "enhanced multi-frame CT"),
)

Work = Callable[[], object]


@dataclass(frozen=True, slots=True)
class _Subject:
    """A file, and how its data set is read and turned to JSON in two ways."""

    name: str
    content: bytes

    def read(self) -> Dataset:
        scanner = Part10Scanner()
        scanner.feed(self.content)
        return read_dataset(scanner.finish())

    def pydicom_read(self) -> Dataset:
        return pydicom.dcmread(BytesIO(self.content), stop_before_pixels=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this benchmark."""
    parser.add_argument("--rounds", type=int, default=9, help="rounds, each with both (default: 9)")
    parser.add_argument("--calls", type=int, default=40, help="conversions in a round (default: 40)")


def run(options: argparse.Namespace, progress: Progress) -> int:
    """Measure and print."""
    rows = []
    for file, what in _FILES:
        subject = _subject(file, what)
        progress.step(subject.name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns of values that break a rule, whoever asks it
            rows.append(_row(subject, options.rounds, options.calls))
    progress.done()
    columns = (
        "file",
        "elements",
        "ours json ms",
        "pydicom json ms",
        "ratio",
        "ours file ms",
        "pydicom file ms",
        "ratio",
    )
    title = f"DICOM JSON ({machine()}; {options.rounds} rounds of {options.calls})"
    print(Figures(title, columns, tuple(rows)).text())
    return 0


def _subject(file: str, what: str) -> _Subject:
    path = get_testdata_file(file, download=False)
    if not isinstance(path, str):
        raise BenchError(f"{file} is not here; install requirements-dev.txt")
    return _Subject(f"{file}, {what}", Path(path).read_bytes())


def _row(subject: _Subject, rounds: int, calls: int) -> tuple[str, ...]:
    ours, theirs, ours_file, theirs_file = ([] for _ in range(4))
    for _ in range(rounds):
        # Reading is outside of the clock, and anew for every call: pydicom keeps what it has once converted.
        ours.append(_ms_after(subject.read, dataset_to_json, calls))
        theirs.append(_ms_after(subject.pydicom_read, _pydicom_json, calls))
        ours_file.append(_ms(lambda: dumps(dataset_to_json(subject.read())), calls))
        theirs_file.append(_ms(lambda: json.dumps(_pydicom_json(subject.pydicom_read())), calls))
    json_ms, their_ms = middle(ours), middle(theirs)
    file_ms, their_file_ms = middle(ours_file), middle(theirs_file)
    return (
        subject.name,
        str(_count(subject.read())),
        number(json_ms),
        number(their_ms),
        ratio(json_ms, their_ms),
        number(file_ms),
        number(their_file_ms),
        ratio(file_ms, their_file_ms),
    )


def _pydicom_json(dataset: Dataset) -> object:
    return dataset.to_json_dict(
        bulk_data_threshold=1, bulk_data_element_handler=lambda _: "", suppress_invalid_tags=True
    )


def _ms_after(make: Callable[[], Dataset], work: Callable[[Dataset], object], calls: int) -> float:
    datasets = [make() for _ in range(calls)]
    start = time.perf_counter()
    for dataset in datasets:
        work(dataset)
    return (time.perf_counter() - start) * 1000 / calls


def _ms(work: Work, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        work()
    return (time.perf_counter() - start) * 1000 / calls


def _count(dataset: Dataset) -> int:
    """Elements, those in sequences included."""
    return sum(1 for _ in dataset.iterall())
