"""DICOM JSON that clients send: its structure (PS3.18 Annex F)."""

from __future__ import annotations

import orjson
import pytest

from shared.errors import InvalidRequest, MalformedBody, PayloadTooLarge
from shared.wire.datasets import first_dataset, whole_body
from tests.support.calls import chunks

NAME = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "A"}]}}


def read(value):
    return first_dataset(orjson.dumps(value))


@pytest.mark.parametrize("sent", [NAME, [NAME], [NAME, {"rubbish": 1}]])
def test_a_data_set_stands_alone_or_first_in_an_array(sent):
    assert read(sent) == NAME


def test_keys_are_in_capitals_and_in_order_and_empty_values_are_left_out():
    sent = {
        "0040a370": {"vr": "SQ", "Value": [None]},
        "00080050": {"vr": "SH", "Value": []},
        "00100020": {"vr": "LO", "Value": None},
    }
    assert list(read(sent).items()) == [
        ("00080050", {"vr": "SH"}),
        ("00100020", {"vr": "LO"}),
        ("0040A370", {"vr": "SQ", "Value": [{}]}),
    ]


def test_keywords_stand_for_tags_in_items_too():
    """The original's own client writes keywords; what is kept and given has tags (PS3.18 §F.2.2)."""
    sent = {"ReferencedRequestSequence": {"vr": "SQ", "Value": [{"AccessionNumber": {"vr": "SH", "Value": ["A"]}}]}}
    assert read(sent) == {"0040A370": {"vr": "SQ", "Value": [{"00080050": {"vr": "SH", "Value": ["A"]}}]}}


def test_null_component_groups_of_a_name_are_left_out():
    assert read({"00100010": {"vr": "PN", "Value": [{"Alphabetic": "A", "Phonetic": None}]}}) == NAME


def test_a_byte_order_mark_is_no_part_of_the_text():
    assert first_dataset(b"\xef\xbb\xbf" + orjson.dumps(NAME)) == NAME


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xef\xbb\xbf",
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
        b"{",
        b"[1,",
        b"\xff",
        b"[" * 3000 + b"]" * 3000,
        b'{"00100010":NaN}',
    ],
)
def test_what_is_no_json_is_malformed(content):
    with pytest.raises(MalformedBody):
        first_dataset(content)


@pytest.mark.parametrize(
    "sent",
    [
        None, 1, "x", [], [None], [[NAME]],
        {"NameOfPatient": {"vr": "PN"}}, {"patientName": {"vr": "PN"}}, {"": {"vr": "PN"}},
        {"0010001": {"vr": "PN"}}, {"00020010": {"vr": "UI"}},
        {"TransferSyntaxUID": {"vr": "UI"}}, {**NAME, "PatientName": {"vr": "PN"}},
        {"0010001a": {"vr": "LO"}, "0010001A": {"vr": "LO"}},
        {"00100010": None}, {"00100010": []}, {"00100010": {}}, {"00100010": {"vr": "ZZ"}}, {"00100010": {"vr": 1}},
        {"00100010": {"vr": "PN", "value": []}},
        {"00100010": {"vr": "PN", "Value": {}}}, {"00100010": {"vr": "PN", "Value": ["A"]}},
        {"00100010": {"vr": "PN", "Value": [{"Alphabetic": 1}]}}, {"00100010": {"vr": "PN", "Value": [{"Other": "A"}]}},
        {"00100020": {"vr": "LO", "Value": [1]}}, {"00100020": {"vr": "LO", "Value": [True]}},
        {"00280010": {"vr": "US", "Value": [False]}}, {"0040A370": {"vr": "SQ", "Value": ["x"]}},
        {"0040A370": {"vr": "SQ", "BulkDataURI": "x"}}, {"00100020": {"vr": "LO", "InlineBinary": "AAAA"}},
        {"7FE00010": {"vr": "OB", "Value": [1]}}, {"7FE00010": {"vr": "OB", "InlineBinary": 1}},
        {"7FE00010": {"vr": "OB", "InlineBinary": "AA", "BulkDataURI": "x"}},
    ],
)  # fmt: skip
def test_what_is_no_data_set_is_refused(sent):
    with pytest.raises(InvalidRequest) as refused:
        read(sent)
    assert str(refused.value).isprintable()


def test_nesting_has_an_end():
    inner: dict[str, object] = {}
    for _ in range(80):
        inner = {"0040A370": {"vr": "SQ", "Value": [inner]}}
    with pytest.raises(InvalidRequest, match="nested"):
        read(inner)


async def test_a_body_that_is_too_long_is_not_read_to_its_end():
    assert await whole_body(chunks(b"x" * 100, 10), 100) == b"x" * 100
    with pytest.raises(PayloadTooLarge):
        await whole_body(chunks(b"x" * 101, 10), 100)
