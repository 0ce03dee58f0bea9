"""URLs in answers behind a proxy (contract C1.11)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.api import forwarded
from shared.errors import InvalidParameter
from shared.settings import Settings
from tests.api import made
from tests.api.test_pipeline import STUDY, ask

TRUSTING = Settings(trust_forwarded=True)
PARTITION = {"version": "V2", "partitionName": "clinic"}


def root(path=None, **headers):
    lines = {name.replace("_", "-"): value for name, value in headers.items()}
    return forwarded.seen(made.arrival(path=path, headers=lines)).service_root


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, "https://dicom.example:8080/v2"),
        ({"X_Forwarded_Host": "pacs.example.org"}, "https://pacs.example.org/v2"),
        ({"X_Forwarded_Host": "pacs.example.org:8443, inner"}, "https://pacs.example.org:8443/v2"),
        ({"X_Forwarded_Proto": "http"}, "http://dicom.example:8080/v2"),
        ({"X_Forwarded_Proto": "HTTPS,http"}, "https://dicom.example:8080/v2"),
        ({"X_Forwarded_Prefix": "/imaging"}, "https://dicom.example:8080/imaging"),
        ({"X_Forwarded_Prefix": "/a/b-c/"}, "https://dicom.example:8080/a/b-c"),
        ({"X_Forwarded_Prefix": "/"}, "https://dicom.example:8080"),
        ({"X_Forwarded_Host": "h", "X_Forwarded_Proto": "http", "X_Forwarded_Prefix": "/p"}, "http://h/p"),
        ({"X_Forwarded_Host": ""}, "https://dicom.example:8080/v2"),
    ],
)
def test_each_header_counts_alone_and_the_first_proxy_wins(headers, expected):
    assert root(**headers) == expected


def test_a_prefix_stands_for_the_data_partition_too():
    assert root(PARTITION) == "https://dicom.example:8080/V2/partitions/clinic"
    assert root(PARTITION, X_Forwarded_Prefix="/clinic/v2") == "https://dicom.example:8080/clinic/v2"


def test_what_is_outside_any_version_has_no_prefix():
    request = made.arrival(headers={"X-Forwarded-Host": "h", "X-Forwarded-Prefix": "/p"})
    assert forwarded.seen(replace(request, path_values={})).service_root == "https://h"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Forwarded-Host", "evil.example/path"),
        ("X-Forwarded-Host", "a b"),
        ("X-Forwarded-Host", "user@evil.example"),
        ("X-Forwarded-Host", "h" * 300),
        ("X-Forwarded-Proto", "javascript"),
        ("X-Forwarded-Prefix", "imaging"),
        ("X-Forwarded-Prefix", "//evil.example"),
        ("X-Forwarded-Prefix", "/a?b"),
        ("X-Forwarded-Prefix", "/%2e%2e"),
        ("X-Forwarded-Prefix", "/a\r\nSet-Cookie: b"),
        ("X-Forwarded-Prefix", "/a" * 20),
    ],
)
async def test_what_could_not_stand_in_a_url_is_refused(name, value):
    with pytest.raises(InvalidParameter, match=name):
        forwarded.seen(made.arrival(headers={name: value}))
    reply, calls = await ask("v2_retrieveStudy", made.arrival(path=STUDY, headers={name: value}), settings=TRUSTING)
    assert (reply.status, calls) == (400, [])


async def test_nobody_is_believed_unless_the_setting_says_so():
    headers = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http", "X-Forwarded-Prefix": "/evil"}
    request = made.arrival(path=STUDY, headers=headers)
    _, (call,) = await ask("v2_retrieveStudyMetadata", request)
    assert call.service_root == "https://dicom.example:8080/v2"
    _, (call,) = await ask("v2_retrieveStudyMetadata", request, settings=TRUSTING)
    assert call.service_root == "http://evil.example/evil"
