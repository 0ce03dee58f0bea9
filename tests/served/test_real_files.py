"""Every readable file that pydicom and pydicom-data ship goes through each version and comes back as it went.

The expected outcome of each file is worked out by `tests/support/expectations.py`, without the service. Files that name
the same instance go into data partitions of their own, so that each is really stored.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
import requests
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from tests.support import versions
from tests.support.clients import DICOM_JSON, VERSIONS, FileClient, comments, failed_items, stored_items
from tests.support.expectations import Expected, expected_outcome, status_of
from tests.support.files import file_id, readable_files
from tests.support.served import Service, started
from tests.support.storage import fresh_account
from tests.support.versions import behaves
from tests.wire.test_dicomjson import agree, reference

pytestmark = [
    pytest.mark.served,
    pytest.mark.azurite,
    # pydicom complains about the files, which are odd on purpose.
    pytest.mark.filterwarnings("ignore"),
]

UNCOMPRESSED = frozenset(
    {ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian}
)
AT_ONCE = 4
BATCH_BYTES = 8_000_000
EXPLICIT = f"application/dicom; transfer-syntax={ExplicitVRLittleEndian}"


@dataclass(frozen=True, slots=True)
class Sent:
    """A file that was sent.

    Attributes:
        partition: the data partition it went to.
        names: study, series and instance UID, empty where the file has none.
        expected: what has to become of it.
        item: its item of the report.
        stored: whether that item says so.
    """

    path: Path
    partition: str
    names: tuple[str, str, str]
    expected: Expected
    item: dict[str, Any]
    stored: bool

    @property
    def study(self) -> str:
        return f"/studies/{self.names[0]}"

    @property
    def instance(self) -> str:
        return f"{self.study}/series/{self.names[1]}/instances/{self.names[2]}"


@dataclass(frozen=True, slots=True)
class Batch:
    """One request: its files with their names, and the partition it goes to."""

    partition: str
    files: list[tuple[Path, tuple[str, str, str]]]


@dataclass(frozen=True, slots=True)
class Answered:
    """A batch's status beside the one it has to have."""

    status: int
    expected: int
    warning: str | None
    several: frozenset[str]


@dataclass(frozen=True, slots=True)
class Stored:
    """All files in one version."""

    version: str
    host: Service
    sent: list[Sent]
    answers: list[Answered]
    http: httpx.Client

    def get(self, entry: Sent, path: str, accept: str) -> httpx.Response:
        url = f"/{self.version}/partitions/{entry.partition}{path}"
        return self.http.get(url, headers={"Accept": accept})

    def client(self, partition: str) -> FileClient:
        return file_client(self.host, self.version, partition)

    def kept(self) -> list[Sent]:
        return [one for one in self.sent if one.stored]


def file_client(host: Service, version: str, partition: str) -> FileClient:
    session = requests.Session()
    session.trust_env = False
    return FileClient(f"{host.url}/{version}/partitions/{partition}", session=session)


def names_of(path: Path) -> tuple[str, str, str]:
    dataset = pydicom.dcmread(path, stop_before_pixels=True, defer_size=4096)
    study, series, instance = (
        str(dataset.get(keyword) or "") for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    )
    return study, series, instance


def batches(version: str) -> Iterator[Batch]:
    """The files in requests of some megabytes, the same instance never twice in a partition."""
    seen: Counter[tuple[str, str, str]] = Counter()
    open_batches: dict[str, Batch] = {}
    sizes: Counter[str] = Counter()
    for path in readable_files():
        names = names_of(path)
        partition = f"{version}-{seen[names]}"
        seen[names] += all(names)
        batch = open_batches.setdefault(partition, Batch(partition, []))
        batch.files.append((path, names))
        sizes[partition] += path.stat().st_size
        if sizes[partition] > BATCH_BYTES:
            yield open_batches.pop(partition)
            sizes[partition] = 0
    yield from open_batches.values()


def sent(host: Service, version: str, batch: Batch) -> tuple[list[Sent], Answered]:
    """Store a batch and lay its report beside what is expected; both keep the order of arrival."""
    answers: list[requests.Response] = []
    client = file_client(host, version, batch.partition)
    client._session.hooks["response"].append(lambda response, **_: answers.append(response))
    lenient = behaves(version, invalid_searchable_value="warn")
    expected = [expected_outcome(path, lenient=lenient) for path, _ in batch.files]
    # The client raises for 409, which is an answer as good as any.
    with contextlib.suppress(requests.HTTPError):
        client.store_files([path.read_bytes() for path, _ in batch.files])
    (answer,) = answers
    report = answer.json()
    failed, kept = iter(failed_items(report)), iter(stored_items(report))
    entries = []
    for (path, names), outcome in zip(batch.files, expected, strict=True):
        item = next(kept if outcome.failure is None else failed)
        entries.append(Sent(path, batch.partition, names, outcome, item, outcome.failure is None))
    assert not [*failed, *kept]
    several = frozenset(keyword for outcome in expected if outcome.failure is None for keyword in outcome.several)
    status = status_of(expected, lenient=lenient)
    return entries, Answered(answer.status_code, status, answer.headers.get("Warning"), several)


@pytest.fixture(scope="module")
def host(azurite: Any) -> Iterator[Service]:
    """A host of its own over an empty account, with data partitions on."""
    account = fresh_account(azurite.connection_string)
    with started({"DICOM_STORAGE": account, "DICOM_DATA_PARTITIONS": "on"}) as running:
        yield running


def likewise(label: str) -> bool:
    """Whether a later version stores as this one does."""
    later = VERSIONS[VERSIONS.index(label) + 1 :]
    return any(versions.of(other).behaviours == versions.of(label).behaviours for other in later)


# Versions that store as a later one does are left to the slow run.
PARAMS = [pytest.param(label, marks=[pytest.mark.slow] * likewise(label)) for label in VERSIONS]


@pytest.fixture(scope="module", params=PARAMS)
def stored(request: pytest.FixtureRequest, host: Service) -> Iterator[Stored]:
    """All files, sent to one version."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with ThreadPoolExecutor(AT_ONCE) as pool:
            results = list(pool.map(lambda batch: sent(host, request.param, batch), batches(request.param)))
    entries = [entry for batch, _ in results for entry in batch]
    assert len(entries) == len(readable_files()) > 200
    with httpx.Client(base_url=host.url, timeout=30, trust_env=False) as http:
        yield Stored(request.param, host, entries, [answer for _, answer in results], http)


def holds(entries: list[Sent], check: Callable[[Sent], None]) -> None:
    """Fail with every file for which a check fails and what was wrong; several files are looked at at once."""

    def one(entry: Sent) -> str | None:
        try:
            check(entry)
        except Exception as error:
            return f"{file_id(entry.path)}: {type(error).__name__}: {str(error)[:200]}"
        return None

    with ThreadPoolExecutor(AT_ONCE) as pool:
        faults = [fault for fault in pool.map(one, entries) if fault]
    assert not faults, "\n".join([f"{len(faults)} of {len(entries)}:", *faults])


def test_every_file_is_stored_or_refused_as_the_contract_says(stored: Stored) -> None:
    def check(entry: Sent) -> None:
        item, expected = entry.item, entry.expected
        assert item.get("00081197", {}).get("Value", [None]) == [expected.failure]
        assert item.get("00081196", {}).get("Value", [None]) == [expected.warning]
        if entry.names[2] and (expected.named or expected.failure is None):
            assert item["00081155"]["Value"] == [entry.names[2]]

    holds(stored.sent, check)
    assert all(answer.status == answer.expected for answer in stored.answers), stored.answers


def test_the_report_names_the_attributes_that_break_a_rule(stored: Stored) -> None:
    def check(entry: Sent) -> None:
        texts = comments(entry.item)
        named = [re.fullmatch(r"DICOM100: \(([0-9a-f]{4}),([0-9a-f]{4})\) - .+", text) for text in texts]
        assert {int(match[1] + match[2], 16) for match in named if match} == entry.expected.named
        assert len(texts) == len(entry.expected.named)
        if entry.stored:
            assert ("00741048" in entry.item) == behaves(stored.version, stored_item_attributes="always")

    holds(stored.sent, check)


def test_a_warning_header_names_searchable_attributes_with_several_values(stored: Stored) -> None:
    for answer in stored.answers:
        one_only = behaves(stored.version, multiple_value_notice="patient_id_only")
        named = answer.several & {"PatientID"} if one_only else answer.several
        assert (answer.warning is not None) == bool(named)
        assert all(keyword in (answer.warning or "") for keyword in named)


def test_enough_files_are_kept_to_mean_something(stored: Stored) -> None:
    kept = stored.kept()
    assert len(kept) > (200 if behaves(stored.version, invalid_searchable_value="warn") else 180)
    assert len({pydicom.dcmread(one.path, defer_size=64).file_meta.get("TransferSyntaxUID") for one in kept}) >= 10


def test_every_stored_file_comes_back_byte_for_byte(stored: Stored) -> None:
    by_study: dict[tuple[str, str], list[Sent]] = defaultdict(list)
    for entry in stored.kept():
        by_study[entry.partition, entry.study].append(entry)

    def check(first: Sent) -> None:
        parts = stored.client(first.partition).files(first.study)
        files = [entry.path.read_bytes() for entry in by_study[first.partition, first.study]]
        assert sorted(map(hash, parts)) == sorted(map(hash, files)), f"{len(parts)} parts for {len(files)} files"

    holds([entries[0] for entries in by_study.values()], check)


def test_every_stored_file_is_the_same_data_set_to_the_python_client(stored: Stored) -> None:
    def check(entry: Sent) -> None:
        got = stored.client(entry.partition).retrieve_instance(*entry.names)
        assert same(got, pydicom.dcmread(entry.path))

    holds(stored.kept(), check)


def same(one: Dataset, other: Dataset) -> bool:
    """Whether two data sets hold the same, file meta information included."""
    # Values that cannot be read equal nothing, not even themselves; as raw elements they do.
    return one.file_meta == other.file_meta and all(
        one.get_item(tag) == other.get_item(tag) for tag in {*one.keys(), *other.keys()}
    )


def test_metadata_of_every_stored_file_agrees_with_pydicom(stored: Stored) -> None:
    def check(entry: Sent) -> None:
        client = stored.client(entry.partition)
        got = client.retrieve_instance_metadata(*entry.names)
        wanted = reference(pydicom.dcmread(entry.path))
        for tag in entry.expected.dropped:
            wanted.pop(f"{tag:08X}", None)
        agree(got, wanted, entry.path.name)

    holds(stored.kept(), check)


@pytest.mark.slow
def test_every_uncompressed_file_is_given_in_explicit_vr_little_endian(stored: Stored) -> None:
    pixels: list[str] = []

    def check(entry: Sent) -> None:
        source = pydicom.dcmread(entry.path)
        if source.file_meta.get("TransferSyntaxUID", ImplicitVRLittleEndian) not in UNCOMPRESSED:
            return
        answer = stored.get(entry, entry.instance, EXPLICIT)
        assert (answer.status_code, answer.headers["content-type"]) == (200, EXPLICIT)
        got = pydicom.dcmread(BytesIO(answer.content))
        assert got.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        wanted = frames(source)
        if wanted is None:
            # Group lengths are retired, and leave with the old encoding.
            assert [tag for tag in got.keys() if tag.element] == [tag for tag in source.keys() if tag.element]  # noqa: SIM118  iterating a data set itself converts every element
            return
        array = frames(got)
        assert array is not None
        assert array.dtype == wanted.dtype.newbyteorder("=")
        assert np.array_equal(array, wanted)
        pixels.append(entry.path.name)

    holds(stored.kept(), check)
    assert len(pixels) > 40


def frames(dataset: Dataset) -> Any:
    """The pixels, None where there are none or pydicom itself cannot read them."""
    try:
        return dataset.pixel_array
    except Exception:
        return None


def test_nothing_refused_is_there(stored: Stored) -> None:
    kept = {(entry.partition, entry.names) for entry in stored.kept()}
    refused = [
        entry
        for entry in stored.sent
        if not entry.stored and all(entry.names) and (entry.partition, entry.names) not in kept
    ]
    assert refused

    def check(entry: Sent) -> None:
        # Names that are no UIDs are no names of anything.
        wanted = 404 if all(re.fullmatch("[0-9.]{1,64}", name) for name in entry.names) else 400
        assert stored.get(entry, f"{entry.instance}/metadata", DICOM_JSON).status_code == wanted

    holds(refused, check)
