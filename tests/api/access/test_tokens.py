"""What is believed, and everything that is not (RFC 8725, RFC 7519, RFC 6750)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import time
from dataclasses import replace

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm

from shared.api.access import tokens
from shared.api.access.keys import KeyStore
from shared.api.access.tokens import BadToken, Tokens, token_of
from shared.dev.issuer import AUDIENCE, TENANT, Key, LocalIssuer
from shared.errors import NotAuthenticated
from shared.wire.call import Headers
from tests.support.tokens import ACCESS, AUTHORITY, Network, bearer, gate, issuer


def segment(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def part(value: object) -> str:
    return segment(json.dumps(value).encode())


def key() -> Key:
    return issuer().keys[-1]


TIMES = ("exp", "nbf", "iat")


def claims(**changed: object) -> dict[str, object]:
    """Those of a good token, with some of them changed; times are seconds from now."""
    for name in TIMES:
        value = changed.get(name)
        if isinstance(value, int):
            changed[name] = int(time.time()) + value
    known = jwt.decode(issuer().token("globalAdmin"), options={"verify_signature": False})
    return {name: value for name, value in {**known, **changed}.items() if value is not None}


def signed(header: dict[str, object], algorithm: str = "RS256", with_key: object = None, **changed: object) -> str:
    headers = {"kid": key().key_id, **header}
    return jwt.encode(claims(**changed), with_key or key().private, algorithm, headers=headers)  # type: ignore[arg-type] # any key will do


def by_hand(header: dict[str, object], secret: bytes | None = None) -> str:
    """A token that no library would make."""
    text = f"{part({'kid': key().key_id, **header})}.{part(claims())}"
    signature = b"" if secret is None else hmac.new(secret, text.encode(), hashlib.sha256).digest()
    return f"{text}.{segment(signature)}"


async def caller(token: str, access=ACCESS):
    return await Tokens(access, KeyStore(access, Network(issuer()).fetch)).caller(token)


async def refused(token: str, access=ACCESS) -> str:
    with pytest.raises(BadToken) as caught:
        await caller(token, access)
    return str(caught.value)


async def test_a_good_token_says_who_calls():
    found = await caller(issuer().token("globalReader", "other", sub="somebody"))
    assert (found.subject, found.tenant, found.application) == ("somebody", TENANT, "local-tool")
    assert found.object_id
    assert found.roles == ("globalReader", "other")


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
async def test_algorithms_of_rsa_keys_are_taken(algorithm):
    assert (await caller(signed({}, algorithm))).roles == ("globalAdmin",)


@pytest.mark.parametrize(
    ("algorithm", "curve"), [("ES256", ec.SECP256R1()), ("ES384", ec.SECP384R1()), ("ES512", ec.SECP521R1())]
)
async def test_an_elliptic_key_proves_the_algorithm_of_its_curve_and_no_other(algorithm, curve):
    private = ec.generate_private_key(curve)
    public = {**ECAlgorithm.to_jwk(private.public_key(), as_dict=True), "kid": "e"}

    async def fetch(url: str) -> object:
        return {"keys": [public]}

    access = replace(ACCESS, authority="", jwks_url="https://keys.example", issuers=(AUTHORITY,))
    known = Tokens(access, KeyStore(access, fetch))
    assert (await known.caller(signed({"kid": "e"}, algorithm, private))).roles == ("globalAdmin",)
    with pytest.raises(BadToken, match="algorithm"):
        await known.caller(signed({"kid": "e"}, "RS256"))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", ""])
async def test_a_token_without_a_signature_is_refused(algorithm):
    assert "algorithm" in await refused(by_hand({"alg": algorithm, "typ": "JWT"}, b"x"))
    with pytest.raises(BadToken, match="not one bearer token"):
        token_of(Headers([("Authorization", f"Bearer {by_hand({'alg': algorithm})}")]))


@pytest.mark.parametrize("form", [serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1])
@pytest.mark.parametrize("encoding", [serialization.Encoding.PEM, serialization.Encoding.DER])
async def test_a_token_signed_with_the_public_key_as_a_shared_secret_is_refused(form, encoding):
    """RFC 8725 §2.1, key confusion."""
    secret = key().private.public_key().public_bytes(encoding, form)
    assert "algorithm" in await refused(by_hand({"alg": "HS256", "typ": "JWT"}, secret))


@pytest.mark.parametrize("algorithm", ["HS256", "HS512", "EdDSA", "ES256", "RSA1_5", "rs256", 1, None, ["RS256"]])
async def test_algorithms_that_are_not_the_keys_are_refused(algorithm):
    await refused(by_hand({"alg": algorithm}, b"secret"))


async def test_a_token_signed_by_somebody_else_is_refused():
    assert await refused(signed({}, with_key=Key.new().private)) == "InvalidSignatureError"


async def test_a_token_whose_claims_were_changed_is_refused():
    head, _, signature = issuer().token("globalReader").split(".")
    assert await refused(f"{head}.{part(claims())}.{signature}") == "InvalidSignatureError"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"exp": -120}, "ExpiredSignatureError"),
        ({"exp": None}, "MissingRequiredClaimError"),
        ({"exp": "soon"}, "DecodeError"),
        ({"exp": 1e400}, ""),
        ({"exp": [1]}, ""),
        ({"nbf": 600}, "ImmatureSignatureError"),
        ({"iat": 600}, "ImmatureSignatureError"),
        ({"aud": "api://another"}, "InvalidAudienceError"),
        ({"aud": AUDIENCE + "/"}, "InvalidAudienceError"),
        ({"aud": None}, "MissingRequiredClaimError"),
        ({"aud": [1, {}]}, ""),
        ({"aud": {AUDIENCE: 1}}, ""),
        ({"iss": "https://another.example"}, "of another issuer"),
        ({"iss": AUTHORITY + "/"}, "of another issuer"),
        ({"iss": AUTHORITY.upper()}, "of another issuer"),
        ({"iss": None}, "MissingRequiredClaimError"),
    ],
)
async def test_claims_that_are_not_for_us_or_not_for_now_are_refused(changed, why):
    assert why in await refused(signed({}, **changed))


@pytest.mark.parametrize("changed", [{"exp": -30}, {"nbf": 30}, {"iat": 30}])
async def test_clocks_may_differ_by_a_minute(changed):
    assert (await caller(signed({}, **changed))).subject == "local-user"


async def test_one_of_several_audiences_is_enough():
    assert (await caller(signed({}, aud=["x", AUDIENCE]))).subject
    assert (await caller(signed({}), replace(ACCESS, audiences=("x", AUDIENCE)))).subject


@pytest.mark.parametrize("tenant", ["another", None, 7, [TENANT], ""])
async def test_a_token_of_another_tenant_is_refused_where_tenants_are_named(tenant):
    assert await refused(signed({}, tid=tenant), replace(ACCESS, tenants=("x", TENANT))) == "of another tenant"


async def test_an_issuer_of_many_tenants_is_believed_about_those_that_are_named():
    many = replace(ACCESS, issuers=("https://login.example/{tenantid}/v2.0",), tenants=(TENANT,))
    assert (await caller(signed({}, iss=f"https://login.example/{TENANT}/v2.0"), many)).tenant == TENANT
    assert await refused(signed({}, iss="https://login.example/other/v2.0"), many) == "of another issuer"
    unnamed = replace(many, tenants=())
    assert await refused(signed({}, iss=f"https://login.example/{TENANT}/v2.0"), unnamed) == "of another issuer"


@pytest.mark.parametrize(
    "key_id",
    [
        "../../../../etc/passwd",
        "https://evil.example/keys",
        "' OR 1=1 --",
        "\r\nX: y",
        "k" * 10_000,
        "",
        "a\x00b",
        "ключ",
        7,
        ["a"],
        {"a": 1},
        True,
    ],
)
async def test_odd_key_ids_find_nothing_and_reach_nobody(key_id):
    network = Network(issuer())
    known = Tokens(ACCESS, KeyStore(ACCESS, network.fetch))
    with pytest.raises(BadToken):
        await known.caller(by_hand({"alg": "RS256", "kid": key_id}, b"x"))
    assert set(network.asked) <= {f"{AUTHORITY}/.well-known/openid-configuration", f"{AUTHORITY}/keys"}


@pytest.mark.parametrize("name", ["jku", "x5u"])
async def test_where_a_token_says_its_keys_are_is_not_looked_at(name):
    theirs, network = LocalIssuer("https://evil.example"), Network(issuer())
    token = signed({name: "https://evil.example/keys"}, with_key=theirs.keys[0].private)
    with pytest.raises(BadToken, match="InvalidSignature"):
        await Tokens(ACCESS, KeyStore(ACCESS, network.fetch)).caller(token)
    assert not any("evil" in url for url in network.asked)


async def test_a_key_that_a_token_brings_along_is_not_used():
    theirs = Key.new()
    assert await refused(signed({"jwk": theirs.public()}, with_key=theirs.private)) == "InvalidSignatureError"
    assert "not the issuer's" in await refused(
        signed({"jwk": theirs.public(), "kid": theirs.key_id}, with_key=theirs.private)
    )


@pytest.mark.parametrize("header", [{"typ": "logout+jwt"}, {"typ": "dpop+jwt"}, {"typ": ["JWT"]}])
async def test_other_kinds_of_tokens_are_refused(header):
    assert await refused(by_hand({"alg": "RS256", **header}, b"x")) == "no access token"


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "application/at+jwt"])
async def test_access_tokens_are_taken_under_each_of_their_names(kind):
    assert (await caller(signed({"typ": kind}))).subject


@pytest.mark.parametrize("header", [{"crit": ["exp"], "exp": 1}, {"crit": [], "b64": False}, {"crit": "x"}])
async def test_a_token_that_asks_for_extensions_is_refused(header):
    await refused(by_hand({"alg": "RS256", **header}, b"x"))


DEEP = (b"[" * 3000, b"[" * 6000, b'{"a":' * 500)


@pytest.mark.parametrize(
    "header",
    ["a", "", "e30", *map(segment, (b"[1]", b'"x"', b"null", b"\xff", b"{", *DEEP))],
    ids=lambda text: text[:9],
)
async def test_a_header_that_is_none_is_refused(header):
    await refused(f"{header}.e30.e30")


VALUES = st.one_of(st.none(), st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=2))
HEADERS = st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64"]), VALUES, max_size=4)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="AZaz09-_.=e30", max_size=60), HEADERS)
async def test_whatever_comes_is_refused_and_nothing_else_happens(tail, header):
    for token in (tail, f"{part(header)}.{tail}", f"{part(header)}.e30.{tail}"):
        await refused(token)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic dXNlcjpwYXNz",
        "{token}",
        "Token {token}",
        "Bearer{token}",
        "Bearer\t{token}",
        "Bearer {token} ",
        "Bearer {token} x",
        " Bearer {token}",
        "Bearer {token}, Bearer {token}",
        'Bearer "{token}"',
        "Bearer {token}\x00",
        "Bearer {token}\n",
        "Bearer {token}=",
        "Bearer " + "A" * tokens.MOST_CHARACTERS + ".A.A",
    ],
)
async def test_anything_but_one_bearer_token_is_a_401(value):
    headers = Headers([("Authorization", value.replace("{token}", issuer().token("globalAdmin")))])
    with pytest.raises(NotAuthenticated):
        await gate().identify(headers)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bearer  "])
async def test_the_schemes_case_and_further_spaces_do_not_matter(scheme):
    headers = Headers([("authorization", f"{scheme} {issuer().token('globalAdmin')}")])
    found = await gate().identify(headers)
    assert found is not None
    assert found.roles == ("globalAdmin",)


async def test_two_authorization_headers_are_refused_even_when_both_are_good():
    line = ("Authorization", f"Bearer {issuer().token('globalAdmin')}")
    with pytest.raises(NotAuthenticated):
        await gate().identify(Headers([line, line]))


async def test_a_token_of_many_roles_costs_no_more_than_a_bound():
    found = await caller(issuer().token(*(f"r{number}" for number in range(1000))))
    assert len(found.roles) == 200


@pytest.mark.parametrize(
    ("name", "changed", "roles"),
    [
        ("roles", {"roles": "globalReader"}, ("globalReader",)),
        ("roles", {"roles": None}, ()),
        ("roles", {"roles": {"globalAdmin": True}}, ()),
        ("roles", {"roles": ["globalReader", 7, None, ["globalAdmin"]]}, ("globalReader",)),
        ("role", {"role": ["a"]}, ("a",)),
        ("realm_access.roles", {"realm_access": {"roles": ["a"]}}, ("a",)),
        ("realm_access.roles", {"realm_access": "roles"}, ()),
        ("https://x.example/roles", {"https://x.example/roles": ["a"]}, ("a",)),
    ],
)
async def test_roles_come_from_the_claim_that_is_named(name, changed, roles):
    assert (await caller(signed({}, **changed), replace(ACCESS, roles_claim=name))).roles == roles


async def test_nothing_of_a_token_is_logged_or_told(caplog):
    caplog.set_level(logging.DEBUG)
    token = signed({"kid": "Doe-John"}, sub="Roe-Jane", iss="https://secret.example")
    for bad in (token, signed({}, sub="Roe-Jane", iss="https://secret.example"), "Doe-John.x.y"):
        with pytest.raises(NotAuthenticated) as caught:
            await gate().identify(Headers(bearer(bad).items()))
        said = caplog.text + str(caught.value) + caught.value.challenge
        assert not any(word in said for word in ("Doe", "Roe", "secret", bad[:20]))
    assert "token refused: " in caplog.text
