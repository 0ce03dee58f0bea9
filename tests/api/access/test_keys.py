"""The issuer's keys: kept, renewed, rotated, never fetched at a caller's pace, whatever is at the address."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from shared.api.access import fetching, keys
from shared.api.access.fetching import FetchFailed, fetch_json
from shared.api.access.keys import KeyStore, read_keys
from shared.dev.issuer import Key, LocalIssuer
from shared.errors import KeysUnavailable
from tests.support.tokens import ACCESS, AUTHORITY, Network, issuer


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Known:
    """A store of keys with a clock and a network of its own."""

    def __init__(self, of: LocalIssuer | None = None) -> None:
        self.issuer = of or LocalIssuer(AUTHORITY)
        self.clock, self.network = Clock(), Network(self.issuer)
        self.store = KeyStore(ACCESS, self.network.fetch, self.clock)

    async def has(self, key_id: str) -> bool:
        return (await self.store.find(key_id))[0] is not None

    @property
    def fetches(self) -> int:
        return sum(url.endswith("/keys") for url in self.network.asked)


async def test_keys_are_fetched_once_and_kept():
    known = Known(issuer())
    key_id = known.issuer.keys[0].key_id
    assert all([await known.has(key_id) for _ in range(5)])
    assert known.network.asked == [f"{AUTHORITY}/.well-known/openid-configuration", f"{AUTHORITY}/keys"]
    assert (await known.store.find(key_id))[1] == AUTHORITY


async def test_many_callers_at_once_share_one_fetch():
    known = Known(issuer())
    assert all(await asyncio.gather(*(known.has(known.issuer.keys[0].key_id) for _ in range(50))))
    assert known.fetches == 1


async def test_a_caller_who_leaves_does_not_stop_the_fetch_of_the_others():
    known = Known(issuer())
    leaving = asyncio.create_task(known.has(known.issuer.keys[0].key_id))
    staying = asyncio.create_task(known.has(known.issuer.keys[0].key_id))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying
    assert known.fetches == 1


async def test_a_new_key_of_the_issuer_is_found_after_the_pause():
    known = Known()
    assert await known.has(known.issuer.keys[0].key_id)
    known.issuer.keys = [Key.new()]
    new = known.issuer.keys[0].key_id
    assert not await known.has(new)
    known.clock.now += keys.PAUSE_SECONDS
    assert await known.has(new)


async def test_a_key_that_the_issuer_withdrew_is_gone_with_the_next_fetch():
    known = Known(LocalIssuer(AUTHORITY))
    old = known.issuer.keys[0]
    assert await known.has(old.key_id)
    known.issuer.keys = [issuer().keys[0]]
    known.clock.now += keys.FRESH_SECONDS
    assert await known.has(old.key_id), "a request that has keys does not wait for newer ones"
    await asyncio.sleep(0.01)
    assert not await known.has(old.key_id)


async def test_made_up_key_ids_cause_one_fetch_in_a_pause_whatever_their_number():
    known = Known(issuer())
    for number in range(200):
        assert not await known.has(f"made-up-{number}")
    assert known.fetches == 1
    known.clock.now += keys.PAUSE_SECONDS
    await asyncio.gather(*(known.has(f"made-up-{number}") for number in range(200)))
    assert known.fetches == 2


async def test_keys_outlive_an_issuer_that_is_down_by_a_day_and_no_longer():
    known = Known(issuer())
    key_id = known.issuer.keys[0].key_id
    assert await known.has(key_id)
    known.network.down = True
    known.clock.now += keys.KEPT_SECONDS - 1
    assert await known.has(key_id)
    await asyncio.sleep(0)
    known.clock.now += 1
    known.clock.now += keys.RETRY_SECONDS
    with pytest.raises(KeysUnavailable):
        await known.has(key_id)
    known.network.down = False
    known.clock.now += keys.RETRY_SECONDS
    assert await known.has(key_id)


async def test_without_any_keys_the_issuer_is_asked_at_a_bounded_pace_and_callers_are_told_when_to_return():
    known = Known(issuer())
    known.network.down = True
    for _ in range(100):
        with pytest.raises(KeysUnavailable) as caught:
            await known.has("x")
        assert caught.value.retry_after_seconds == keys.RETRY_SECONDS
    assert len(known.network.asked) == 1
    known.network.down = False
    known.clock.now += keys.RETRY_SECONDS
    assert await known.has(known.issuer.keys[0].key_id)


async def test_the_address_of_the_keys_can_be_given_without_asking_for_it():
    network = Network(issuer())
    access = replace(ACCESS, authority="", jwks_url=f"{AUTHORITY}/keys", issuers=(AUTHORITY,))
    assert (await KeyStore(access, network.fetch).find(issuer().keys[0].key_id))[0]
    assert network.asked == [f"{AUTHORITY}/keys"]


RSA = issuer().keys[0].public()
SECRET = {"kty": "oct", "kid": "s", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"}


def short_key() -> dict[str, object]:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    return {**RSAAlgorithm.to_jwk(weak.public_key(), as_dict=True), "kid": "w"}


def private_key() -> dict[str, object]:
    return {**RSAAlgorithm.to_jwk(issuer().keys[0].private, as_dict=True), "kid": "p"}


def odd_curve() -> dict[str, object]:
    key = ec.generate_private_key(ec.SECP256K1())
    return {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "k"}


@pytest.mark.parametrize(
    "make",
    [
        lambda: SECRET,
        short_key,
        private_key,
        odd_curve,
        lambda: {**RSA, "use": "enc"},
        lambda: {**RSA, "alg": "HS256"},
        lambda: {**RSA, "alg": "none"},
        lambda: {**RSA, "alg": 7},
        lambda: {**RSA, "n": "!"},
        lambda: {**RSA, "n": 7},
        lambda: {**RSA, "e": "AA"},
        lambda: {**RSA, "kid": 7},
        lambda: {**RSA, "kty": "EC"},
        lambda: {**RSA, "kty": ["RSA"]},
        dict,
        lambda: "key",
        lambda: None,
    ],
)
def test_a_key_that_cannot_prove_anything_is_left_out_and_the_others_stay(make):
    assert list(read_keys({"keys": [make(), RSA]})) == [RSA["kid"]]


def test_a_key_proves_the_one_algorithm_that_it_names():
    assert read_keys({"keys": [{**RSA, "alg": "PS256"}]})[RSA["kid"]].algorithms == {"PS256"}


def test_only_so_many_keys_are_read():
    found = read_keys({"keys": [{**RSA, "kid": str(number)} for number in range(150)]})
    assert len(found) == 100


@pytest.mark.parametrize("document", [None, [], "x", {}, {"keys": {}}, {"keys": None}])
def test_a_document_that_is_no_set_of_keys_is_a_failed_fetch(document):
    with pytest.raises(FetchFailed):
        read_keys(document)


@pytest.mark.parametrize("found", [{}, {"issuer": AUTHORITY}, {"jwks_uri": 7, "issuer": AUTHORITY}, [], "x"])
async def test_an_openid_configuration_without_what_is_needed_gives_no_keys(found):
    async def fetch(_url: str) -> object:
        return found

    with pytest.raises(KeysUnavailable):
        await KeyStore(ACCESS, fetch).find("x")


async def test_a_set_without_usable_keys_does_not_replace_those_that_are_known():
    known = Known(LocalIssuer(AUTHORITY))
    key_id = known.issuer.keys[0].key_id
    assert await known.has(key_id)
    known.issuer.keys = []
    known.clock.now += keys.FRESH_SECONDS
    await known.has(key_id)
    await asyncio.sleep(0.01)
    assert await known.has(key_id)


# Over real HTTP.


@contextlib.contextmanager
def answering(act: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(OSError):
                act(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def sending(status: int, content: bytes = b"", **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def act(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    return act


def endless(handler: BaseHTTPRequestHandler) -> None:
    sending(200)(handler)
    while True:
        handler.wfile.write(b" " * 65536)


def dripping(handler: BaseHTTPRequestHandler) -> None:
    sending(200, b"{")(handler)
    for _ in range(40):
        time.sleep(0.1)
        handler.wfile.write(b" ")


def cut(handler: BaseHTTPRequestHandler) -> None:
    sending(200, b'{"keys": [', **{"Content-Length": "1000"})(handler)


async def test_a_document_is_read_over_http():
    with answering(sending(200, json.dumps({"a": 1}).encode())) as url:
        assert await fetch_json(url) == {"a": 1}


@pytest.mark.parametrize(
    "act",
    [
        sending(500),
        sending(204),
        sending(404, b"{}"),
        sending(200, b""),
        sending(200, b"<html>"),
        sending(200, b"\xff\xfe"),
        sending(200, b"[" * 100_000),
        sending(200, b"x", **{"Content-Encoding": "gzip"}),
        endless,
        dripping,
        cut,
    ],
    ids=lambda act: act.__name__,
)
async def test_whatever_else_is_at_the_address_is_a_failed_fetch_bounded_in_time_and_size(act, monkeypatch):
    monkeypatch.setattr(fetching, "SECONDS", 0.5)
    before = time.monotonic()
    with answering(act) as url, pytest.raises(FetchFailed) as caught:
        await fetch_json(url)
    assert time.monotonic() - before < 5
    assert "html" not in str(caught.value)


async def test_a_redirect_is_not_followed():
    with (
        answering(sending(200, b"{}")) as elsewhere,
        answering(sending(302, Location=elsewhere)) as url,
        pytest.raises(FetchFailed, match="302"),
    ):
        await fetch_json(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example/keys",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "keys",
        "http://127.0.0.1.evil.example/",
        "http://127.0.0.1@evil.example/",
        "https://[",
    ],
)
async def test_addresses_that_cannot_be_trusted_are_not_asked(url):
    with pytest.raises(FetchFailed, match="neither https"):
        await fetch_json(url)


async def test_nobody_at_the_address_is_a_failed_fetch():
    with answering(sending(200)) as url:
        pass
    with pytest.raises(FetchFailed):
        await fetch_json(url)
