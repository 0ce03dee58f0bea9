"""Which attributes an answer has, and where their values come from (contract C6.5)."""

from __future__ import annotations

import base64
import zlib

import orjson
import pytest

from shared.behaviours import SearchReturnSet
from shared.dicom.attributes import FULL_RETURN_SET, LEAN_RETURN_SET, Level
from shared.qido.query import Asked, Resource, parse
from shared.qido.results import counted, dataset, wanted
from shared.storage.hits import Hit, LevelRow

STUDIES = Resource(Level.STUDY)
FULL, LEAN = SearchReturnSet.FULL, SearchReturnSet.LEAN


def text(value, vr="LO"):
    return {"vr": vr, "Value": [value]}


def level_row(answer, index, modalities="CT\\MR"):
    packed = base64.b64encode(zlib.compress(orjson.dumps(answer))).decode()
    return LevelRow({"answer": packed, "index": orjson.dumps(index).decode(), "modalities": modalities})


NEWEST = {"00100020": text("newest"), "00080030": text("101500", "TM"), "00081030": text("newest description")}
INDEX = {"00100020": text("index"), "00100010": text("index name"), "00081030": text("index description")}
STUDY = Hit("1.2", study=level_row(NEWEST, INDEX))


def chosen(*keys, resource=STUDIES, return_set=LEAN, fields=()):
    return wanted(parse(resource, Asked(matching_keys=keys, include_fields=fields)), return_set)


def shown(hit=STUDY, counts=None, **asked):
    return dataset(hit, chosen(**asked), counts or {})


def test_an_answer_within_the_index_comes_from_the_index_alone():
    assert shown() == {
        "0020000D": text("1.2", "UI"),
        "00100010": text("index name"),
        "00100020": text("index"),
        "00081030": text("index description"),
    }


def test_one_attribute_outside_of_the_index_brings_all_from_the_newest_instance():
    found = shown(fields=["StudyTime"])
    assert found["00100020"] == text("newest")
    assert found["00080030"] == text("101500", "TM")
    assert "00100010" not in found


def test_the_full_set_comes_from_the_newest_instance():
    assert shown(return_set=FULL) == {
        "00080030": text("101500", "TM"),
        "00100020": text("newest"),
        "0020000D": text("1.2", "UI"),
    }


def test_a_computed_attribute_beside_them_brings_the_index_back():
    found = shown(return_set=FULL, fields=["ModalitiesInStudy"])
    assert found["00100020"] == text("index")
    assert found["00080030"] == text("101500", "TM")
    assert found["00080061"] == {"vr": "CS", "Value": ["CT", "MR"]}
    assert "00081030" not in found


def test_attributes_are_in_order_of_their_tags():
    assert list(shown()) == sorted(shown())


def test_no_modalities_are_no_attribute():
    hit = Hit("1.2", study=level_row({}, {}, modalities=""))
    assert "00080061" not in shown(hit, fields=["ModalitiesInStudy"])


def test_what_is_searched_for_is_given():
    tags = wanted(parse(STUDIES, Asked(matching_keys=[("ModalitiesInStudy", "CT")])), LEAN).tags
    assert tags == {*LEAN_RETURN_SET[Level.STUDY], 0x00080061}


def test_all_leaves_the_index_only_model_name_out_as_the_original_does():
    resource = Resource(Level.SERIES, Level.STUDY)
    assert 0x00081090 in chosen(resource=resource).tags
    assert 0x00081090 not in chosen(resource=resource, fields=["all"]).tags
    series = Hit("1.2", "1.3", study=STUDY.study, series=level_row({}, {"00081090": text("model")}))
    assert dataset(series, chosen(resource=resource, return_set=FULL, fields=["00081090"]), {})["00081090"] == text(
        "model"
    )


@pytest.mark.parametrize("return_set", [FULL, LEAN])
def test_levels_above_are_included_down_from_the_path(return_set):
    sets = FULL_RETURN_SET if return_set is FULL else LEAN_RETURN_SET
    uids = {0x0020000D, 0x0020000E, 0x00080018}
    study, series, instance = (set(sets[level]) for level in Level)
    for resource, tags in (
        (Resource(Level.SERIES), study | series),
        (Resource(Level.SERIES, Level.STUDY), series | {0x0020000D}),
        (Resource(Level.INSTANCE), study | series | instance),
        (Resource(Level.INSTANCE, Level.STUDY), series | instance | uids),
        (Resource(Level.INSTANCE, Level.SERIES), instance | uids),
    ):
        assert chosen(resource=resource, return_set=return_set).tags == tags


def test_an_attribute_of_the_study_can_be_had_with_its_series():
    resource = Resource(Level.SERIES, Level.STUDY)
    asked = chosen(resource=resource, fields=["PatientID"])
    assert asked.of_study
    hit = Hit("1.2", "1.3", study=STUDY.study, series=level_row({}, {"00080060": text("CT", "CS")}))
    assert dataset(hit, asked, {})["00100020"] == text("index")


def test_nothing_is_read_that_is_not_wanted():
    of_series = Resource(Level.INSTANCE, Level.SERIES)
    assert not chosen(resource=of_series).of_instance
    assert not chosen(resource=of_series).of_study
    assert not chosen(resource=Resource(Level.SERIES, Level.STUDY)).of_study
    assert chosen(resource=of_series, return_set=FULL).of_instance
    assert chosen(resource=of_series, fields=["ModalitiesInStudy"]).of_study


def test_an_instance_shows_its_own_metadata_whatever_it_holds():
    metadata = {"00080018": text("1.4", "UI"), "00091001": text("private"), "00080061": text("XX", "CS")}
    hit = Hit("1.2", "1.3", "1.4", metadata=metadata)
    asked = chosen(resource=Resource(Level.INSTANCE), fields=["00091001", "ModalitiesInStudy"])
    found = dataset(hit, asked, {})
    assert found["00091001"] == text("private")
    assert "00080061" not in found  # it is the service that computes it


def test_counts_are_given_for_what_was_named():
    asked = chosen(resource=Resource(Level.SERIES), fields=["00201208,00201209"])
    hits = [Hit("1.2", "1.3", series=level_row({}, {})), Hit("1.2", "1.4", series=level_row({}, {}))]
    assert counted(asked, hits) == [("1.2", ""), ("1.2", "1.3"), ("1.2", "1.4")]
    found = dataset(hits[0], asked, {("1.2", ""): 5, ("1.2", "1.3"): 2})
    assert (found["00201208"], found["00201209"]) == (text(5, "IS"), text(2, "IS"))
    assert counted(chosen(), hits) == []
