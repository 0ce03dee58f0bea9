"""Search through real HTTP on every version: what viewers and clients send, and what each version gives back."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from dicomweb_client import DICOMwebClient

from tests.support.clients import DICOM_JSON, VERSIONS, Made, made, new_uid, store
from tests.support.served import served
from tests.support.storage import fresh_account
from tests.support.versions import behaves, having, word

pytestmark = [pytest.mark.served, pytest.mark.azurite]

FULL_STUDY = ["00080005", "00080020", "00080030", "00080050", "00080090", "0020000D"]
FULL_STUDY += ["00100010", "00100020", "00100030"]
LEAN_STUDY = ["00080020", "00080050", "00080090", "00081030", "00100010", "00100020", "00100030", "0020000D"]
FULL_SERIES = ["00080005", "00080060", "0008103E", "0020000E"]
LEAN_SERIES = ["00080060", "00081090", "0020000E"]
FULL_INSTANCE = ["00080005", "00080016", "00080018", "00200013", "00280010", "00280011", "00280100"]
LEAN_INSTANCE = ["00080018"]
SETS = {
    "full": (FULL_STUDY, FULL_SERIES, FULL_INSTANCE),
    "lean": (LEAN_STUDY, LEAN_SERIES, LEAN_INSTANCE),
}
RETURN_SETS = {version: SETS[word(version, "search_return_set")] for version in VERSIONS}


@dataclass(frozen=True, slots=True)
class Archive:
    """A study of its own patient: two series of two instances, CT and MR, stored by one version."""

    study_uid: str
    patient_id: str
    instances: tuple[Made, ...]

    @property
    def series_uids(self) -> list[str]:
        return list(dict.fromkeys(instance.series_uid for instance in self.instances))


def study_files(**extra: Any) -> Archive:
    study_uid, patient_id = new_uid(), f"P{uuid.uuid4().hex[:12]}"
    instances = []
    for modality in ("CT", "MR"):
        series_uid = new_uid()
        for number in (1, 2):
            attributes = {
                "AccessionNumber": patient_id[:8],
                "InstanceNumber": number,
                "ManufacturerModelName": "Model One",
                "SeriesDescription": f"{modality} series",
                **extra,
            }
            name = attributes.pop("PatientName", f"Fam{patient_id}^J\u00f6rg")
            instances.append(
                made(
                    study_uid=study_uid,
                    series_uid=series_uid,
                    patient_id=patient_id,
                    patient_name=name,
                    modality=modality,
                    columns=2,
                    extra=attributes,
                )
            )
    return Archive(study_uid, patient_id, tuple(instances))


async def archived(client, version: str, **extra: Any) -> Archive:
    archive = study_files(**extra)
    answer = await store(client, f"/{version}", [one.content for one in archive.instances])
    assert answer.status_code == 200
    return archive


async def found(client, version: str, path: str, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get(f"/{version}{path}", params=query, headers={"Accept": DICOM_JSON})
    assert answer.status_code in (200, 204), answer.text
    if answer.status_code == 204:
        assert answer.content == b""
        return []
    assert answer.headers["content-type"] == DICOM_JSON
    items: list[dict[str, Any]] = answer.json()
    assert items, "an empty list is a 204"
    return items


def values(items: list[dict[str, Any]], tag: str) -> list[Any]:
    return [item[tag]["Value"][0] for item in items]


async def test_a_study_is_found_with_the_attributes_of_its_version(client, version):
    archive = await archived(client, version)
    (item,) = await found(client, version, "/studies", PatientID=archive.patient_id)
    assert sorted(item) == sorted(RETURN_SETS[version][0])
    assert values([item], "0020000D") == [archive.study_uid]
    assert item["00100010"]["Value"] == [{"Alphabetic": f"Fam{archive.patient_id}^J\u00f6rg"}]


async def test_series_and_instances_carry_the_sets_of_the_levels_above(client, version):
    archive = await archived(client, version)
    study, series, instance = RETURN_SETS[version]
    every_series = await found(client, version, "/series", PatientID=archive.patient_id)
    assert sorted(values(every_series, "0020000E")) == sorted(archive.series_uids)
    assert {tuple(sorted(item)) for item in every_series} == {tuple(sorted({*study, *series}))}
    every_instance = await found(client, version, "/instances", PatientID=archive.patient_id)
    assert len(every_instance) == 4
    # What comes with an instance is its own: nobody else's values, and nothing of other sets.
    assert {tuple(sorted(item)) for item in every_instance} == {tuple(sorted({*study, *series, *instance}))}
    of_study = await found(client, version, f"/studies/{archive.study_uid}/series")
    assert {tuple(sorted(item)) for item in of_study} == {tuple(sorted({*series, "0020000D"}))}
    of_study = await found(client, version, f"/studies/{archive.study_uid}/instances")
    assert {tuple(sorted(item)) for item in of_study} == {tuple(sorted({*series, *instance, "0020000D"}))}
    path = f"/studies/{archive.study_uid}/series/{archive.series_uids[0]}/instances"
    of_series = await found(client, version, path)
    assert {tuple(sorted(item)) for item in of_series} == {tuple(sorted({*instance, "0020000D", "0020000E"}))}
    expected = {one.sop_instance_uid for one in archive.instances if one.series_uid == archive.series_uids[0]}
    assert set(values(of_series, "00080018")) == expected


@pytest.mark.parametrize(
    "query",
    [
        {"PatientID": "{id}"},
        {"00100020": "{id}"},
        {"PatientID": "{ID} "},
        {"PatientName": "fam{id}^jorg"},
        {"PatientName": "j\u00f6r", "fuzzymatching": "true", "PatientID": "{id}"},
        {"PatientName": "fam{id} jo", "fuzzymatching": "TRUE"},
        {"PatientName": "*fam{id}*", "fuzzymatching": "true"},
        {"AccessionNumber": "{acc}", "StudyDate": "20240229"},
        {"PatientID": "{id}", "StudyDate": "20240101-20241231"},
        {"PatientID": "{id}", "StudyDate": "20240229-"},
        {"PatientID": "{id}", "StudyDate": "-20240229"},
        {"PatientID": "{id}", "PatientBirthDate": "19700101"},
        {"PatientID": "{id}", "ReferringPhysicianName": "REFERRING^doctor"},
        {"PatientID": "{id}", "StudyDescription": "synthetic STUDY"},
        {"PatientID": "{id}", "ModalitiesInStudy": "CT"},
        {"PatientID": "{id}", "ModalitiesInStudy": "XA,mr"},
        {"StudyInstanceUID": "{uid}"},
        {"StudyInstanceUID": "1.2.3\\{uid}"},
        {"0020000d": "1.2.3,{uid}", "ModalitiesInStudy": "MR"},
    ],
)
async def test_every_way_to_ask_for_a_study_finds_it(client, version, query):
    archive = await archived(client, version)
    words = {"id": archive.patient_id, "ID": archive.patient_id.upper(), "acc": archive.patient_id[:8]}
    asked = {name: text.format(uid=archive.study_uid, **words) for name, text in query.items()}
    assert values(await found(client, version, "/studies", **asked), "0020000D") == [archive.study_uid]


@pytest.mark.parametrize(
    "query",
    [
        {"PatientID": "{id}x"},
        {"PatientID": "{id}*"},
        {"PatientName": "Fam{id}"},
        {"PatientName": "am{id}", "fuzzymatching": "true"},
        {"PatientName": "jorg fam{id}", "fuzzymatching": "true"},
        {"PatientID": "{id}", "StudyDate": "20240301-"},
        {"PatientID": "{id}", "ModalitiesInStudy": "C"},
        {"PatientID": "{id}", "StudyInstanceUID": "1.2.3"},
        {"PatientID": "{id}", "offset": "1"},
        {"PatientID": "x" * 3000},
    ],
)
async def test_what_does_not_match_is_a_204(client, version, query):
    archive = await archived(client, version)
    assert (
        await found(client, version, "/studies", **{k: v.format(id=archive.patient_id) for k, v in query.items()}) == []
    )


@pytest.mark.parametrize(
    ("path", "query", "name"),
    [
        ("/studies", "limit=0", "Limit"),
        ("/studies", "limit=201", "Limit"),
        ("/studies", "offset=-1", "Offset"),
        ("/studies", "fuzzymatching=yes", "FuzzyMatching"),
        ("/studies", "includefield=Nothing", "IncludeField"),
        ("/studies", "patientId=1", "patientId"),
        ("/studies", "Nothing=1", "Nothing"),
        ("/studies", "Modality=CT", "Modality"),
        ("/studies", "StudyDate=2024", "StudyDate"),
        ("/studies", "PatientID=", "PatientID"),
        ("/studies", "PatientID=a&00100020=b", "00100020"),
        ("/studies", "0040A370.00080050=1", "0040A370.00080050"),
        ("/studies", "StudyInstanceUID=abc", "StudyInstanceUID"),
        ("/studies", "PatientID=%01", "PatientID"),
        ("/series", "SOPInstanceUID=1", "SOPInstanceUID"),
        ("/studies/1.2/series", "StudyInstanceUID=1.2", "StudyInstanceUID"),
        ("/studies/1.2/series/1.3/instances", "SeriesInstanceUID=1.3", "SeriesInstanceUID"),
        ("/studies/1.2/instances", "PatientName=a", "PatientName"),
        ("/studies/abc/series", "", "studyInstanceUid"),
    ],
)
async def test_what_is_wrong_is_a_400_that_names_it(client, version, path, query, name):
    answer = await client.get(f"/{version}{path}?{query}", headers={"Accept": DICOM_JSON})
    assert answer.status_code == 400
    assert answer.text.startswith(f"{name}: ")
    assert answer.headers["api-supported-versions"]


async def test_another_representation_is_a_406(client, version):
    answer = await client.get(f"/{version}/studies", headers={"Accept": "application/dicom+xml"})
    assert answer.status_code == 406


async def test_nothing_is_a_204_with_version_headers(client, version):
    answer = await client.get(f"/{version}/studies/{new_uid()}/series", headers={"Accept": DICOM_JSON})
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["api-supported-versions"]


async def test_the_versions_answer_one_query_with_their_own_sets(client):
    archive = await archived(client, "v1")
    items = {
        version: (await found(client, version, "/studies", PatientID=archive.patient_id))[0] for version in VERSIONS
    }
    for label, item in items.items():
        alike = having(search_return_set=word(label, "search_return_set"))
        assert [items[other] for other in alike] == [item] * len(alike)
    assert {version: sorted(item) for version, item in items.items()} == {
        version: sorted(sets[0]) for version, sets in RETURN_SETS.items()
    }


async def test_all_is_the_same_long_list_in_every_version(client):
    archive = await archived(client, "v2")
    items = [
        (await found(client, one, "/studies", PatientID=archive.patient_id, includefield="all"))[0] for one in VERSIONS
    ]
    assert items == items[:1] * len(VERSIONS)
    assert sorted(items[0]) == sorted({*FULL_STUDY, "00081030"})


async def test_fields_are_added_where_they_are_kept_and_ignored_elsewhere(client, version):
    archive = await archived(client, version)
    query = {"PatientID": archive.patient_id, "includefield": ["StudyTime,00081030", "Modality", "00091001"]}
    (item,) = await found(client, version, "/studies", **query)
    assert sorted(item) == sorted({*RETURN_SETS[version][0], "00080030", "00081030"})
    path = f"/studies/{archive.study_uid}/instances"
    item, *_ = await found(client, version, path, includefield="BitsStored,PatientID", limit=1)
    assert item["00280101"]["Value"]
    assert item["00100020"]["Value"] == [archive.patient_id]


async def test_counts_and_modalities_come_when_they_are_named(client, version):
    archive = await archived(client, version)
    fields = "ModalitiesInStudy,NumberOfStudyRelatedInstances,NumberOfSeriesRelatedInstances,NumberOfStudyRelatedSeries"
    (item,) = await found(client, version, "/studies", StudyInstanceUID=archive.study_uid, includefield=fields)
    assert item["00080061"] == {"vr": "CS", "Value": ["CT", "MR"]}
    assert item["00201208"] == {"vr": "IS", "Value": [4]}
    assert "00201206" not in item
    of_study = await found(client, version, f"/studies/{archive.study_uid}/series", includefield=fields)
    assert [series["00201209"]["Value"] for series in of_study] == [[2], [2]]
    every = await found(client, version, "/instances", PatientID=archive.patient_id, includefield=fields)
    assert [(one["00201208"]["Value"], one["00201209"]["Value"]) for one in every] == [([4], [2])] * 4
    assert all(one["00080061"]["Value"] == ["CT", "MR"] for one in every)


async def test_a_study_without_modalities_has_no_empty_attribute(client, version):
    """Viewers show no list at all when one study has it with a value representation and no value."""
    archive = await archived(client, version, Modality=None)
    query = {"StudyInstanceUID": archive.study_uid, "includefield": "ModalitiesInStudy"}
    (item,) = await found(client, version, "/studies", **query)
    assert "00080061" not in item


async def test_filters_of_every_level_narrow_series_and_instances(client, version):
    archive = await archived(client, version)
    first, second = archive.series_uids
    query = {"PatientID": archive.patient_id, "Modality": "mr"}
    assert values(await found(client, version, "/series", **query), "0020000E") == [second]
    assert values(await found(client, version, "/series", SeriesInstanceUID=first), "0020000E") == [first]
    path = f"/studies/{archive.study_uid}/series"
    assert values(await found(client, version, path, SeriesInstanceUID=first), "0020000E") == [first]
    assert values(await found(client, version, path, ManufacturerModelName="MODEL one", Modality="CT"), "0020000E") == [
        first
    ]
    assert await found(client, version, path, Modality="XA") == []
    instances = await found(client, version, "/instances", **query)
    assert values(instances, "0020000E") == [second, second]
    one = archive.instances[3].sop_instance_uid
    for path, extra in (
        ("/instances", {}),
        ("/instances", {"Modality": "MR"}),
        ("/instances", {"PatientID": archive.patient_id, "StudyDate": "20240101-"}),
        ("/instances", {"StudyInstanceUID": archive.study_uid}),
        ("/instances", {"PatientID": archive.patient_id, "SeriesInstanceUID": second}),
        (f"/studies/{archive.study_uid}/instances", {"Modality": "MR"}),
        (f"/studies/{archive.study_uid}/series/{second}/instances", {}),
    ):
        assert values(await found(client, version, path, SOPInstanceUID=one, **extra), "00080018") == [one]
    assert await found(client, version, "/instances", SOPInstanceUID=one, Modality="CT") == []
    assert await found(client, version, "/instances", SOPInstanceUID=one, PatientID="nobody") == []
    assert (
        await found(client, version, f"/studies/{archive.study_uid}/series/{first}/instances", SOPInstanceUID=one) == []
    )


async def test_values_that_disagree_follow_the_latest(client, version):
    archive = await archived(client, version)
    later = made(
        study_uid=archive.study_uid, patient_id=f"{archive.patient_id}L", modality="XA", extra={"PatientBirthDate": ""}
    )
    assert (await store(client, f"/{version}", [later.content])).status_code in (200, 202)
    assert await found(client, version, "/studies", PatientID=archive.patient_id) == []
    (item,) = await found(client, version, "/studies", PatientID=f"{archive.patient_id}L", PatientBirthDate="19700101")
    # The index keeps what an empty value does not replace; the newest instance has none (contract C6.5).
    assert ("Value" in item["00100030"]) is behaves(version, search_return_set="lean")


async def test_the_newest_study_is_first_and_what_is_stored_is_found_at_once(client, version):
    for _ in range(3):
        archive = await archived(client, version)
        assert values(await found(client, version, "/studies", limit=1), "0020000D") == [archive.study_uid]


async def test_dropped_values_are_not_searchable_and_others_are(client):
    archive = await archived(client, "v1")
    patient = archive.patient_id
    bad = made(patient_id=patient).content.replace(b"20240229", b"2024XX29")
    assert (await store(client, "/v2", [bad])).status_code == 202
    dated = await found(client, "v2", "/studies", PatientID=patient, StudyDate="00010101-")
    assert values(dated, "0020000D") == [archive.study_uid]
    assert len(await found(client, "v2", "/studies", PatientID=patient)) == 2


async def test_padding_with_nul_does_not_hide_a_value(client):
    patient = f"N{uuid.uuid4().hex[:10]}"
    one = made(patient_id=f"{patient}Z", modality="SEGZ")
    padded = one.content.replace(f"{patient}Z".encode(), f"{patient}\0".encode()).replace(b"SEGZ", b"SEG\0")
    assert (await store(client, "/v2", [padded])).status_code in (200, 202)
    for query in ({"PatientID": patient}, {"PatientID": f"{patient}\0", "ModalitiesInStudy": "SEG"}):
        assert values(await found(client, "v2", "/studies", **query), "0020000D") == [one.study_uid]
    assert values(await found(client, "v2", "/series", PatientID=patient, Modality="seg"), "0020000E") == [
        one.series_uid
    ]


async def test_the_python_client_reads_pages_to_their_end(service, client, version):
    name = f"Q{uuid.uuid4().hex[:10]}"
    parts = [made(patient_name=f"{name}^{number}", columns=2).content for number in range(7)]
    assert (await store(client, f"/{version}", parts)).status_code == 200
    files = DICOMwebClient(f"{service.url}/{version}")
    arguments: dict[str, Any] = {"search_filters": {"PatientName": name}, "fuzzymatching": True, "limit": 3}
    studies = await asyncio.to_thread(files.search_for_studies, get_remaining=True, **arguments)
    assert len(studies) == 7
    assert len({item["0020000D"]["Value"][0] for item in studies}) == 7
    assert len(await asyncio.to_thread(files.search_for_studies, offset=6, **arguments)) == 1
    series = await asyncio.to_thread(files.search_for_series, get_remaining=True, **arguments)
    instances = await asyncio.to_thread(files.search_for_instances, get_remaining=True, **arguments)
    assert (len(series), len(instances)) == (7, 7)
    assert await asyncio.to_thread(files.search_for_studies, search_filters={"PatientID": name}) == []


async def test_the_python_client_searches_below_a_study(service, client, version):
    archive = await archived(client, version)
    files = DICOMwebClient(f"{service.url}/{version}")
    study, series = archive.study_uid, archive.series_uids[0]
    assert len(await asyncio.to_thread(files.search_for_series, study, fields=["SeriesDescription"])) == 2
    assert len(await asyncio.to_thread(files.search_for_instances, study, get_remaining=True, limit=3)) == 4
    assert len(await asyncio.to_thread(files.search_for_instances, study, series)) == 2


async def test_what_a_viewer_sends_for_its_lists_works(client, version):
    """The queries of OHIF 3 as they were seen on the wire, in order."""
    archive = await archived(client, version)
    fields = "includefield=00081030%2C00080060%2C00080090%2C00100030"
    lists = f"/{version}/studies?limit=101&offset=0&fuzzymatching=true&{fields}"
    headers = {"Accept": "application/dicom+json, multipart/related; type=application/octet-stream; transfer-syntax=*"}

    async def ask(path: str) -> list[dict[str, Any]]:
        answer = await client.get(path, headers=headers)
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()
        return items

    newest = (await ask(lists))[0]
    assert newest["0020000D"]["Value"] == [archive.study_uid]
    assert {"00080020", "00080050", "00080090", "00081030", "00100010", "00100020", "00100030"} <= set(newest)
    assert all(element.get("Value") for element in newest.values())
    assert await ask(f"{lists}&StudyInstanceUID={archive.study_uid}") == [newest]
    priors = await ask(f"{lists}&00100020={archive.patient_id}")
    assert priors == [newest]
    study = f"/{version}/studies/{archive.study_uid}"
    row = await ask(f"{study}/series?includefield=0008103E%2C00080021")
    assert {item["0008103E"]["Value"][0] for item in row} == {"CT series", "MR series"}
    await ask(f"{study}/series?includefield=00080021%2C00080031%2C0008103E%2C00200011")
    probe = await ask(f"{study}/series/{archive.series_uids[0]}/instances?limit=1&includefield=00080018")
    assert len(probe) == 1
    await ask(f"{lists}&ModalitiesInStudy=CT%2CMR&StudyDate=20240101-20241231&PatientName=*Fam*")


@contextlib.asynccontextmanager
async def client_of(**settings: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service of its own."""
    async with (
        served(settings) as running,
        httpx.AsyncClient(base_url=running.url, timeout=30, trust_env=False) as opened,
    ):
        yield opened


async def test_a_search_stays_in_its_data_partition(azurite):
    account = fresh_account(azurite.connection_string)
    one, other = made(patient_id="SAME"), made(patient_id="SAME")
    async with client_of(DICOM_STORAGE=account, DICOM_DATA_PARTITIONS="on") as client:
        assert (await store(client, "/v2/partitions/one", [one.content])).status_code == 200
        assert (await store(client, "/v2/partitions/other", [other.content])).status_code == 200
        for name, instance in (("one", one), ("other", other)):
            for path in ("/studies", "/series", "/instances"):
                items = await found(client, f"v2/partitions/{name}", path, PatientID="SAME")
                assert values(items, "0020000D") == [instance.study_uid]
        uids = {"SOPInstanceUID": one.sop_instance_uid}
        assert await found(client, "v2/partitions/other", "/instances", **uids) == []
        assert len(await found(client, "v1/partitions/one", "/instances", **uids)) == 1
        for path in ("/v2/partitions/unknown/studies", "/v2/studies"):
            assert (await client.get(path, headers={"Accept": DICOM_JSON})).status_code == 400


async def test_what_was_stored_before_a_restart_is_found_after_it(azurite):
    account = fresh_account(azurite.connection_string)
    archive = study_files()
    async with client_of(DICOM_STORAGE=account) as client:
        assert (await store(client, "/v2", [one.content for one in archive.instances])).status_code == 200
    async with client_of(DICOM_STORAGE=account) as client:
        items = await found(client, "v2", "/studies", PatientID=archive.patient_id)
        assert values(items, "0020000D") == [archive.study_uid]


async def test_searches_beside_stores_find_everything_that_was_answered(client):
    patient = f"C{uuid.uuid4().hex[:10]}"
    answered: set[str] = set()
    done = asyncio.Event()

    async def write(count: int) -> None:
        for _ in range(count):
            instance = made(patient_id=patient, columns=2)
            assert (await store(client, "/v2", [instance.content])).status_code == 200
            answered.add(instance.study_uid)

    async def look() -> int:
        rounds = 0
        while not done.is_set():
            before = set(answered)
            seen = values(await found(client, "v2", "/studies", PatientID=patient, limit=200), "0020000D")
            assert before <= set(seen)
            assert len(seen) == len(set(seen))
            rounds += 1
        return rounds

    readers = [asyncio.create_task(look()) for _ in range(2)]
    await asyncio.gather(*(write(8) for _ in range(4)))
    done.set()
    assert sum(await asyncio.gather(*readers)) > 2
    final = await found(client, "v2", "/studies", PatientID=patient, limit=200)
    assert set(values(final, "0020000D")) == answered
