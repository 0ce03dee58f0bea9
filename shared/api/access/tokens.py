"""A bearer token → who calls. Everything in a token is a stranger's word until its signature has been proved."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from shared.api.access.keys import KeyStore, SigningKey
from shared.settings import AccessSettings
from shared.wire.call import Headers

# Tokens of real issuers are below 8 KiB even with many groups; the host takes 48 KiB of headers.
MOST_CHARACTERS = 16 * 1024
LEEWAY_SECONDS = 60
_MOST_HEADER_CHARACTERS = 4096
_MOST_KEY_ID_CHARACTERS = 256
_MOST_ROLES = 200
_MOST_CLAIM_CHARACTERS = 256

_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)")
_KEY_ID = re.compile(r"[\x21-\x7e]*")
# Other kinds of tokens of the same issuer, such as logout tokens, are none for us (RFC 8725 §3.11).
_TYPES = ("", "jwt", "at+jwt", "application/jwt", "application/at+jwt")
_REQUIRED = ("exp", "iss", "aud")
_TENANT_IN_ISSUER = "{tenantid}"

# A claim set or a header: whatever JSON holds.
_Claims = dict[str, Any]


class BadToken(Exception):
    """A token that is not believed; the text says why, for logs, and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, in the issuer's words.

    Attributes:
        subject: the claim `sub`.
        object_id: `oid`: the user or application in their directory.
        application: `azp`, `appid` or `client_id`: the program they use.
        tenant: `tid`.
        roles: names of roles, of which some may mean nothing here.
    """

    subject: str = ""
    object_id: str = ""
    application: str = ""
    tenant: str = ""
    roles: tuple[str, ...] = ()


def token_of(headers: Headers) -> str | None:
    """The bearer token of a request, or None when there is no Authorization header.

    Raises:
        BadToken: there is something else, or more than one.
    """
    text = headers.joined("Authorization")
    if text is None:
        return None
    # Two header lines come joined with a comma, which no token has: a proxy may have looked at the other one.
    if len(text) > MOST_CHARACTERS:
        raise BadToken("too long")
    found = _BEARER.fullmatch(text)
    if found is None:
        raise BadToken("not one bearer token")
    return found.group(1)


class Tokens:
    """Checks tokens.

    Args:
        settings: whose tokens are taken, and for whom.
        keys: of the issuer.
    """

    def __init__(self, settings: AccessSettings, keys: KeyStore) -> None:
        self._settings = settings
        self._keys = keys

    async def caller(self, token: str) -> Caller:
        """Who calls with this token.

        Raises:
            BadToken: it is not believed.
            KeysUnavailable: it cannot be checked.
        """
        header = _header(token)
        key, issuer = await self._keys.find(_key_id(header))
        if key is None:
            raise BadToken("signed with a key that is not the issuer's")
        claims = _claims(token, header, key, self._settings.audiences)
        self._check_origin(claims, issuer)
        return Caller(
            subject=_text(claims, "sub"),
            object_id=_text(claims, "oid"),
            application=_text(claims, "azp") or _text(claims, "appid") or _text(claims, "client_id"),
            tenant=_text(claims, "tid"),
            roles=_roles(claims, self._settings.roles_claim),
        )

    def _check_origin(self, claims: _Claims, discovered: str) -> None:
        tenant = claims.get("tid")
        if self._settings.tenants and tenant not in self._settings.tenants:
            raise BadToken("of another tenant")
        issuers = self._settings.issuers or (discovered,)
        if self._settings.tenants:
            # An issuer of many tenants names itself so; which of them are meant is what the settings say.
            issuers = tuple(issuer.replace(_TENANT_IN_ISSUER, str(tenant)) for issuer in issuers)
        if claims["iss"] not in issuers:
            raise BadToken("of another issuer")


def _header(token: str) -> _Claims:
    """The header, of which nothing is proved yet.

    The library would look at every character of the whole token for it; like this, a token with a made-up key costs
    next to nothing. Once there is a key, the library reads it again with the rest.
    """
    segment = token.partition(".")[0]
    if len(segment) > _MOST_HEADER_CHARACTERS:
        raise BadToken("malformed")
    try:
        header = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except (ValueError, RecursionError) as error:
        raise BadToken("malformed") from error
    if not isinstance(header, dict):
        raise BadToken("malformed")
    kind = header.get("typ", "")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise BadToken("no access token")
    if "crit" in header:
        raise BadToken("asks for extensions")
    return header


def _key_id(header: _Claims) -> str:
    """Only a name to look up. What else a header says about keys (jku, jwk, x5u, x5c) is not read at all."""
    key_id = header.get("kid", "")
    if not isinstance(key_id, str) or len(key_id) > _MOST_KEY_ID_CHARACTERS or not _KEY_ID.fullmatch(key_id):
        raise BadToken("the key id is none")
    return key_id


def _claims(token: str, header: _Claims, key: SigningKey, audiences: tuple[str, ...]) -> _Claims:
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in key.algorithms:
        raise BadToken("signed with an algorithm that is not the key's")
    try:
        claims: _Claims = jwt.decode(
            token,
            key.key,
            algorithms=[algorithm],
            audience=audiences,
            leeway=LEEWAY_SECONDS,
            options={"require": list(_REQUIRED)},
        )
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
        # The library's own errors, and those that claims of unheard-of types or sizes meet on their way through it.
        raise BadToken(type(error).__name__) from error
    return claims


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return value[:_MOST_CLAIM_CHARACTERS] if isinstance(value, str) else ""


def _roles(claims: _Claims, name: str) -> tuple[str, ...]:
    """A list of names, or one name. A claim inside others is named with dots, such as realm_access.roles."""
    value: Any = claims.get(name)
    if name not in claims:
        value = claims
        for step in name.split("."):
            value = value.get(step) if isinstance(value, dict) else None
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list):
        return ()
    return tuple(one for one in listed[:_MOST_ROLES] if isinstance(one, str))
