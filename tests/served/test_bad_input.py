"""Bad input through real HTTP: it gets a clear 4xx, nothing refused is kept, nothing hangs, the service lives on."""

from __future__ import annotations

import asyncio
import time
import warnings
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from pydicom import config
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from tests.support.clients import (
    ANY_PARTS,
    BOUNDARY,
    DICOM_JSON,
    SUPPORTED,
    Made,
    comments,
    connected,
    failed_items,
    failure_reasons,
    head_of,
    made,
    new_uid,
    raw,
    raw_answer,
    related,
    related_type,
    store,
    stored_uids,
)
from tests.support.files import synthetic_instance
from tests.support.served import Service, started
from tests.support.storage import fresh_account

pytestmark = [pytest.mark.served, pytest.mark.azurite]

UID_TAGS = {
    "StudyInstanceUID": "0020,000d",
    "SeriesInstanceUID": "0020,000e",
    "SOPInstanceUID": "0008,0018",
    "SOPClassUID": "0008,0016",
}
# Lines of the host's log that would tell of a fault of the service's own.
FAULTS = ("unexpected error", "stream failed", "undeclared status", "Traceback", "answered before it had read")
LIMIT_BYTES = 100_000


@pytest.fixture(autouse=True)
def no_fault_in_the_log(service: Service) -> Iterator[None]:
    yield
    lines = service.process.last_lines()
    assert not [fault for fault in FAULTS if fault in lines], lines


def refused(answer: httpx.Response, status: int) -> None:
    """A refusal that a client can understand: the status, a text that says why, and the version headers."""
    assert answer.status_code == status, answer.text
    assert answer.headers["api-supported-versions"] == SUPPORTED
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert len(answer.text) > 10


async def is_stored(client: httpx.AsyncClient, version: str, instance: Made) -> bool:
    answer = await client.get(f"/{version}{instance.path}", headers={"Accept": ANY_PARTS})
    assert answer.status_code in (200, 404)
    return answer.status_code == 200 and instance.content in answer.content


async def works(client: httpx.AsyncClient, version: str) -> bool:
    """Whether the service still stores and gives back."""
    instance = made()
    answer = await store(client, f"/{version}", [instance.content])
    return answer.status_code == 200 and await is_stored(client, version, instance)


def odd_instance(**extra: object) -> bytes:
    """An instance with values that pydicom itself would not write."""
    with warnings.catch_warnings(), config.disable_value_validation():
        warnings.simplefilter("ignore")
        return synthetic_instance(extra=extra)


async def test_bytes_that_are_no_dicom_file_fail_with_nothing_but_the_reason(client, version):
    contents = [
        b"",
        b"\r\n",
        b"hello",
        bytes(131),
        bytes(200),
        b"\xff\xd8\xff\xe0" * 50,
        b"DICM" * 40,
        b"PK\x03\x04" * 99,
    ]
    answer = await store(client, f"/{version}", contents)
    assert answer.status_code == 409
    assert failed_items(answer.json()) == [{"00081197": {"vr": "US", "Value": [43264]}}] * len(contents)
    assert answer.json().keys() == {"00081198"}


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        JPEG2000Lossless,
    ],
    ids=lambda uid: uid.keyword,
)
async def test_a_truncated_file_is_refused_wherever_it_ends(client, version, syntax):
    whole = made(transfer_syntax=syntax, frames=3)
    size = len(whole.content)
    # Elements have even lengths, so an odd place is always in the middle of one. Pixel data is the end of the file; the
    # last byte of all may be padding behind a deflated data set.
    cuts = sorted({at | 1 for at in (50, 129, 133, 145, 201, *range(301, size - 4, size // 12))} | {size - 3})
    answer = await store(client, f"/{version}", [whole.content[:cut] for cut in cuts])
    assert answer.status_code == 409
    assert failure_reasons(answer.json()) == [43264] * len(cuts)
    assert not await is_stored(client, version, whole)


async def test_encapsulated_pixel_data_without_its_end_is_refused(client, version):
    whole = made(transfer_syntax=JPEG2000Lossless)
    assert whole.content.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0")
    answer = await store(client, f"/{version}", [whole.content[:-8]])
    assert failure_reasons(answer.json()) == [43264]
    assert not await is_stored(client, version, whole)


@pytest.mark.parametrize("keyword", UID_TAGS)
async def test_a_uid_that_is_missing_or_no_uid_is_refused_by_name(client, version, keyword):
    values = [None, "", "1." + "2" * 63, "1.2.abc", "1.2.3.", ["1.2.3", "1.2.4"], "1.2/..", "1.2 3"]
    answer = await store(client, f"/{version}", [odd_instance(**{keyword: value}) for value in values])
    assert answer.status_code == 409
    assert failure_reasons(answer.json()) == [43264] * len(values)
    for item in failed_items(answer.json()):
        assert any(text.startswith(f"DICOM100: ({UID_TAGS[keyword]}) - ") for text in comments(item))


async def test_a_missing_patient_id_is_refused_in_every_version(client, version):
    answer = await store(client, f"/{version}", [odd_instance(PatientID=None)])
    assert answer.status_code == 409
    (item,) = failed_items(answer.json())
    assert [text.partition(" - ")[0] for text in comments(item)] == ["DICOM100: (0010,0020)"]


BAD_UIDS = ["1" * 65, "1.2.abc", "1.2.", "abc", "1,2", "%20", "1.2%0A", "1.2.3%20%20x", "..1x", "%D9%A1.%D9%A2"]


@pytest.mark.parametrize("uid", BAD_UIDS)
async def test_a_bad_uid_in_the_path_is_400(client, version, uid):
    study = new_uid()
    for path in (
        f"/studies/{uid}",
        f"/studies/{uid}/metadata",
        f"/studies/{study}/series/{uid}",
        f"/studies/{study}/series/{uid}/metadata",
        f"/studies/{study}/series/{study}/instances/{uid}",
        f"/studies/{study}/series/{study}/instances/{uid}/metadata",
    ):
        refused(await client.get(f"/{version}{path}"), 400)


async def test_a_store_to_a_bad_study_uid_is_400_and_stores_nothing(client, version):
    instance = made()
    refused(await store(client, f"/{version}", [instance.content], "1.2.abc"), 400)
    assert not await is_stored(client, version, instance)


async def test_another_study_than_the_one_in_the_url_fails_with_43264(client, version):
    instance = made()
    answer = await store(client, f"/{version}", [instance.content], new_uid())
    assert answer.status_code == 409
    assert failure_reasons(answer.json()) == [43264]
    assert comments(failed_items(answer.json())[0])[0].startswith("DICOM100: (0020,000d)")
    assert "00081190" not in answer.json()
    assert not await is_stored(client, version, instance)


async def test_good_and_bad_parts_are_answered_one_by_one(client, version):
    good, other = made(), made()
    nameless = odd_instance(SOPInstanceUID=None)
    parts = [good.content, b"garbage", nameless, other.content, other.content[:-7], good.content]
    answer = await store(client, f"/{version}", parts)
    assert answer.status_code == 202
    assert stored_uids(answer.json()) == [good.sop_instance_uid, other.sop_instance_uid]
    assert failure_reasons(answer.json()) == [43264, 43264, 43264, 45070]
    assert await is_stored(client, version, good)
    assert await is_stored(client, version, other)


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        (related_type("another-boundary"), 400),
        (related_type("0f3cf5c0"), 400),
        ('multipart/related; type="application/dicom"', 415),
        ('multipart/related; boundary=""', 415),
        ("multipart/related; boundary=" + "x" * 257, 415),
        (f"multipart/related; boundary={BOUNDARY}; start=<1>", 400),
        (f'multipart/related; boundary={BOUNDARY}; start="one"', 400),
        (f"multipart/form-data; boundary={BOUNDARY}", 415),
        (f"multipart/mixed; boundary={BOUNDARY}", 415),
        ("text/plain", 415),
        ("application/json", 415),
        ("application/dicom+json", 415),
        ("application/octet-stream", 415),
        ("dicom", 415),
        (";;;", 415),
        ("", 415),
        ('multipart/related; boundary="unclosed', 415),
    ],
)
async def test_a_content_type_that_does_not_fit_is_refused_and_nothing_is_stored(client, version, content_type, status):
    instance = made()
    body = related([instance.content])
    headers = {"Content-Type": content_type, "Accept": DICOM_JSON}
    refused(await client.post(f"/{version}/studies", content=body, headers=headers), status)
    assert not await is_stored(client, version, instance)


async def test_no_content_type_at_all_is_415(client, version):
    answer = await client.post(f"/{version}/studies", content=related([made().content]))
    refused(answer, 415)


HEADS = {
    "text": (b"Content-Type: text/plain", 415),
    "json": (b"Content-Type: application/dicom+json", 415),
    "malformed type": (b"Content-Type: dicom", 415),
    "no colon": (b"Content-Type application/dicom", 400),
    "control character": (b"Content-Type: application/dicom\x01", 400),
    "too many lines": (b"\r\n".join([b"X-A: b"] * 65), 400),
    "too long": (b"X-A: " + b"b" * 20_000, 400),
}


@pytest.mark.parametrize("head", HEADS)
async def test_a_part_with_headers_that_do_not_fit_refuses_the_whole_request(client, version, head):
    instance = made()
    heads = [b"Content-Type: application/dicom", HEADS[head][0]]
    body = related([instance.content, made().content], heads=heads)
    headers = {"Content-Type": related_type(), "Accept": DICOM_JSON}
    refused(await client.post(f"/{version}/studies", content=body, headers=headers), HEADS[head][1])
    assert not await is_stored(client, version, instance)


async def test_only_the_first_part_takes_its_type_from_the_request(client, version):
    first, second = made(), made()
    headers = {"Content-Type": related_type(), "Accept": DICOM_JSON}
    alone = await client.post(f"/{version}/studies", content=related([first.content], heads=[b""]), headers=headers)
    assert alone.status_code == 200
    assert await is_stored(client, version, first)
    body = related([second.content, made().content], heads=[b"", b""])
    refused(await client.post(f"/{version}/studies", content=body, headers=headers), 415)
    assert not await is_stored(client, version, second)


async def test_a_part_without_a_type_is_415_when_the_request_names_none(client, version):
    headers = {"Content-Type": f"multipart/related; boundary={BOUNDARY}", "Accept": DICOM_JSON}
    body = related([made().content], heads=[b"X-Other: 1"])
    refused(await client.post(f"/{version}/studies", content=body, headers=headers), 415)


NO_PARTS = {
    "empty multipart": (related_type(), b""),
    "closing boundary only": (related_type(), f"--{BOUNDARY}--\r\n".encode()),
    "preamble and closing boundary": (related_type(), f"hello\r\n--{BOUNDARY}--".encode()),
    "empty file": ("application/dicom", b""),
    "as .NET frames no part": (related_type(), f"--{BOUNDARY}\r\n\r\n--{BOUNDARY}--\r\n".encode()),
}


@pytest.mark.parametrize("kind", NO_PARTS)
async def test_a_body_without_any_part_is_204(client, version, kind):
    content_type, body = NO_PARTS[kind]

    async def chunked() -> AsyncIterator[bytes]:
        yield body

    for content in (body, chunked()):
        headers = {"Content-Type": content_type, "Accept": DICOM_JSON}
        answer = await client.post(f"/{version}/studies", content=content, headers=headers)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["api-supported-versions"] == SUPPORTED


async def test_a_body_that_is_never_closed_is_400_and_stores_nothing(client, version):
    instance = made()
    headers = {"Content-Type": related_type(), "Accept": DICOM_JSON}
    closing = len(f"\r\n--{BOUNDARY}--")
    for body in (related([instance.content])[:-closing], related([instance.content])[:-2]):
        refused(await client.post(f"/{version}/studies", content=body, headers=headers), 400)
    assert not await is_stored(client, version, instance)


@pytest.mark.parametrize(
    "accept", ["application/dicom", "application/dicom+xml", "image/jpeg", "text/html", "nonsense"]
)
async def test_an_accept_that_cannot_be_met_is_406_before_the_body_is_looked_at(client, version, accept):
    instance = made()
    refused(await store(client, f"/{version}", [instance.content], Accept=accept), 406)
    refused(await store(client, f"/{version}", [b"garbage"], Accept=accept), 406)
    assert not await is_stored(client, version, instance)


async def test_a_less_than_sign_in_the_query_is_400_everywhere(client, service, version):
    for path in ("studies", f"studies/{new_uid()}", "api.yaml", "nothing/here"):
        refused(await client.get(f"/{version}/{path}?a=%3Cb"), 400)
    answer = await raw(service, head_of(service, f"/{version}/studies/1.2?<script>", method="GET"))
    assert answer.status == 400


PATH_TRICKS = [
    "/studies/%2e%2e/%2e%2e/etc/passwd",
    "/../../../etc/passwd",
    "/studies/..%2f..%2fetc",
    "//studies/1.2",
    "/studies//metadata",
    "/studies%2F1.2.3",
    "/studies/1.2.3%2Fmetadata",
    "/studies/1.2%5C..%5C3",
    "/studies/1.2%00",
    "/studies/1.2%0d%0aSet-Cookie:x",
    "/studies/1.2;x=1",
    "/studies/%",
    "/studies/%zz",
    "/studies/%ff%fe",
    "/studies/%c0%af",
    "/partitions/../studies/1.2",
    "/partitions/%2e%2e/studies/1.2",
    "/partitions/a%2Fb/studies/1.2",
    "/studies/" + "1" * 5000,
    "/studies/1.2/series/1.3/instances/1.4/metadata/more",
    "/api.yaml/..%2f..%2ffunction_app.py",
    "/studies/1.2*",
    "/studies/'or'1'eq'1",
]


@pytest.mark.parametrize("path", PATH_TRICKS)
async def test_a_path_with_a_trick_in_it_finds_nothing(service, version, path):
    answer = await raw(service, head_of(service, f"/{version}{path}", method="GET"))
    assert answer.status in (400, 404)
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "lines",
    [
        ["X-Long: " + "x" * 40_000],
        ["X-Long: " + "x" * 200_000],
        [f"X-{number}: y" for number in range(150)],
        ["X-Bad\x00: y"],
        ["No colon here"],
        ["Content-Length: -5"],
        ["Content-Length: abc"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Transfer-Encoding: gzip"],
    ],
    ids=lambda lines: lines[0][:24],
)
async def test_headers_that_are_too_many_or_broken_are_answered_and_the_service_goes_on(client, service, lines):
    answer = await raw(service, head_of(service, "/v2/studies", *lines))
    assert 400 <= answer.status < 500 or answer.status == 501
    assert await works(client, "v2")


@pytest.mark.parametrize("host", ["", "a b", "evil.example/path", "x\x7f", "<script>", "a" * 300])
async def test_a_host_header_that_is_no_host_does_not_get_into_urls(service, version, host):
    body = related([made().content])
    lines = [f"POST /{version}/studies HTTP/1.1", f"Host: {host}", f"Content-Type: {related_type()}"]
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode("latin-1")
    answer = await raw(service, head + body)
    assert answer.status == 400


def length_head(service: Service, version: str, length: int, content_type: str = "") -> bytes:
    lines = [f"Content-Type: {content_type or related_type()}", f"Accept: {DICOM_JSON}", f"Content-Length: {length}"]
    return head_of(service, f"/{version}/studies", *lines)


async def cut(service: Service, head: bytes, sent: bytes) -> None:
    """Send a part of a request and go away."""
    async with connected(service) as (_, writer):
        writer.write(head)
        await writer.drain()
        for start in range(0, len(sent), 65536):
            writer.write(sent[start : start + 65536])
            await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("pixel_bytes", [1000, 9_000_000], ids=["small", "staged in blocks"])
async def test_a_body_that_the_client_cuts_stores_nothing(client, service, version, pixel_bytes):
    first, second = made(pixel_bytes=pixel_bytes), made()
    body = related([first.content, second.content])
    # In the middle of the second part, and just before the closing boundary ends.
    for end in (len(body) - 400, len(body) - 1):
        await cut(service, length_head(service, version, len(body)), body[:end])
    assert await works(client, version)
    assert not await is_stored(client, version, first)
    assert not await is_stored(client, version, second)


async def test_a_chunked_body_that_the_client_cuts_stores_nothing(client, service, version):
    instance = made()
    body = related([instance.content])
    lines = [f"Content-Type: {related_type()}", f"Accept: {DICOM_JSON}", "Transfer-Encoding: chunked"]
    head = head_of(service, f"/{version}/studies", *lines)
    # The body is whole; only the chunk that says so is missing.
    await cut(service, head, f"{len(body):x}\r\n".encode() + body + b"\r\n")
    await cut(service, head, f"{len(body):x}\r\n".encode() + body[:-300])
    assert await works(client, version)
    assert not await is_stored(client, version, instance)


async def test_a_single_file_that_the_client_cuts_stores_nothing(client, service, version):
    instance = made()
    head = length_head(service, version, len(instance.content) + 10, "application/dicom")
    await cut(service, head, instance.content)
    assert await works(client, version)
    assert not await is_stored(client, version, instance)


async def test_chunk_framing_that_is_broken_stores_nothing(client, service, version):
    instance = made()
    lines = [f"Content-Type: {related_type()}", "Transfer-Encoding: chunked"]
    body = related([instance.content])
    request = head_of(service, f"/{version}/studies", *lines) + f"{len(body):x}\r\n".encode() + body + b"\r\nzz\r\n"
    answer = await raw(service, request)
    assert answer.status in (0, 400)
    assert not await is_stored(client, version, instance)


async def test_the_boundarys_text_inside_pixel_data_is_pixel_data(client, version):
    mark = f"--{BOUNDARY}".encode()
    lures = b"x".join(
        [
            mark,
            b"\n" + mark + b"\r\n",
            b"\r" + mark + b"--",
            b"\r\n" + mark + b"x\r\n",
            mark + b"\r\n",
            b"\r\n" + mark[:-1] + b"\r\n\r\n--\r\n-",
        ]
    )
    lures += b" " * (len(lures) % 2)
    instance = made(extra={"PixelData": lures, "Rows": 1, "Columns": len(lures) // 2})
    other = made()
    answer = await store(client, f"/{version}", [instance.content, other.content])
    assert stored_uids(answer.json()) == [instance.sop_instance_uid, other.sop_instance_uid]
    assert await is_stored(client, version, instance)


@pytest.fixture(scope="module")
def narrow(azurite) -> Iterator[Service]:
    """A host that takes small requests only."""
    account = fresh_account(azurite.connection_string)
    with started({"DICOM_STORAGE": account, "DICOM_MAX_REQUEST_BYTES": str(LIMIT_BYTES)}) as running:
        yield running


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
async def test_a_request_over_the_limit_is_413_and_stores_nothing(narrow, version, chunked):
    first = made()

    async def pieces(body: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(body), 20_000):
            yield body[start : start + 20_000]

    async with httpx.AsyncClient(base_url=narrow.url, timeout=30, trust_env=False) as client:
        for size in (LIMIT_BYTES, 40 * LIMIT_BYTES):
            body = related([first.content, made(pixel_bytes=size).content])
            headers = {"Content-Type": related_type(), "Accept": DICOM_JSON}
            content = pieces(body) if chunked else body
            answer = await client.post(f"/{version}/studies", content=content, headers=headers)
            refused(answer, 413)
            assert str(LIMIT_BYTES) in answer.text
        assert not await is_stored(client, version, first)
        assert (await store(client, f"/{version}", [first.content])).status_code == 200


async def test_a_request_of_exactly_the_limit_is_taken(narrow, version):
    frame = len(related([made(columns=1).content]))
    instance = made(columns=1, extra={"ImageComments": "x" * 200})
    body = related([instance.content])
    assert frame < len(body) < LIMIT_BYTES
    # A preamble is part of the request, and of nothing else.
    body = b"x" * (LIMIT_BYTES - len(body)) + body
    async with httpx.AsyncClient(base_url=narrow.url, timeout=30, trust_env=False) as client:
        headers = {"Content-Type": related_type(), "Accept": DICOM_JSON}
        assert (await client.post(f"/{version}/studies", content=b"x" + body, headers=headers)).status_code == 413
        assert not await is_stored(client, version, instance)
        assert (await client.post(f"/{version}/studies", content=body, headers=headers)).status_code == 200
        assert await is_stored(client, version, instance)


async def test_a_client_that_asks_before_it_sends_too_much_gets_413(narrow, version):
    lines = [f"Content-Type: {related_type()}", f"Accept: {DICOM_JSON}", "Expect: 100-continue"]
    request = head_of(narrow, f"/{version}/studies", *lines, f"Content-Length: {LIMIT_BYTES + 1}")
    async with asyncio.timeout(15), connected(narrow) as (reader, writer):
        writer.write(request)
        answer = await raw_answer(reader)
        if answer.status == 100:
            writer.write(bytes(LIMIT_BYTES + 1))
            answer = await raw_answer(reader)
    assert answer.status == 413


def bomb(element: bytes, zeros: int) -> Made:
    """A small deflated file that inflates to more than `zeros` bytes: the start of a value that goes on in zeros."""
    instance = made(transfer_syntax=DeflatedExplicitVRLittleEndian)
    plain = made(**{name: getattr(instance, name) for name in ("study_uid", "series_uid", "sop_instance_uid")})
    start = instance.content.index(b"\x02\x00\x10\x00UI")
    start += 8 + instance.content[start + 6]
    while instance.content[start : start + 2] == b"\x02\x00":
        start += 8 + int.from_bytes(instance.content[start + 6 : start + 8], "little")
    pixels = plain.content.index(b"\xe0\x7f\x10\x00OW")
    data_set = plain.content[plain.content.index(b"\x08\x00\x05\x00CS") : pixels] + element
    deflate = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    packed = deflate.compress(data_set) + deflate.flush(zlib.Z_FULL_FLUSH)
    block = deflate.compress(bytes(1 << 20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    # After a full flush a block stands on its own, so one can be repeated without compressing it again.
    content = instance.content[:start] + packed + block * (zeros >> 20) + deflate.flush()
    return Made(instance.study_uid, instance.series_uid, instance.sop_instance_uid, content)


def resident_bytes(pid: int, what: str = "VmRSS") -> int:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) * 1024


def forget_peak(pid: int) -> None:
    """Let the peak of a process's memory begin anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


BOMBS = {
    "pixel data": (b"\xe0\x7f\x10\x00OW\0\0" + (0xFFFFFFF0).to_bytes(4, "little"), 1100 << 20),
    "text": (b"\x40\x00\x60\xa1UT\0\0" + (0x7FFFFFF0).to_bytes(4, "little"), 300 << 20),
    "elements": (b"", 300 << 20),
}


@pytest.mark.parametrize("kind", [pytest.param("pixel data", marks=pytest.mark.slow), "text", "elements"])
async def test_a_deflate_bomb_is_refused_without_taking_the_service_down(client, service, kind):
    instance = bomb(*BOMBS[kind])
    assert len(instance.content) < 2_000_000
    before = resident_bytes(service.pid)
    forget_peak(service.pid)
    storing = asyncio.create_task(store(client, "/v2", [instance.content]))
    slowest = 0.0
    while not storing.done():
        began = time.perf_counter()
        assert (await client.get("/health/live")).status_code == 200
        slowest = max(slowest, time.perf_counter() - began)
        await asyncio.sleep(0.01)
    answer = await storing
    assert answer.status_code == 409
    assert failure_reasons(answer.json()) == [43264]
    assert slowest < 10  # a hang, not a speed
    assert resident_bytes(service.pid, "VmHWM") - before < 128 << 20
    assert not await is_stored(client, "v2", instance)


def nested(depth: int, *, ended: bool) -> bytes:
    """An instance with sequences in sequences."""
    content = made().content
    pixels = content.index(b"\xe0\x7f\x10\x00OW")
    opening = b"\x40\x00\x30\xa7SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    closing = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    return content[:pixels] + opening * depth + (closing * depth if ended else b"") + content[pixels:]


async def test_deeply_nested_sequences_are_refused_and_usual_ones_are_not(client, version):
    answer = await store(client, f"/{version}", [nested(10_000, ended=True), nested(10_000, ended=False)])
    assert failure_reasons(answer.json()) == [43264, 43264]
    assert (await store(client, f"/{version}", [nested(20, ended=True)])).status_code == 200


async def test_ten_thousand_empty_parts_are_ten_thousand_failures(client):
    answer = await store(client, "/v2", [b""] * 10_000)
    assert answer.status_code == 409
    assert failure_reasons(answer.json()) == [43264] * 10_000


async def test_part_headers_that_never_end_are_400(client, version):
    instance = made()
    body = related([instance.content])[: -len(f"\r\n--{BOUNDARY}--")]
    body += f"\r\n--{BOUNDARY}\r\n".encode() + b"X-Line: more\r\n" * 100_000
    headers = {"Content-Type": related_type(), "Accept": DICOM_JSON}
    refused(await client.post(f"/{version}/studies", content=body, headers=headers), 400)
    assert not await is_stored(client, version, instance)


async def test_values_that_lie_about_their_length_are_refused(client, version):
    content = made().content
    at = content.index(b"\x10\x00\x10\x00PN")
    longer = content[: at + 6] + b"\xff\xff" + content[at + 8 :]
    pixels = content.index(b"\xe0\x7f\x10\x00OW") + 8
    endless = content[:pixels] + b"\xf0\xff\xff\xff" + content[pixels + 4 :]
    answer = await store(client, f"/{version}", [longer, endless])
    assert failure_reasons(answer.json()) == [43264, 43264]
