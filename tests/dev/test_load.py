"""The loader makes the same studies every time, and they are found as if they had been sent."""

from __future__ import annotations

import asyncio
import re
from io import BytesIO

import pydicom
import pytest

from shared.dev import load
from shared.dev.bench import command as bench
from shared.dev.load import DEFAULT, file_of, made_study
from shared.storage.conditions import one_of
from shared.storage.hits import Criteria
from tests.storage.made import blob_names
from tests.support.storage import fresh_account, watched_stores


def test_a_study_is_the_same_every_time_and_no_other_is_like_it():
    assert made_study(7) == made_study(7)
    assert len({made_study(number).study_uid for number in range(2000)}) == 2000
    assert len({made_study(number).accession for number in range(2000)}) == 2000


def test_a_rare_name_is_rare_and_a_common_one_is_not():
    names = [made_study(number).patient_name for number in range(10_000)]
    assert sum(name.startswith(load.RARE_NAME) for name in names) == 10
    assert 400 <= sum(name.startswith(load.COMMON_NAME) for name in names) <= 500


@pytest.mark.parametrize("number", [0, 500, 99_999])
def test_its_file_says_what_the_study_says(number):
    study = made_study(number)
    dataset = pydicom.dcmread(BytesIO(file_of(study)))
    found = (dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID, dataset.PatientID)
    assert found == (study.study_uid, study.series_uid, study.sop_instance_uid, study.patient_id)
    assert dataset.file_meta.MediaStorageSOPInstanceUID == study.sop_instance_uid
    assert (dataset.PatientName, dataset.AccessionNumber) == (study.patient_name, study.accession)
    assert (dataset.StudyDate, dataset.Modality) == (study.day, study.modality)


@pytest.mark.azurite
@pytest.mark.parametrize("files", [False, True])
async def test_what_is_loaded_is_found(azurite, files):
    async with watched_stores(azurite.connection_string) as (stores, _):
        told: list[int] = []
        await load.load(stores, range(45), told.append, files=files)
        assert told == [45]
        hits = await stores.search.studies(DEFAULT, Criteria())
        assert {hit.study_uid for hit in hits} == {made_study(number).study_uid for number in range(45)}
        patient = (one_of("PatientID", ["p0000003"]),)
        assert len(await stores.search.studies(DEFAULT, Criteria(study=patient))) == 3
        assert len(await blob_names(stores)) == (45 if files else 0)
        again = await stores.instances.find(
            DEFAULT, made_study(9).study_uid, made_study(9).series_uid, made_study(9).sop_instance_uid
        )
        assert again.length_bytes == len(file_of(made_study(9)))


@pytest.mark.azurite
async def test_the_command_loads_and_says_how_far_it_is(azurite, capsys):
    arguments = ["30", "--first", "10", "--connection", fresh_account(azurite.connection_string)]
    assert await asyncio.to_thread(load.main, arguments) == 0
    assert "30 of 30 studies" in capsys.readouterr().err


def test_a_store_that_cannot_be_used_is_said(capsys):
    assert load.main(["1", "--connection", "nonsense"]) == 1
    assert capsys.readouterr().err.startswith("load: ")


@pytest.mark.azurite
@pytest.mark.slow
async def test_the_benchmark_shows_calls_and_rows_of_every_search_and_how_they_grow(capsys):
    assert await asyncio.to_thread(bench.main, ["search", "--sizes", "130", "150", "--rounds", "1"]) == 0
    title, _, head, _, *rows = capsys.readouterr().out.splitlines()
    assert title.startswith("Searches by studies stored")
    heads = ["130: hits", "calls", "rows", "ms", "150: hits", "calls", "rows", "ms", "calls grow", "rows grow"]
    assert re.split(r"\s{2,}", head)[1:] == heads
    cells = {row[0]: row[1:] for row in (re.split(r"\s{2,}", line) for line in rows)}
    assert cells["StudyInstanceUID"][:3] == ["1", "1", "1"]
    assert cells["PatientID, there"][0] == "3"
    assert cells["SOPInstanceUID"][0] == "1"
    assert all(len(row) == len(heads) for row in cells.values())
