"""Replies as they are recorded: what has a placeholder, what is kept to the letter, what is a digest."""

from __future__ import annotations

import gzip

import imagecodecs
import numpy
import pytest

from shared.dev.contract.remarks import GateError
from shared.dev.golden import files
from shared.dev.golden.forms import Placeholders, RawReply, content_of, form_of

JSON = ("content-type", "application/json; charset=utf-8")


def form(*headers, body=b"", status=200, seen=None):
    return form_of(RawReply(status, headers, body), seen or Placeholders())


def test_headers_keep_their_spelling_and_those_of_the_connection_go():
    headers = [("X-Frame-Options", "SAMEORIGIN"), ("date", "x"), ("Server", "x"), ("transfer-encoding", "chunked")]
    assert form(*headers, ("Warning", "a"), ("Warning", "b"))["headers"] == {
        "Warning": ["a", "b"],
        "X-Frame-Options": "SAMEORIGIN",
    }


def test_what_tells_of_the_end_of_a_version_is_left_to_the_gate():
    headers = [
        ("Deprecation", "@1"),
        ("Sunset", "x"),
        ("Link", "x"),
        ("Warning", '299 - "Version 1 is deprecated and"'),
    ]
    assert form(*headers, ("Warning", '299 host: "other"'))["headers"] == {"Warning": '299 host: "other"'}


@pytest.mark.parametrize("names", [["api-supported-versions"], ["api-deprecated-versions", "api-supported-versions"]])
def test_which_versions_there_are_is_not_recorded_but_the_form_of_their_list_is(names):
    key = "api-supported-versions or api-deprecated-versions"
    assert form(*[(name, "1.0-prerelease, 1, 2") for name in names])["headers"] == {key: "<versions>"}
    assert form(*[(name, "1,2") for name in names])["headers"] == {key: "<versions>,<versions>"}
    assert form()["headers"] == {}


@pytest.mark.parametrize(
    ("value", "recorded"), [("7-1", "<etag-1>"), ('"7-1"', '"<etag-1>"'), ('W/"7-1"', 'W/"<etag-1>"')]
)
def test_an_etag_keeps_its_form(value, recorded):
    assert form(("etag", value))["headers"] == {"etag": recorded}


def test_the_same_value_has_the_same_placeholder_and_another_one_another():
    seen = Placeholders()
    tags = [form(("etag", value), seen=seen)["headers"]["etag"] for value in ("a", "b", "a")]
    assert tags == ["<etag-1>", "<etag-2>", "<etag-1>"]


def test_times_have_placeholders_and_keep_their_zone():
    body = b'[{"timestamp":"2026-11-22T10:00:00.1234567+00:00"},{"timestamp":"2026-11-22T10:00:01Z","day":"20261122"}]'
    assert form(JSON, body=body)["json"] == [
        {"timestamp": "<time-1>+00:00"},
        {"timestamp": "<time-2>Z", "day": "20261122"},
    ]


def test_a_time_without_a_zone_has_a_placeholder_where_it_ends_a_text():
    body = b'["2026-11-22T10:00:00.5", "2026-11-22T10:00:00 or so"]'
    assert form(JSON, body=body)["json"] == ["<time-1>", "2026-11-22T10:00:00 or so"]


def test_ids_of_operations_and_addresses_in_storage_have_placeholders():
    seen = Placeholders({"storage": "http://127.0.0.1:4711/account", "destination": "key=secret"})
    one, two = "0f8fad5bd9cb469fa16570867728950e", "1f8fad5bd9cb469fa16570867728950e"
    body = f'["{one}", "http://127.0.0.1:4711/account/out/{two}/errors.log", "x{one}", "{one}0"]'.encode()
    told = ["<operation-2>", "<storage-1>/out/<operation-1>/errors.log", f"x{one}", f"{one}0"]
    assert form(JSON, ("location", f"http://a/v2/operations/{two}"), body=body, seen=seen) == {
        "status": 200,
        "headers": {"content-type": JSON[1], "location": "http://a/v2/operations/<operation-1>"},
        "json": told,
    }
    assert seen.filled("<destination-1> <operation-1>") == f"key=secret {two}"


def test_a_placeholder_in_a_request_stands_for_what_was_seen():
    seen = Placeholders()
    form(JSON, body=b'"2026-11-22T10:00:00.5+00:00"', seen=seen)
    form(("etag", '"a b"'), seen=seen)
    assert seen.filled_path("x?startTime=<time-1>%2B00:00") == "x?startTime=2026-11-22T10%3A00%3A00.5%2B00:00"
    assert seen.filled('"<etag-1>"') == '"a b"'
    with pytest.raises(GateError, match="no earlier reply has <time-2>"):
        seen.filled("<time-2>")


def test_members_of_json_stay_in_their_order():
    assert list(form(JSON, body=b'{"b":1,"a":2}')["json"]) == ["b", "a"]


@pytest.mark.parametrize("body", [b"{", b'{"a":1,"a":2}', b"\xff"])
def test_what_is_no_json_is_recorded_as_that(body):
    found = form(JSON, body=body)
    assert "json" not in found
    assert found["no json"]


def test_packed_json_is_read():
    assert form(JSON, ("content-encoding", "gzip"), body=gzip.compress(b"[1.0]"))["json"] == [1.0]


def test_a_document_is_left_to_the_comparison_of_documents():
    expected = {"document": "as in versions/baselines"}
    assert form(JSON, body=b'{"openapi": "3.0.3"}').items() >= expected.items()
    assert form(("content-type", "text/yaml"), body=b"openapi: 3.0.3").items() >= expected.items()


def test_parts_are_recorded_with_their_heads_line_by_line():
    body = b"--b 1\r\nContent-Type: a/b; c=d\r\nX: y\r\n\r\none\r\n--b 1\r\nContent-Type: a/b\r\n\r\n\r\n--b 1--\r\n"
    found = form(("content-type", 'multipart/related; type="a/b"; boundary="b 1"'), body=body)
    assert found["headers"] == {"content-type": 'multipart/related; type="a/b"; boundary="<boundary>"'}
    assert [part["head"] for part in found["parts"]] == [["Content-Type: a/b; c=d", "X: y"], ["Content-Type: a/b"]]
    assert found["parts"][0]["content"] == "3 bytes, sha256 7692c3ad3540bb80"
    assert "framing" not in found


@pytest.mark.parametrize(
    ("body", "framing"),
    [
        (b"hello\r\n--b\r\nX: y\r\n\r\none\r\n--b--\r\n", ["\r\nhello", "--\r\n"]),
        (b"--b\r\nX: y\r\n\r\none\r\n--b--", ["", "--"]),
    ],
)
def test_another_framing_shows(body, framing):
    assert form(("content-type", "multipart/related; boundary=b"), body=body)["framing"] == framing


def test_a_part_without_a_head_shows():
    found = form(("content-type", "multipart/related; boundary=b"), body=b"--b\r\nnothing\r\n--b--\r\n")
    assert found["parts"] == [{"no part": content_of("", b"\r\nnothing")}]


def test_quality_shows_in_what_is_recorded_of_a_jpeg():
    picture = numpy.arange(256, dtype="u1").reshape(16, 16)
    fine, coarse = (content_of("image/jpeg", bytes(imagecodecs.jpeg8_encode(picture, level))) for level in (100, 10))
    assert fine == "JPEG, 16 x 16, 1 of 8 bits, coarsest quantisation 1"
    assert coarse == "JPEG, 16 x 16, 1 of 8 bits, coarsest quantisation 255"


def test_a_picture_that_loses_nothing_is_its_samples_whoever_encoded_it():
    picture = numpy.arange(256, dtype="u1").reshape(16, 16)
    small, large = (content_of("image/png", bytes(imagecodecs.png_encode(picture, level))) for level in (9, 0))
    assert small == large
    assert content_of("image/png", bytes(imagecodecs.png_encode(255 - picture))) != small


def test_a_picture_that_cannot_be_read_shows():
    assert content_of("image/png", b"no picture").endswith("which cannot be read as image/png: ValueError")


def test_a_file_is_its_bytes():
    content = files.content("good")
    assert content_of("application/dicom", content).startswith(f"{len(content)} bytes, sha256 ")
