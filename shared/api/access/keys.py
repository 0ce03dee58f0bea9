"""The public keys of the issuer: fetched when they are needed, kept, renewed, and never fetched at a caller's pace."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from shared.api.access.fetching import FetchFailed, fetch_json
from shared.errors import KeysUnavailable
from shared.settings import AccessSettings

LOG = logging.getLogger(__name__)

PublicKey = RSAPublicKey | EllipticCurvePublicKey
Fetch = Callable[[str], Awaitable[object]]

FRESH_SECONDS = 3600.0
"""So long keys are used without asking for newer ones."""
KEPT_SECONDS = 24 * 3600.0
"""So long they are used when the issuer cannot be reached; then nobody is believed any more."""
PAUSE_SECONDS = 30.0
"""At most one fetch in this time is caused by tokens that name a key that is not known."""
RETRY_SECONDS = 5.0
"""At most one fetch in this time as long as there are no keys at all."""

_DISCOVERY = "/.well-known/openid-configuration"
_MOST_KEYS = 100
# Shorter ones can be broken, longer ones make checking a signature costly.
_RSA_BITS = range(2048, 8193)
# Which algorithms a key is for (RFC 7518 §3.1). A key has one type, so nobody chooses another one for it; those with a
# shared secret, and none, are not there.
RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key, and the algorithms of signatures that it may prove."""

    key: PublicKey
    algorithms: frozenset[str]


@dataclass(frozen=True, slots=True)
class KeySet:
    """What the issuer says of itself.

    Attributes:
        issuer: as its OpenID configuration has it; empty when that was not asked.
        keys: by key id; one without an id has an empty one.
    """

    issuer: str
    keys: Mapping[str, SigningKey]


class KeyStore:
    """The issuer's keys, as fresh as they have to be.

    Args:
        settings: say where they are.
        fetch: reads a JSON document.
        clock: monotonic seconds.
    """

    def __init__(
        self, settings: AccessSettings, fetch: Fetch = fetch_json, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._fetch = fetch
        self._clock = clock
        self._found: KeySet | None = None
        self._found_at = 0.0
        self._tried_at: float | None = None
        self._running: asyncio.Task[None] | None = None

    async def find(self, key_id: str) -> tuple[SigningKey | None, str]:
        """The key of that id, or None when the issuer has none, and the issuer's name.

        Raises:
            KeysUnavailable: there are no keys, or only old ones, and the issuer does not give them.
        """
        found = await self._current()
        key = found.keys.get(key_id)
        if key is None and (self._is_running or self._may_try(PAUSE_SECONDS)):
            # It may be a new one. Whoever makes ids up cannot make this a flood.
            await self._renewed()
            found = self._found or found
            key = found.keys.get(key_id)
        return key, found.issuer

    async def _current(self) -> KeySet:
        age = self._clock() - self._found_at
        if self._found is not None and age < KEPT_SECONDS:
            if age >= FRESH_SECONDS and self._may_try(PAUSE_SECONDS):
                # Beside this request, which has keys to work with.
                self._start()
            return self._found
        if self._is_running or self._may_try(RETRY_SECONDS):
            await self._renewed()
            if self._found is not None and self._clock() - self._found_at < KEPT_SECONDS:
                return self._found
        raise KeysUnavailable(int(RETRY_SECONDS))

    @property
    def _is_running(self) -> bool:
        return self._running is not None and not self._running.done()

    def _may_try(self, pause: float) -> bool:
        return self._tried_at is None or self._clock() - self._tried_at >= pause

    async def _renewed(self) -> None:
        """Wait for one fetch that all who wait share; it goes on when one of them leaves."""
        await asyncio.shield(self._start())

    def _start(self) -> asyncio.Task[None]:
        if self._running is None or self._running.done():
            self._tried_at = self._clock()
            self._running = asyncio.create_task(self._renew())
        return self._running

    async def _renew(self) -> None:
        try:
            self._found = await self._load()
        except FetchFailed as error:
            LOG.warning("no keys of the token issuer: %s", error)
            return
        self._found_at = self._clock()
        LOG.info("keys of the token issuer: %d", len(self._found.keys))

    async def _load(self) -> KeySet:
        issuer, address = "", self._settings.jwks_url
        if self._settings.authority:
            found = _object(await self._fetch(self._settings.authority + _DISCOVERY))
            issuer, address = _text(found, "issuer"), address or _text(found, "jwks_uri")
        keys = read_keys(await self._fetch(address))
        if not keys:
            raise FetchFailed("there is no key that can be used")
        return KeySet(issuer, keys)


def read_keys(document: object) -> dict[str, SigningKey]:
    """The keys of a JWK Set (RFC 7517 §5) that can prove signatures here, by id; others are left out.

    Raises:
        FetchFailed: it is no such set.
    """
    listed = _object(document).get("keys")
    if not isinstance(listed, list):
        raise FetchFailed("there is no list of keys")
    found: dict[str, SigningKey] = {}
    for entry in listed[:_MOST_KEYS]:
        key = _key(entry) if isinstance(entry, dict) else None
        key_id = entry.get("kid", "") if isinstance(entry, dict) else ""
        if key is not None and isinstance(key_id, str):
            found[key_id] = key
    return found


# Any: a key of the set is whatever JSON holds.
def _key(entry: dict[str, Any]) -> SigningKey | None:
    if entry.get("kty") not in ("RSA", "EC") or entry.get("use", "sig") != "sig" or "d" in entry:
        return None
    try:
        key = jwt.PyJWK(entry, algorithm=_usual(entry)).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    algorithms = _algorithms(key)
    named = entry.get("alg")
    if named is not None:
        algorithms &= {named} if isinstance(named, str) else set()
    return SigningKey(key, algorithms) if algorithms else None


def _usual(entry: Mapping[str, Any]) -> str:
    """An algorithm under which the library reads a key of this type; what it may prove is decided afterwards."""
    return "RS256" if entry["kty"] == "RSA" else "ES256"


def _algorithms(key: object) -> frozenset[str]:
    if isinstance(key, RSAPublicKey):
        return RSA_ALGORITHMS if key.key_size in _RSA_BITS else frozenset()
    if isinstance(key, EllipticCurvePublicKey) and key.curve.name in CURVES:
        return frozenset({CURVES[key.curve.name]})
    return frozenset()


def _object(document: object) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise FetchFailed("the answer is no JSON object")
    return document


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not value:
        raise FetchFailed(f"{name} is missing")
    return value
