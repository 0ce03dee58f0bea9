"""How rooms name an operation that they have begun."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from shared.wire.operations import accepted, operation_url, unpartitioned
from tests.support.calls import call

ID = "0" * 31 + "7"
ROOT = "https://dicom.example.org/V2.0"


@pytest.mark.parametrize("root", [ROOT, f"{ROOT}/partitions/Microsoft.Default", f"{ROOT}/partitions/v2"])
def test_an_operation_is_in_the_callers_version_and_in_no_partition(root):
    asked = replace(call(), service_root=root)
    assert unpartitioned(asked) == ROOT
    assert operation_url(asked, ID) == f"{ROOT}/operations/{ID}"


def test_what_has_begun_is_202_with_its_reference_and_location():
    reply = accepted(replace(call(), service_root=ROOT), ID)
    url = f"{ROOT}/operations/{ID}"
    assert isinstance(reply.body, bytes)
    assert orjson.loads(reply.body) == {"id": ID, "href": url}
    assert (reply.status, reply.media_type) == (202, "application/json; charset=utf-8")
    assert reply.headers == (("Location", url),)
