"""Requests made to do harm, through real HTTP: each gets its 4xx in bounded time and memory."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.served.test_bad_input import FAULTS, forget_peak, resident_bytes, works
from tests.support.clients import DICOM_JSON, connected, failure_reasons, head_of, made, raw, related_type, store
from tests.support.files import synthetic_instance
from tests.support.served import Service

pytestmark = [pytest.mark.served, pytest.mark.azurite]

SECONDS = 60
"""A hang, not a speed: nothing here takes more than a moment."""
MORE_BYTES = 96 << 20

JSON = "application/json"
BODIES = [
    ("POST", "/v2/studies/$bulkUpdate", JSON),
    ("POST", "/v2/export", JSON),
    ("POST", "/v1/extendedquerytags", JSON),
    ("PATCH", "/v2/extendedquerytags/00080060", JSON),
    ("POST", "/v2/workitems", DICOM_JSON),
    ("POST", "/v1/workitems/2.25.1", DICOM_JSON),
    ("PUT", "/v2/workitems/2.25.1/state", DICOM_JSON),
    ("POST", "/v2/workitems/2.25.1/cancelrequest", DICOM_JSON),
]
BOMBS = {
    "arrays in arrays": b"[" * 200_000,
    "arrays in arrays that end": b"[" * 100_000 + b"]" * 100_000,
    "objects in objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "sequences in sequences": b'[{"0040A370":{"vr":"SQ","Value":' * 3000 + b"[]" + b"}}]" * 3000,
    "a long text": b'"' + b"x" * 5_000_000 + b'"',
    "a long number": b"[" + b"9" * 500_000 + b"]",
    "a large exponent": b'[{"path": 1e400, "level": 1e-400}]',
    "many members": json.dumps({f"{number:08X}": {"vr": "LO"} for number in range(40_000)}).encode(),
    "many entries": b"[" + b",".join([b"{}"] * 200_000) + b"]",
    "one name many times": b"{" + b",".join([b'"a":1'] * 100_000) + b"}",
    "no unicode": b'["\xff\xfe"]',
    "half a character": b'["\\ud800"]',
    "zeros": b"\0" * 100_000,
    "compressed": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + b"\0" * 100,
    "nothing": b"",
    "null": b"null",
    "another type": b"true",
}


@pytest.fixture(autouse=True)
def as_it_was(service: Service) -> Iterator[None]:
    """No fault in the log, and no memory that stays."""
    before = resident_bytes(service.pid)
    forget_peak(service.pid)
    yield
    lines = service.process.last_lines()
    assert not [fault for fault in FAULTS if fault in lines], lines
    assert resident_bytes(service.pid, "VmHWM") - before < MORE_BYTES


@pytest.fixture
async def client(service):
    async with httpx.AsyncClient(base_url=service.url, timeout=SECONDS, trust_env=False) as opened:
        yield opened


def refused(answer: httpx.Response) -> None:
    """A refusal with a text of our own; a 404 of what is not there is one, too."""
    assert 400 <= answer.status_code < 500, answer.text[:300]
    assert "Traceback" not in answer.text
    assert len(answer.content) < 5000


@pytest.mark.parametrize(("method", "path", "media_type"), BODIES, ids=lambda text: text.rpartition("/")[2])
async def test_json_made_to_do_harm_is_refused(client, method, path, media_type):
    for name, content in BOMBS.items():
        headers = {"Content-Type": media_type, "Accept": "*/*"}
        if name == "compressed":
            headers["Content-Encoding"] = "gzip"
        began = time.monotonic()
        refused(await client.request(method, path, content=content, headers=headers))
        assert time.monotonic() - began < SECONDS, name
    assert (await client.get("/health/live")).status_code == 200


async def test_a_dataset_of_lies_in_json_is_refused(client):
    lies = [
        {"00100010": {"vr": "PN", "Value": "Doe^Jane"}},
        {"00100010": {"vr": "PN", "Value": [{"Alphabetic": ["a"]}]}},
        {"00100010": {"vr": "??", "Value": [1]}},
        {"0010001": {"vr": "PN"}},
        {"00100010": {"vr": "SQ", "Value": [1, 2]}},
        {"7FE00010": {"vr": "OB", "BulkDataURI": "file:///etc/passwd"}},
        {"7FE00010": {"vr": "OW", "InlineBinary": "x" * 100_000}},
        {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "x" * 900_000}]}},
        {"00080018": {"vr": "UI", "Value": ["1.2\r\nSet-Cookie: a=b"]}},
    ]
    for lie in lies:
        update = {"studyInstanceUids": ["2.25.1"], "changeDataset": lie}
        refused(await client.post("/v2/studies/$bulkUpdate", json=update))
        headers = {"Content-Type": DICOM_JSON, "Accept": DICOM_JSON}
        refused(await client.post("/v2/workitems", content=json.dumps([lie]), headers=headers))


LONG = "x" * 6000
OVERLONG = [
    f"studies?PatientName={LONG}",
    f"studies?{LONG}=1",
    "studies?" + "&".join(f"includefield={number:08X}" for number in range(300)),
    "studies?" + "&".join("limit=1" for _ in range(900)),
    "studies?StudyInstanceUID=" + "%5C".join(["2.25.1"] * 600),
    "studies?limit=" + "9" * 5000,
    "studies?offset=" + "9" * 5000,
    f"studies?StudyDate={'1' * 3000}-{'2' * 3000}",
    f"changefeed?startTime={LONG}",
    f"operations/{LONG}",
    f"extendedquerytags/{LONG}",
    f"workitems/{'1.' * 2500}1",
    f"workitems?PatientName={LONG}",
    f"partitions/{LONG}/studies",
    "studies/2.25.1/series/2.25.1/instances/2.25.1/frames/" + ",".join(["1"] * 3000),
    "studies/2.25.1/series/2.25.1/instances/2.25.1/frames/" + "9" * 3000,
    f"studies/2.25.1/series/2.25.1/instances/2.25.1/rendered?quality={'9' * 3000}",
]


@pytest.mark.parametrize("path", OVERLONG, ids=lambda path: path[:24])
async def test_whatever_is_overlong_is_answered(client, version, path):
    answer = await client.get(f"/{version}/{path}", headers={"Accept": "*/*"})
    assert answer.status_code in (200, 204, 400, 404), answer.text[:300]
    assert answer.status_code == 200 or len(answer.content) < 5000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Accept", ",".join(["multipart/related; type=application/dicom; transfer-syntax=*"] * 300)),
        ("Accept", "a/b;" + ";".join(f"p{number}=1" for number in range(2000))),
        ("Accept", "," * 15_000),
        ("Accept", '"' * 15_000),
        ("If-None-Match", ",".join(['"1-1"'] * 3000)),
        ("Content-Type", "multipart/related; boundary=" + "b" * 10_000),
        ("Content-Type", "multipart/related; " + "; ".join(f"p{number}=1" for number in range(2000))),
        ("X-MS-AZUREDICOM-AUDIT-1", "x" * 2049),
        ("Range", "bytes=" + ",".join(["0-1"] * 3000)),
        ("Accept-Encoding", ",".join(["gzip;q=0.1"] * 1500)),
    ],
    ids=lambda text: text[:24],
)
async def test_an_overlong_header_costs_nothing(client, name, value):
    for method, path in (("GET", "/v2/studies/2.25.1/metadata"), ("POST", "/v2/studies")):
        began = time.monotonic()
        headers = {"Accept": DICOM_JSON, "Content-Type": related_type(), name: value}
        answer = await client.request(method, path, headers=headers, content=b"" if method == "GET" else b"--x--")
        assert answer.status_code in (204, 400, 404, 406, 415), answer.text[:300]
        assert time.monotonic() - began < SECONDS


@pytest.mark.parametrize("text", ["1.2\r\nSet-Cookie: a=b", "1.2\nX: y", "1.2\0", "1.2\x7f", "1.2\u2028"])
async def test_no_uid_gets_a_line_into_a_header(client, service, version, text):
    quoted = "".join(f"%{byte:02x}" for byte in text.encode())
    paths = [
        f"/{version}/studies/{quoted}/metadata",
        f"/{version}/workitems/{quoted}",
        f"/{version}/operations/{quoted}",
        f"/{version}/partitions/{quoted}/studies",
        f"/{version}/extendedquerytags/{quoted}",
    ]
    for path in paths:
        answer = await raw(service, head_of(service, path, "Accept: */*", method="GET"))
        assert answer.status in (400, 404), path
        assert "set-cookie" not in answer.headers
        assert "x" not in answer.headers
    body = [{"00741204": {"vr": "LO", "Value": ["x"]}}]
    headers = {"Content-Type": DICOM_JSON, "Accept": DICOM_JSON}
    answer = await client.post(f"/{version}/workitems?{quoted}", json=body, headers=headers)
    refused(answer)
    assert "set-cookie" not in answer.headers
    stored = await store(client, f"/{version}", [synthetic_instance(extra={"PatientComments": text})])
    assert "set-cookie" not in stored.headers
    assert stored.status_code < 500


async def slowly(service: Service, content: bytes, stop: asyncio.Event) -> None:
    """Send a request a few bytes at a time, for as long as it is let."""
    head = head_of(service, "/v2/studies", f"Content-Type: {related_type()}", "Content-Length: 100000")
    with contextlib.suppress(ConnectionError):
        async with connected(service) as (_, writer):
            for byte in head + content:
                writer.write(bytes([byte]))
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), 0.02)
                if stop.is_set():
                    return


async def test_clients_that_send_slowly_hold_up_nobody(client, service):
    stop = asyncio.Event()
    half = related_body_begin()
    slow = [asyncio.create_task(slowly(service, half, stop)) for _ in range(150)]
    await asyncio.sleep(1)
    began = time.monotonic()
    for _ in range(5):
        assert await works(client, "v2")
    assert time.monotonic() - began < SECONDS
    stop.set()
    await asyncio.gather(*slow)
    assert await works(client, "v2")


def related_body_begin() -> bytes:
    return b"--0f3cf5c0-70e0-41ef-baef-c6f9f65ec3e1\r\nContent-Type: application/dicom\r\n\r\n" + made().content


@pytest.mark.slow
async def test_a_hundred_thousand_parts_are_a_hundred_thousand_failures(client):
    answer = await store(client, "/v2", [b""] * 100_000)
    assert answer.status_code == 409
    assert failure_reasons(answer.json()) == [43264] * 100_000
    assert await works(client, "v2")


async def test_a_hundred_thousand_boundaries_without_parts_are_refused(client):
    body = b"--0f3cf5c0-70e0-41ef-baef-c6f9f65ec3e1\r\n" * 100_000
    headers = {"Content-Type": related_type(), "Accept": DICOM_JSON}
    refused(await client.post("/v2/studies", content=body, headers=headers))
    assert await works(client, "v2")
