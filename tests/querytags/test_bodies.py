"""What bodies about extended query tags ask for (contract C9.1)."""

from __future__ import annotations

import pytest

from shared.dicom.attributes import Level
from shared.errors import InvalidRequest
from shared.querytags.bodies import new_tags
from shared.storage.tagchanges import NewTag


@pytest.mark.parametrize("blank", ["", " ", None])
def test_a_blank_vr_or_private_creator_is_not_given(blank):
    """Forms and lists send every member, empty where there is nothing to say."""
    sent = {"path": "PatientSex", "level": "Study", "vr": blank, "privateCreator": blank}
    assert new_tags([sent]) == [NewTag(0x00100040, "CS", Level.STUDY, "")]


@pytest.mark.parametrize(
    "sent",
    [
        {"path": " ", "level": "Study"},
        {"path": "PatientSex", "level": " "},
        {"path": "PatientSex", "level": "Study", "vr": 1},
        {"path": "00091001", "level": "Study", "vr": "SH", "privateCreator": " "},
        {"path": "00091001", "level": "Study", "vr": " ", "privateCreator": "ACME"},
    ],
)
def test_what_has_to_be_given_must_not_be_blank(sent):
    with pytest.raises(InvalidRequest):
        new_tags([sent])
