"""Reading and writing `multipart/related`, whatever the chunks and the contents look like."""

import email
import email.policy
import re
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from dicomweb_client.web import DICOMwebClient
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import ClientGone, MalformedBody, UnsupportedMediaType
from shared.wire.media import parse_content_type
from shared.wire.multipart import (
    MAX_HEAD_BYTES,
    MAX_HEAD_LINES,
    boundary_of,
    closing,
    new_boundary,
    part_head,
    read_parts,
    related_content_type,
)

# No deadline: a busy machine must not turn a passing example into a failing one.
quick = settings(max_examples=50, deadline=None)

BOUNDARY = "B-1"
TWO_UUIDS = "6501b2f8-bfb1-4542-927d-23403ff16435-6501b2f8-bfb1-4542-927d-23403ff16435"
NEAR_BOUNDARIES = [
    b"\r",
    b"\n",
    b"\r\n",
    b"-",
    b"--",
    b"\r\n--",
    b"\r\n--B-",
    b"--B-1",
    b"--B-1--",
    b"\n--B-1\r\n",
    b"\r\n--B-1x",
    b"\r\n--B-1 x",
    b"\r\n-B-1",
    b" ",
    b"\t",
    b"x",
    b"\x00\xff",
    b"B-1",
]

contents = st.lists(st.one_of(st.sampled_from(NEAR_BOUNDARIES), st.binary(max_size=8)), max_size=8).map(b"".join)


def holds_a_delimiter(content: bytes) -> bool:
    """Whether RFC 2046 forbids the content: a line that is the boundary, or begins with the closing one."""
    return re.search(rb"(?:\A|\r\n)--B-1(?:--|[ \t]*\r?\n)", content + b"\r\n") is not None


lists_of_contents = st.lists(contents.filter(lambda content: not holds_a_delimiter(content)), max_size=5)


async def in_chunks(body: bytes, cuts: list[int]) -> AsyncIterator[bytes]:
    start = 0
    for end in [*sorted(cut % (len(body) + 1) for cut in cuts), len(body)]:
        yield body[start:end]  # equal cuts make empty chunks, which mean nothing
        start = end


async def in_steps(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


def written(parts: list[bytes], boundary: str = BOUNDARY, content_type: str = "application/dicom") -> bytes:
    pieces = []
    for number, content in enumerate(parts):
        pieces += [part_head(boundary, content_type, first=number == 0), content]
    return b"".join([*pieces, closing(boundary)])


async def read(body: bytes, size: int = 65536, boundary: str = BOUNDARY) -> list[tuple[str | None, bytes]]:
    return await collect(in_steps(body, size), boundary)


async def collect(body: AsyncIterator[bytes], boundary: str = BOUNDARY) -> list[tuple[str | None, bytes]]:
    return [
        (part.headers.get("content-type"), b"".join([chunk async for chunk in part]))
        async for part in read_parts(body, boundary)
    ]


@quick
@given(lists_of_contents, st.lists(st.integers(0, 2000), max_size=12))
async def test_any_contents_come_back_from_any_chunks(parts, cuts):
    assert await collect(in_chunks(written(parts), cuts)) == [("application/dicom", content) for content in parts]


@quick
@given(lists_of_contents)
async def test_any_contents_come_back_from_single_bytes(parts):
    assert await read(written(parts), 1) == [("application/dicom", content) for content in parts]


@quick
@given(lists_of_contents, st.lists(st.booleans(), min_size=5, max_size=5), st.integers(1, 40))
async def test_unread_parts_are_skipped(parts, wanted, size):
    kept: list[bytes | None] = []
    async for part in read_parts(in_steps(written(parts), size), BOUNDARY):
        if wanted[len(kept)]:
            kept.append(b"".join([chunk async for chunk in part]))
        else:
            kept.append(None)
    assert kept == [content if keep else None for content, keep in zip(parts, wanted, strict=False)]


@quick
@given(lists_of_contents.filter(bool), st.integers(1, 40), st.data())
async def test_cut_body_is_never_taken_for_a_whole_one(parts, size, data):
    body = written(parts)
    whole = len(body) - len("\r\n")  # the line end after the closing boundary carries nothing
    cut = data.draw(st.integers(1, whole - 1))
    with pytest.raises(MalformedBody):
        await read(body[:cut], size)


@quick
@given(st.lists(st.one_of(st.sampled_from([*NEAR_BOUNDARIES, b"\r\n--B-1\r\n", b"A: b\r\n"]), st.binary())))
async def test_any_bytes_are_parts_or_malformed(pieces):
    body = b"".join(pieces)
    try:
        parts = await read(body, 7)
    except MalformedBody:
        return
    assert not body or len(parts) == len(re.findall(rb"\r\n--B-1[ \t]*\r?\n", b"\r\n" + body.split(b"\r\n--B-1--")[0]))


@quick
@given(st.lists(st.text("abc \t-\u00e4", max_size=30).map(str.encode), min_size=1, max_size=4))
async def test_reading_agrees_with_the_email_package(parts):
    body = written(parts, content_type="text/plain; charset=utf-8")
    head = f"MIME-Version: 1.0\r\nContent-Type: {related_content_type(BOUNDARY, 'text/plain')}\r\n\r\n"
    message = email.message_from_bytes(head.encode() + body, policy=email.policy.SMTP)
    by_email = [part.get_payload(decode=True) for part in message.iter_parts()]
    assert [content for _, content in await read(body, 11)] == by_email == parts


@pytest.fixture(scope="module")
def dicomweb_client() -> Any:
    return DICOMwebClient("http://localhost")


binaries = st.lists(st.binary(max_size=50), min_size=1, max_size=4)


@quick
@given(binaries)
async def test_what_dicomweb_client_sends_is_read(dicomweb_client, parts):
    content_type = 'multipart/related; type="application/dicom"; boundary="0f3cf5c0-70e0"'
    body = dicomweb_client._encode_multipart_message(parts, content_type)
    boundary = boundary_of(parse_content_type(content_type))
    assert await read(body, 13, boundary) == [("application/dicom", content) for content in parts]


@quick
@given(binaries.filter(all), st.booleans())
def test_what_is_written_dicomweb_client_reads(dicomweb_client, parts, stream):
    boundary = new_boundary()
    body = written(parts, boundary, "application/dicom; transfer-syntax=1.2.840.10008.1.2.1")

    class Response(SimpleNamespace):
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    response = Response(
        headers={"content-type": related_content_type(boundary, "application/dicom")},
        content=body,
        iter_content=lambda chunk_size: (body[start : start + 5] for start in range(0, len(body), 5)),
    )
    assert [bytes(part) for part in dicomweb_client._decode_multipart_message(response, stream=stream)] == parts


@pytest.mark.parametrize(
    "body", [b"", b"--B-1--", b"--B-1--\r\n", b"\r\n--B-1--\r\n", b"preamble\r\n--B-1-- \r\nepilogue"]
)
async def test_body_without_parts_gives_none(body):
    assert await read(body) == []
    assert await read(body, 1) == []


async def test_body_of_no_chunks_or_empty_chunks_has_no_parts():
    assert await collect(in_chunks(b"", [0, 0])) == []


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (b"a preamble\r\n--B-1\r\nContent-Type: a/b\r\n\r\nx\r\n--B-1--\r\nan epilogue", [("a/b", b"x")]),
        (b"--B-1\r\nContent-Type: a/b\r\n\r\nx\r\n--B-1--\r\n--B-1\r\nContent-Type: a/b\r\n\r\ny", [("a/b", b"x")]),
        (b"--B-1\r\nContent-Type: a/b\r\n\r\n\r\n--B-1--", [("a/b", b"")]),
        # the blank line and the delimiter share their line end
        (b"--B-1\r\nContent-Type: a/b\r\n\r\n--B-1\r\n\r\n--B-1--", [("a/b", b""), (None, b"")]),
        (b"--B-1\r\n\r\nx\r\n--B-1--", [(None, b"x")]),
        # line ends without CR in the head; never in front of a delimiter
        (b"--B-1\nContent-Type: a/b\nX: y\n\n\n--B-1\nx\r\n--B-1--", [("a/b", b"\n--B-1\nx")]),
        # padding behind the boundary
        (b"--B-1 \t\r\nContent-Type: a/b\r\n\r\nx\r\n--B-1\t\r\n\r\ny\r\n--B-1-- ", [("a/b", b"x"), (None, b"y")]),
        # case, spaces, folding, further headers as curl sends them
        (
            b"--B-1\r\nContent-Disposition: form-data;\r\n name=file\r\n"
            b"content-TYPE :  a/b;\r\n\tc=d \r\n\r\nx\r\n--B-1--",
            [("a/b; c=d", b"x")],
        ),
        (b"--B-1\r\nContent-Type:\r\n\r\nx\r\n--B-1--", [("", b"x")]),
    ],
)
async def test_forms_of_framing(body, parts, size):
    assert await read(body, size) == parts


async def test_all_headers_of_a_part_are_kept():
    body = b"--B-1\r\nContent-Location: \xe4\r\nX: 1\r\nx: 2\r\n\r\n\r\n--B-1--"
    async for part in read_parts(in_steps(body, 9), BOUNDARY):
        assert part.headers.get("content-location") == "\u00e4"
        assert part.headers.joined("X") == "1, 2"


@pytest.mark.parametrize("size", [1, 3, 100_000])
@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"just a file", "does not occur"),
        (b"\r\n", "does not occur"),
        (b"--other\r\nContent-Type: a/b\r\n\r\nx\r\n--other--", "does not occur"),
        (b"x--B-1--", "does not occur"),
        (b"--B-1", "does not occur"),
        (b"--B-1\r\n", "Part 1: the body ends within its headers"),
        (b"--B-1\r\nContent-Type: a/b\r\n", "Part 1: the body ends within its headers"),
        (b"--B-1\r\nContent-Type: a/b\r\n\r\nx", "Part 1: the body ends before"),
        (b"--B-1\r\n\r\nx\r\n--B-1\r\n\r\ny\r\n--B-1-", "Part 2: the body ends before"),
        (b"--B-1\r\n\r\nx\n--B-1--", "Part 1: the body ends before"),
        (b"--B-1\r\nno colon\r\n\r\nx\r\n--B-1--", "Part 1: a header line"),
        (b"--B-1\r\n: no name\r\n\r\nx\r\n--B-1--", "Part 1: a header line"),
        (b"--B-1\r\n folded: onto nothing\r\n\r\nx\r\n--B-1--", "Part 1: a header line"),
        (b"--B-1\r\nContent-Type: a\x00b\r\n\r\nx\r\n--B-1--", "Part 1: a header line"),
        (b"--B-1\r\nContent-Type: a\rX: b\r\n\r\nx\r\n--B-1--", "Part 1: a header line"),
        (b"--B-1\r\n--B-1--\r\n\r\n", "Part 1: a header line"),
        (b"--B-1\r\n" + b"X: y\r\n" * (MAX_HEAD_LINES + 1) + b"\r\n\r\n--B-1--", "more than 64 header lines"),
        (b"--B-1\r\nX: " + b"y" * MAX_HEAD_BYTES + b"\r\n\r\n\r\n--B-1--", "no blank line"),
    ],
)
async def test_broken_framing_is_malformed(body, fault, size):
    with pytest.raises(MalformedBody, match=fault):
        await read(body, size)


async def test_head_at_its_limits_is_read():
    filler = b"X: " + b"y" * (MAX_HEAD_BYTES - 300 - 6 * MAX_HEAD_LINES)
    body = b"--B-1\r\n" + b"X: y\r\n" * (MAX_HEAD_LINES - 2) + filler + b"\r\nContent-Type: a/b\r\n\r\nx\r\n--B-1--"
    assert await read(body, 1000) == [("a/b", b"x")]


async def test_parts_before_the_fault_are_given():
    seen = []
    with pytest.raises(MalformedBody):  # noqa: PT012 - what was read before the error is the fact
        async for part in read_parts(in_steps(b"--B-1\r\n\r\nwhole\r\n--B-1\r\n\r\ncut", 4), BOUNDARY):
            content = b"".join([chunk async for chunk in part])
            seen.append(content)
    assert seen == [b"whole"]


async def test_fault_of_the_body_passes_through():
    async def broken() -> AsyncIterator[bytes]:
        yield b"--B-1\r\n\r\nx"
        raise ClientGone("gone")

    with pytest.raises(ClientGone):
        await collect(broken())


async def test_body_is_read_to_its_end_so_that_the_connection_can_be_used_again():
    body = in_steps(written([b"x"]) + b"epilogue" * 100, 10)
    assert len(await collect(body)) == 1
    assert await anext(body, None) is None


async def test_part_left_behind_cannot_be_read_later():
    parts = read_parts(in_steps(written([b"x", b"y"]), 10), BOUNDARY)
    first = await anext(parts)
    second = await anext(parts)
    with pytest.raises(RuntimeError, match="moved on"):
        await anext(aiter(first))
    assert b"".join([chunk async for chunk in second]) == b"y"


async def test_content_can_be_read_on_after_a_pause_and_is_given_once():
    parts = read_parts(in_steps(written([b"abcdefgh" * 10]), 10), BOUNDARY)
    part = await anext(parts)
    start = await anext(aiter(part))
    rest = b"".join([chunk async for chunk in part])
    assert start + rest == b"abcdefgh" * 10
    assert [chunk async for chunk in part] == []


async def test_large_chunks_go_through_without_a_copy():
    chunk = bytes(range(256)) * 256 + b"\r\nB"

    async def body() -> AsyncIterator[bytes]:
        yield part_head(BOUNDARY, "application/dicom", first=True)
        for _ in range(4):
            yield chunk
        yield closing(BOUNDARY)

    async for part in read_parts(body(), BOUNDARY):
        chunks = [piece async for piece in part]
    # the first one is joined to the blank line it follows
    assert [piece is chunk for piece in chunks] == [False, True, True, True]


async def test_only_what_may_be_a_boundary_is_held_back():
    arrived = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal arrived
        for piece in [part_head(BOUNDARY, "a/b", first=True), *[b"\r\n--B-" * 100] * 50, closing(BOUNDARY)]:
            arrived += len(piece)
            yield piece

    given_on = len(part_head(BOUNDARY, "a/b", first=True))
    async for part in read_parts(body(), BOUNDARY):
        async for piece in part:
            given_on += len(piece)
            assert arrived - given_on <= len("\r\n--B-1--\r\n")


async def test_many_small_parts_in_one_chunk_cost_what_their_bytes_cost():
    """A reader that copies the rest of a chunk for every part would move 55 GB here."""
    body = written([b""] * 50_000)
    count = 0
    start = time.process_time()
    async for _ in read_parts(in_steps(body, len(body)), BOUNDARY):
        count += 1
    assert count == 50_000
    assert time.process_time() - start < 3


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/related; boundary=abc", "abc"),
        ('multipart/related; type="application/dicom"; boundary="a b:c"', "a b:c"),
        ("multipart/related; boundary=" + "a" * 70, "a" * 70),
        # Two UUIDs, as Orthanc writes it, which is longer than RFC 2046 allows.
        (f"multipart/related; boundary={TWO_UUIDS}", TWO_UUIDS),
        ("multipart/related; boundary=" + "a" * 256, "a" * 256),
        ("multipart/related; boundary=----WebKit+'()+_,-./:=?", "----WebKit+'()+_,-./:=?"),
        ("multipart/related; boundary={3F2504E0}*|", "{3F2504E0}*|"),
    ],
)
async def test_boundary_is_taken_from_the_content_type(content_type, boundary):
    assert boundary_of(parse_content_type(content_type)) == boundary
    assert await read(written([b"x"], boundary), 5, boundary) == [("application/dicom", b"x")]


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/related",
        "multipart/related; boundary=",
        'multipart/related; boundary=""',
        'multipart/related; boundary="abc "',
        'multipart/related; boundary="a\tb"',
        "multipart/related; boundary=\u00e4",
        "multipart/related; boundary=" + "a" * 257,
    ],
)
def test_content_type_without_usable_boundary_is_unsupported(content_type):
    with pytest.raises(UnsupportedMediaType, match="boundary"):
        boundary_of(parse_content_type(content_type))


def test_reader_refuses_a_boundary_that_cannot_be():
    with pytest.raises(UnsupportedMediaType):
        read_parts(in_steps(b"", 1), "\u20ac")


@quick
@given(st.text("".join(map(chr, range(0x20, 0x7F))), min_size=1, max_size=256).filter(lambda text: text[-1] != " "))
def test_boundary_survives_its_content_type(boundary):
    """Contract E13: the type parameter is there as well."""
    read_back = parse_content_type(related_content_type(boundary, "application/dicom"))
    assert read_back.media_type == "multipart/related"
    assert read_back.parameters == {"type": "application/dicom", "boundary": boundary}


def test_written_bytes_are_what_naive_viewers_search_for():
    """Spelling and order are fixed: cornerstone3D and OHIF compare texts."""
    assert written([b"x", b"y"], "b", "image/jls; transfer-syntax=1.2") == (
        b"--b\r\nContent-Type: image/jls; transfer-syntax=1.2\r\n\r\nx"
        b"\r\n--b\r\nContent-Type: image/jls; transfer-syntax=1.2\r\n\r\ny"
        b"\r\n--b--\r\n"
    )
    assert related_content_type("b", "image/jls") == 'multipart/related; type="image/jls"; boundary=b'


def test_new_boundaries_differ_and_need_no_quotes():
    boundaries = {new_boundary() for _ in range(100)}
    assert len(boundaries) == 100
    assert all(re.fullmatch(r"[0-9a-f]{32}", boundary) for boundary in boundaries)
