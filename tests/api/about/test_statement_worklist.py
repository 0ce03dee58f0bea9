"""What a statement says of the worklist is what requests are judged by."""

from __future__ import annotations

import pytest

from shared.api.about import conformance, markdown
from shared.api.about.statement import Subject
from shared.api.about.statement_worklist import NEEDS
from shared.dicom.workitemkeys import RETURN_SET, SEARCHABLE
from shared.dicom.workitemrules import CREATE, UPDATE, Need
from shared.dicom.workitemstates import CANCELLATIONS, CHANGES, UPDATES
from shared.settings import Settings
from tests.api import made
from tests.api.about.reading import tables

SUBJECTS = [Subject(version, made.loaded(), Settings()) for version in made.loaded().versions]
every_version = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda one: one.version.label.text)


@every_version
def test_every_rule_state_and_key_is_told(subject):
    found = tables(markdown.write(conformance.page(subject)).content.decode())
    attributes = {row["Attribute"].split(" ")[0]: row for row in found["Attributes of workitems"][0]}
    assert attributes.keys() == {rule.keyword for rule in CREATE} == {rule.keyword for rule in UPDATE}
    assert attributes["PatientName"]["When it is made"] == "must be there, may be empty"
    assert attributes["PatientName"]["In an update"] == "must not be given"
    assert len(found["Changes of state"][0]) == len(CHANGES)
    assert len(found["Updates of workitems"][0]) == len(UPDATES)
    assert len(found["Requests for cancellation"][0]) == len(CANCELLATIONS)
    assert [row["Key"].strip("`") for row in found["Search keys of workitems"][0]] == [key.name for key in SEARCHABLE]
    assert len(found["Attributes of found workitems"][0]) == len(RETURN_SET)
    assert {row["State"] for row in found["What final states need"][0]} == {"COMPLETED", "CANCELED"}


@every_version
def test_the_keys_of_the_document_are_those_that_are_searched_by(subject):
    (row,) = [one for one in subject.version.rows if one.operation == "searchWorkitems"]
    names = {one.name for one in subject.inputs(row) if one.kind.value == "matching_key"}
    assert names == {key.name for key in SEARCHABLE}


def test_every_need_has_its_words():
    assert set(NEEDS) == set(Need)
