from __future__ import annotations

import pytest

from shared.api import params
from shared.api.params import Kind, Parameter, Place
from shared.errors import InvalidParameter
from shared.wire.call import Headers

STUDY = Parameter("studyInstanceUid", Place.PATH, Kind.UID, "study_uid", "")
LIMIT = Parameter("limit", Place.QUERY, Kind.WHOLE_NUMBER, "limit", "", default=100, minimum=1, maximum=200)
ORIGINAL = Parameter("msdicom-request-original", Place.HEADER, Kind.EXACTLY_TRUE, "request_original", "")
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
