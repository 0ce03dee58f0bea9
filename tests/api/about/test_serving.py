from __future__ import annotations

import gzip
import threading

import pytest

from shared.api.about.serving import Shelf, Written
from tests.api import made
from tests.api.about.reading import bound

PATH = "v2_getConformance"


async def asked(**headers):
    return await made.ask(bound()[PATH], made.arrival(headers=headers))


@pytest.mark.parametrize(
    ("form", "status"),
    [("{}", 304), ("W/{}", 304), ('"other", {}', 304), ("*", 304), ('"other"', 200), ("", 200), ("{}x", 200)],
)
async def test_a_client_that_has_it_gets_304_without_a_body(form, status):
    etag = made.headers_of(await asked())["etag"]
    reply = await asked(**{"If-None-Match": form.format(etag)})
    assert (reply.status, not made.whole(reply)) == (status, status == 304)
    assert made.headers_of(reply)["etag"] == etag
    assert made.headers_of(reply)["cache-control"] == "max-age=300"


async def test_forms_have_their_own_etags_and_say_what_they_depend_on():
    html, markdown = await asked(Accept="text/html"), await asked(Accept="text/markdown")
    assert made.headers_of(html)["etag"] != made.headers_of(markdown)["etag"]
    assert made.headers_of(html)["vary"] == made.headers_of(markdown)["vary"] == "Accept, Accept-Encoding"


async def test_long_texts_are_compressed_for_clients_that_take_it():
    plain, zipped = await asked(), await asked(**{"Accept-Encoding": "br, gzip"})
    assert "content-encoding" not in made.headers_of(plain)
    assert made.headers_of(zipped)["content-encoding"] == "gzip"
    assert gzip.decompress(made.whole(zipped)) == made.whole(plain)
    assert len(made.whole(zipped)) * 3 < len(made.whole(plain))


def test_short_texts_are_not_compressed():
    assert Written.for_long(b"short", "text/plain").zipped == b""


async def test_a_shelf_writes_each_key_once_and_in_a_thread():
    written = []

    def write(key: str) -> Written:
        written.append((key, threading.current_thread() is threading.main_thread()))
        return Written(key.encode(), "text/plain")

    shelf = Shelf(write)
    taken = [await shelf.take(key) for key in ("a", "b", "a", "b", "a")]
    assert [one.content for one in taken] == [b"a", b"b", b"a", b"b", b"a"]
    assert written == [("a", False), ("b", False)]


async def test_what_cannot_be_written_is_not_kept():
    tries = []

    def write(key: str) -> Written:
        tries.append(key)
        raise LookupError(key)

    shelf = Shelf(write)
    for _ in range(2):
        with pytest.raises(LookupError):
            await shelf.take("a")
    assert tries == ["a", "a"]
