"""`dicom get`, `search`, `update`, `export` and `import`, against the real service."""

from __future__ import annotations

import asyncio
import json
import os
import re

import pytest

from shared.dev.cli.get import Instance
from tests.dev.cli.made import dicom, folder_of, gateway
from tests.edits.exporting import destination
from tests.support.clients import made, new_uid

pytestmark = [pytest.mark.azurite, pytest.mark.served]


@pytest.fixture
def study(service, tmp_path):
    """Four instances in the service."""
    instances = folder_of(tmp_path / "scans", 4)
    assert dicom("store", tmp_path / "scans", "--url", service.url, "-q").code == 0
    return instances


def place(folder, instance):
    return folder / Instance(instance.study_uid, instance.series_uid, instance.sop_instance_uid).file


def test_a_download_goes_on_where_it_broke_off(service, study, tmp_path):
    folder = tmp_path / "down"
    with gateway(service.url, "pass", "pass", "pass", "drop") as gate:
        options = ["get", study[0].study_uid, "--to", folder, "--url", gate.url, "--parallel", 1]
        ran = dicom(*options, "--tries", 1)
        assert ran.code == 3
        whole = sorted(folder.rglob("*.dcm"))
        assert len(whole) == 1
        assert not list(folder.rglob("*.part"))
        os.utime(whole[0], ns=(1, 1))
        ran = dicom(*options)
        assert (ran.code, ran.out.endswith(", 1 there already\n")) == (0, True)
    assert all(place(folder, one).read_bytes() == one.content for one in study)
    assert whole[0].stat().st_mtime_ns == 1


def test_a_series_or_an_instance_alone_is_got(service, study, tmp_path):
    one = study[2]
    ran = dicom("get", one.study_uid, one.series_uid, "--to", tmp_path / "series", "--url", service.url, "--json")
    assert json.loads(ran.out) == {"stored": 1, "there": 0, "gone": 0}
    dicom("get", one.study_uid, one.series_uid, one.sop_instance_uid, "--to", tmp_path / "one", "--url", service.url)
    assert [place(tmp_path / name, one).read_bytes() for name in ("series", "one")] == [one.content] * 2


def test_a_study_that_is_not_there_is_a_fault(service, tmp_path):
    ran = dicom("get", new_uid(), "--to", tmp_path, "--url", service.url)
    assert (ran.code, ran.err) == (1, "dicom: Nothing is stored under that UID.\n")


def test_a_folder_that_cannot_be_written_is_said(service, study, tmp_path):
    (tmp_path / "file").touch()
    ran = dicom("get", study[0].study_uid, "--to", tmp_path / "file", "--url", service.url)
    assert (ran.code, "cannot be written: Not a directory" in ran.err) == (1, True)


def test_a_search_gives_a_table_to_people_and_json_to_programs(service, study):
    options = ["search", "instances", f"StudyInstanceUID={study[0].study_uid}", "--url", service.url]
    found = json.loads(dicom(*options, "--json").out)
    assert {one["00080018"]["Value"][0] for one in found} == {one.sop_instance_uid for one in study}
    ran = dicom(*options, "--field", "Rows", "--limit", 3)
    head, *rows = ran.out.splitlines()
    assert re.split(r"\s{2,}", head) == ["modality", "study", "series", "instance", "Rows"]
    assert len(rows) == 3
    assert all(row.endswith("  16") for row in rows)
    assert ran.err == "There may be more than 3; --limit 0 gives all.\n"
    assert dicom("search", "studies", f"StudyInstanceUID={new_uid()}", "--url", service.url).out == "Nothing matches.\n"


def test_an_update_is_waited_for_and_changes_the_study(service, study, tmp_path):
    uid, changes = study[0].study_uid, tmp_path / "changes.json"
    changes.write_text('{"00100020": {"vr": "LO", "Value": ["P-4711"]}}')
    options = ["--url", service.url, "--set", "PatientName=Right^Name=\u53f3", "--from", changes]
    ran = dicom("update", "--studies", uid, new_uid(), *options)
    results = "update: succeeded\n  1 study with 4 instances updated, 0 failed\n  1 not stored here\n"
    assert (ran.code, ran.out) == (0, results)
    (found,) = json.loads(dicom("search", "studies", f"StudyInstanceUID={uid}", "--url", service.url, "--json").out)
    assert found["00100010"]["Value"] == [{"Alphabetic": "Right^Name", "Ideographic": "\u53f3"}]
    assert found["00100020"]["Value"] == ["P-4711"]
    for name, options in (("new", []), ("old", ["--original"])):
        assert dicom("get", uid, "--to", tmp_path / name, "--url", service.url, *options).code == 0
    assert all(place(tmp_path / "old", one).read_bytes() == one.content for one in study)
    assert all(b"P-4711" in place(tmp_path / "new", one).read_bytes() for one in study)


def test_a_change_that_is_refused_is_told_by_attribute(service, study):
    ran = dicom("update", "--studies", study[0].study_uid, "--set", "Modality=CT", "--url", service.url)
    assert (ran.code, "(0008,0060) - The attribute cannot be changed" in ran.err) == (1, True)


async def test_an_export_is_begun_and_waited_for(service, study, azurite):
    one = study[0]
    async with destination(azurite.connection_string) as out:
        variables = {"DICOM_EXPORT_TO": f"{out.url}?{out.sas()}", "DICOM_URL": service.url}
        series = [f"{each.study_uid}/{each.series_uid}" for each in study[1:3]]
        instance = f"{one.study_uid}/{one.series_uid}/{one.sop_instance_uid}"
        line = ["export", "--series", *series, "--instances", instance, "--no-wait", "--json"]
        begun = json.loads((await asyncio.to_thread(dicom, *line, environment=variables)).out)
        assert begun["href"] == f"{service.url}/v2/operations/{begun['id']}"
        ran = await asyncio.to_thread(dicom, "operation", "wait", begun["href"], environment=variables)
        assert (ran.code, ran.out) == (0, "export: succeeded\n  3 instances exported, 0 skipped\n")
        assert sorted((await out.results(begun["id"])).values()) == sorted(each.content for each in study[:3])


def test_an_import_is_waited_for_and_told_file_by_file(service, tmp_path, azurite):
    (tmp_path / "deep").mkdir()
    good, cut = made(), made()
    (tmp_path / "deep" / "good.dcm").write_bytes(good.content)
    (tmp_path / "cut.dcm").write_bytes(cut.content[:-300])
    (tmp_path / "notes.txt").write_text("nothing")
    ran = dicom("import", tmp_path, "--json", environment={"DICOM_STORAGE": azurite.connection_string})
    told = {one["file"].rpartition("/")[2]: one["outcome"] for one in map(json.loads, ran.out.splitlines()[:-1])}
    assert (ran.code, told) == (1, {"good.dcm": "stored", "cut.dcm": "refused", "notes.txt": "skipped"})
    assert dicom("get", good.study_uid, "--to", tmp_path / "down", "--url", service.url).code == 0
    assert place(tmp_path / "down", good).read_bytes() == good.content


@pytest.mark.parametrize(
    ("connection", "code", "text"),
    [
        ("nonsense", 2, "is no connection string"),
        (
            "AccountName=a;AccountKey=c2VjcmV0;BlobEndpoint=http://127.0.0.1:9/a;QueueEndpoint=http://127.0.0.1:9/a",
            3,
            "cannot be used",
        ),
    ],
)
def test_storage_that_cannot_be_used_is_said_without_its_key(tmp_path, connection, code, text):
    folder_of(tmp_path, 1)
    ran = dicom("import", tmp_path, "--connection", connection)
    assert (ran.code, text in ran.err, "c2VjcmV0" in ran.both) == (code, True, False)


def test_an_import_has_no_partition(tmp_path):
    folder_of(tmp_path, 1)
    assert dicom("import", tmp_path, "--partition", "a").code == 2
