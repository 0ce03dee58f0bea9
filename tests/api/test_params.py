from __future__ import annotations

import pytest

from shared.api import params
from shared.api.params import Kind, Parameter, Place
from shared.errors import InvalidParameter
from shared.wire.call import Headers

STUDY = Parameter("studyInstanceUid", Place.PATH, Kind.UID, "study_uid", "")
LIMIT = Parameter("limit", Place.QUERY, Kind.WHOLE_NUMBER, "limit", "", default=100, minimum=1, maximum=200)
ORIGINAL = Parameter("msdicom-request-original", Place.HEADER, Kind.EXACTLY_TRUE, "request_original", "")
SINCE = Parameter("startTime", Place.QUERY, Kind.DATE_TIME, "start_ticks", "")
WITH = Parameter("includemetadata", Place.QUERY, Kind.TRUE_OR_FALSE, "include_metadata", "", default=True)
FRAME = Parameter("frame", Place.PATH, Kind.FRAME_NUMBER, "frame", "")
FRAMES = Parameter("frames", Place.PATH, Kind.FRAME_LIST, "frames", "")
QUALITY = Parameter("quality", Place.QUERY, Kind.WHOLE_NUMBER, "quality", "", default=100, minimum=1, maximum=100)
UNLESS = Parameter("If-None-Match", Place.HEADER, Kind.TEXT, "if_none_match", "")


def read(parameter, *, path=None, query="", headers=()):
    return params.read([parameter], path or {}, query, Headers(headers))[parameter.binds]


@pytest.mark.parametrize("uid", ["1", "1.2.840", "0.01", "..1", "1" * 64, "1.2  "])
def test_a_uid_of_digits_and_dots_is_taken_without_trailing_spaces(uid):
    assert read(STUDY, path={"studyInstanceUid": uid}) == uid.rstrip(" ")


@pytest.mark.parametrize(
    "uid", ["", " ", "1.", "1.2a", " 1", "1-2", "1" * 65, "1.2\n", "1\t", "\u0661.2", "$bulkUpdate", "1,2", "é"]
)
def test_any_other_text_is_no_uid(uid):
    with pytest.raises(InvalidParameter, match="studyInstanceUid: must be a UID") as caught:
        read(STUDY, path={"studyInstanceUid": uid})
    assert "bulkUpdate" not in str(caught.value)


def test_names_in_the_query_ignore_case_and_the_first_value_counts():
    assert read(LIMIT, query="LIMIT=7&limit=9") == 7


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=", "limit=a", "limit=1e2", "limit=%31%00", "limit=\u0661", "limit=" + "9" * 5000],
)
def test_a_number_outside_its_limits_is_refused_with_them(query):
    with pytest.raises(InvalidParameter, match="limit: must be a whole number of at least 1 and at most 200"):
        read(LIMIT, query=query)


def test_a_number_without_an_upper_limit_has_64_bits():
    offset = Parameter("offset", Place.QUERY, Kind.WHOLE_NUMBER, "offset", "", default=0, minimum=0)
    assert read(offset, query=f"offset={2**63 - 1}") == 2**63 - 1
    with pytest.raises(InvalidParameter):
        read(offset, query=f"offset={2**63}")


def test_an_absent_number_is_its_default():
    assert read(LIMIT) == 100


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("TRUE", True), (" true ", True), ("1", False), ("yes", False), ("", False)]
)
def test_only_the_word_true_is_true(text, value):
    assert read(ORIGINAL, headers=[("MSDICOM-Request-Original", text)]) is value


def test_absent_headers_are_false_or_none():
    assert read(ORIGINAL) is False
    assert read(UNLESS) is None


def test_header_lines_of_one_name_are_one_list():
    assert read(UNLESS, headers=[("if-none-match", "a"), ("If-None-Match", '"b"')]) == 'a, "b"'


@pytest.mark.parametrize(
    ("query", "accepted"),
    [
        ("", None),
        ("accept=", None),
        ("x=1&accept=application/dicom%2Bjson", "application/dicom+json"),
        ("Accept=application/dicom+json", "application/dicom+json"),
        ("accept=a/b;q=0.5&accept=c/d", "a/b;q=0.5, c/d"),
        ("accept=%ff%", "\ufffd%"),
    ],
)
def test_accept_in_the_query_is_one_list_and_keeps_its_plus(query, accepted):
    assert params.media_types(query) == accepted


def test_a_type_says_its_limits_to_the_document_too():
    assert params.schema(LIMIT) == {"type": "integer", "minimum": 1, "maximum": 200, "default": 100}
    assert params.schema(STUDY)["maxLength"] == 64


@pytest.mark.parametrize(
    ("text", "ticks"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00Z", 0),
        ("1970-01-01t00:00:01z", 10_000_000),
        ("1970-01-01 00:00:01Z", 10_000_000),
        ("1970-01-01T02:00:00%2B02:00", 0),
        ("1970-01-01T02:00:00+02:00", 0),  # a plus sign as people paste it: it arrives as a space
        ("1970-01-01T02:00:00%2B0200", 0),
        ("1969-12-31T22:30:00-01:30", 0),
        ("1970-01-01T00:00:00.1Z", 1_000_000),
        ("1970-01-01T00:00:00.0000001Z", 1),
        ("1970-01-01T00:00:00.00000010Z", 1),
        ("1970-01-01T00:00:00.00000011Z", 2),
        ("1969-12-31T23:59:59.9999999Z", -1),
        ("0001-01-01T00:00:00Z", -621_355_968_000_000_000),
        ("9999-12-31T23:59:59.9999999Z", 2_534_023_007_999_999_999),
        ("0001-01-01T00:00:00%2B14:00", -621_356_472_000_000_000),
        ("9999-12-31T23:59:59-14:00", 2_534_023_511_990_000_000),
    ],
)
def test_a_time_with_a_zone_is_counted_in_hundreds_of_nanoseconds(text, ticks):
    assert read(SINCE, query=f"startTime={text}") == ticks


@pytest.mark.parametrize(
    "text",
    [
        "now",
        "2026-11-21",
        "2026-11-21T08:30:00",
        "2026-11-21T08:30:00.123",
        "2026-11-21T08:30.5Z",
        "2026-11-21T08Z",
        "2026-02-30T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-11-21T08:30:60Z",
        "2026-11-21T08:30:00%2B25:00",
        "2026-11-21T08:30:00.Z",
        "2026-11-21T08:30:00ZZ",
        "2026-11-21T08:30:00Z%0A",
        "20261121T083000Z",
        "10000-01-01T00:00:00Z",
        "\u0662026-11-21T08:30:00Z",
        "1763713800",
    ],
)
def test_any_other_text_is_no_time(text):
    with pytest.raises(InvalidParameter, match="startTime: must be a date and time with a zone"):
        read(SINCE, query=f"starttime={text}")


def test_an_absent_time_is_none_and_so_is_an_empty_one():
    assert read(SINCE) is None
    for query in ("startTime=", "starttime", "startTime=%20"):
        assert read(SINCE, query=query) is None


@pytest.mark.parametrize(("text", "value"), [("true", True), ("FALSE", False), ("False", False), (" True ", True)])
def test_true_and_false_are_read_in_any_case(text, value):
    assert read(WITH, query=f"IncludeMetadata={text}") is value


@pytest.mark.parametrize("text", ["", "1", "0", "yes", "truefalse", "wahr"])
def test_any_other_word_is_neither(text):
    with pytest.raises(InvalidParameter, match="includemetadata: must be true or false"):
        read(WITH, query=f"includemetadata={text}")


def test_a_flag_that_is_absent_is_its_default_also_in_the_document():
    assert read(WITH) is True
    assert params.schema(WITH) == {"type": "boolean", "default": True}
    assert params.schema(SINCE) == {"type": "string", "format": "date-time"}


FIELDS = Parameter("includefield", Place.QUERY, Kind.TEXT_LIST, "fields", "")
PATIENT_ID = Parameter("PatientID", Place.QUERY, Kind.MATCHING_KEY, "", "")
ACCEPT = Parameter("accept", Place.QUERY, Kind.MEDIA_TYPES, "", "")


def test_a_list_has_every_value_in_order_and_is_empty_when_absent():
    assert read(FIELDS, query="includefield=a,b&IncludeField=&x=1") == ("a,b", "")
    assert read(FIELDS) == ()


def test_matching_keys_are_what_is_no_other_parameter_of_the_query_as_it_was_typed():
    row = [STUDY, LIMIT, FIELDS, ACCEPT, PATIENT_ID]
    query = (
        "PatientID=a+b%2B&LIMIT=3&00100020=&accept=x&includefield=y&StudyInstanceUID=1&patientId=c&bare&=d&PatientID=2"
    )
    values = params.read(row, {"studyInstanceUid": "1.2"}, query, Headers(()))
    assert values["matching_keys"] == (
        ("PatientID", "a b+"),
        ("00100020", ""),
        ("StudyInstanceUID", "1"),
        ("patientId", "c"),
        ("bare", ""),
        ("", "d"),
        ("PatientID", "2"),
    )


def test_a_row_without_matching_keys_has_none():
    assert "matching_keys" not in params.read([LIMIT], {}, "a=b", Headers(()))


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("1", (1,)), ("3,1,3", (3, 1, 3)), (" 2 , 1", (2, 1)), ("+1,002", (1, 2)), ("999999999999999999", (10**18 - 1,))],
)
def test_a_frame_list_keeps_order_and_repeats(text, numbers):
    assert read(FRAMES, path={"frames": text}) == numbers


@pytest.mark.parametrize(
    "text",
    ["", " ", ",", "1,", ",1", "1,,2", "0", "1,0", "-1", "a", "1.0", "1-3", "1;2", "1 2", "0x1", "\u0661", "9" * 19],
)
def test_any_other_text_is_no_frame_list(text):
    with pytest.raises(InvalidParameter, match="frames: must be frame numbers with commas between them"):
        read(FRAMES, path={"frames": text})


def test_a_frame_list_has_an_end():
    assert len(read(FRAMES, path={"frames": ",".join(["1"] * 10_000)})) == 10_000
    for many in (10_001, 2_000_000):
        with pytest.raises(InvalidParameter, match="at most 10000"):
            read(FRAMES, path={"frames": ",".join(["1"] * many)})


def test_one_frame_is_one_positive_number():
    assert read(FRAME, path={"frame": "12"}) == 12
    for text in ("0", "-3", "1,2", "", "x"):
        with pytest.raises(InvalidParameter, match="frame: must be the number of one frame"):
            read(FRAME, path={"frame": text})


def test_quality_is_100_unless_given():
    assert [read(QUALITY, query=query) for query in ("", "quality=1", "Quality=100")] == [100, 1, 100]
    for query in ("quality=0", "quality=101", "quality=", "quality=75.5", "quality=high"):
        with pytest.raises(InvalidParameter, match="quality"):
            read(QUALITY, query=query)
