"""Which containers may be exported to (contract C12): addresses of Azure's blob services, and the emulator's. No I/O.

An address is taken apart once, by strict forms, and put together anew from its parts: what was not understood is not
sent anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import quote, unquote, urlsplit

from shared.errors import InvalidParameter
from shared.settings import EXPORT_DESTINATIONS, Settings
from shared.storage.account import EMULATOR_ACCOUNT, EMULATOR_KEY, Account

URI, CONNECTION, CONTAINER, IDENTITY = (
    f"destination.settings.{name}"
    for name in ("blobContainerUri", "connectionString", "blobContainerName", "useManagedIdentity")
)

_LOOPBACK = "127.0.0.1"
_EMULATOR_ORIGIN = f"http://{_LOOPBACK}:10000"
_CONTAINER = r"[a-z0-9](?:-?[a-z0-9]){2,62}"
_ACCOUNT = r"[a-z0-9]{3,24}"
# The public cloud and the sovereign ones; with private link; with a DNS zone in place of the account's region.
_HOST = (
    rf"{_ACCOUNT}(?:\.privatelink)?\.blob\.(?:core\.windows\.net|core\.usgovcloudapi\.net|core\.chinacloudapi\.cn)"
    rf"|{_ACCOUNT}(?:\.privatelink)?\.z[0-9]{{1,2}}\.blob\.storage\.azure\.net"
)
_QUERY = r"(?:\?(?P<query>[A-Za-z0-9%&=+._~:/,*!$'()@-]*))?"
_CLOUD = re.compile(rf"(?i:https)://(?P<host>(?i:{_HOST}))(?::443)?/(?P<container>{_CONTAINER})/?{_QUERY}", re.ASCII)
_EMULATED = re.compile(
    rf"(?i:http)://(?P<host>[A-Za-z0-9.-]+:[0-9]{{1,5}})/{EMULATOR_ACCOUNT}/(?P<container>{_CONTAINER})/?{_QUERY}",
    re.ASCII,
)
_SAS_NAMES = frozenset({
    "sv", "ss", "srt", "sp", "st", "se", "sr", "spr", "sig", "sip", "si", "sdd", "ses", "skoid", "sktid", "skt", "ske",
    "sks", "skv", "saoid", "suoid", "scid", "rscc", "rscd", "rsce", "rscl", "rsct",
})  # fmt: skip
_MOST_CHARACTERS = 4096


class Access(StrEnum):
    """What opens a container."""

    IDENTITY = "identity"
    SAS = "sas"
    EMULATOR = "emulator"


@dataclass(frozen=True, slots=True)
class Target:
    """A container, and what opens it.

    Attributes:
        url: of the container, without a trailing slash and without a secret.
        access: what opens it: the service's identity, a SAS, or the public key of the emulator.
        sas: the query that opens it; a secret. Empty for the other two.
    """

    url: str
    access: Access
    sas: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Rules:
    """What an app may export to.

    Attributes:
        allowed: words of `EXPORT_DESTINATIONS`.
        emulators: origins of emulators: that on the usual port, and the one the service itself stores in.
        own: URL of the container with the service's own data, which is none for exports.
    """

    allowed: frozenset[str]
    emulators: frozenset[str]
    own: str


def rules_of(settings: Settings, account: Account) -> Rules:
    """The rules of an app that stores in an account."""
    own = _by_number(f"{account.blob_url}/{settings.container}".lower())
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(own))
    emulated = origin.startswith("http:")
    usual = [word for word in EXPORT_DESTINATIONS if emulated or word != Access.EMULATOR]
    emulators = {_EMULATOR_ORIGIN, origin} if emulated else {_EMULATOR_ORIGIN}
    return Rules(
        allowed=frozenset(settings.export_destinations or usual),
        emulators=frozenset(emulators),
        own=own,
    )


def target_of_uri(text: str, rules: Rules, *, identity: bool, name: str = URI) -> Target:
    """The container that a URL names.

    Args:
        text: the URL, with or without a SAS.
        rules: of the app.
        identity: it is to be opened with the service's identity.
        name: where the URL was given.

    Raises:
        InvalidParameter: it is none that may be exported to.
    """
    cloud, emulated = _CLOUD.fullmatch(text), _EMULATED.fullmatch(text)
    if len(text) > _MOST_CHARACTERS or (found := cloud or emulated) is None:
        raise InvalidParameter(name, "must be the https URL of a container of Azure Blob Storage.")
    sas = _sas(found["query"] or "", name)
    if emulated is not None:
        origin = _by_number(f"http://{found['host'].lower()}")
        url = f"{origin}/{EMULATOR_ACCOUNT}/{found['container']}"
        if Access.EMULATOR not in rules.allowed or origin not in rules.emulators:
            raise InvalidParameter(name, "must be the https URL of a container of Azure Blob Storage.")
    else:
        url = f"https://{found['host'].lower()}/{found['container']}"
    if identity and (sas or emulated is not None):
        raise InvalidParameter(IDENTITY, "goes with the plain https URL of a container.")
    if not identity and not sas:
        raise InvalidParameter(name, f"must carry a SAS, or {IDENTITY} must be true.")
    return _allowed(Target(url, Access.IDENTITY if identity else Access.SAS, sas), rules)


def target_of_connection(text: str, container: str, rules: Rules) -> Target:
    """The container of that name in the account that a connection string names.

    Raises:
        InvalidParameter: it is none that may be exported to.
    """
    if not re.fullmatch(_CONTAINER, container, re.ASCII):
        raise InvalidParameter(CONTAINER, "is not a name of a container.")
    fields = _fields(text)
    if fields.get("usedevelopmentstorage", "").lower() == "true":
        endpoint = f"{_EMULATOR_ORIGIN}/{EMULATOR_ACCOUNT}"
        fields = {"accountname": EMULATOR_ACCOUNT, "accountkey": EMULATOR_KEY, "blobendpoint": endpoint}
    if "accountkey" in fields:
        return _emulator_by_key(fields, container, rules)
    if "sharedaccesssignature" not in fields:
        raise InvalidParameter(CONNECTION, "must carry a SharedAccessSignature.")
    name, suffix = fields.get("accountname", ""), fields.get("endpointsuffix", "core.windows.net")
    endpoint = fields.get("blobendpoint") or f"https://{name}.blob.{suffix}"
    query = fields["sharedaccesssignature"].lstrip("?")
    return target_of_uri(f"{endpoint.rstrip('/')}/{container}?{query}", rules, identity=False, name=CONNECTION)


def _emulator_by_key(fields: Mapping[str, str], container: str, rules: Rules) -> Target:
    """The emulator's key is public; no other is taken, because it would open the whole account."""
    endpoint = _by_number(fields.get("blobendpoint", "").rstrip("/").lower())
    known = {f"{origin}/{EMULATOR_ACCOUNT}" for origin in rules.emulators}
    named = (fields.get("accountname"), fields["accountkey"]) == (EMULATOR_ACCOUNT, EMULATOR_KEY)
    if not named or endpoint not in known or Access.EMULATOR not in rules.allowed:
        raise InvalidParameter(CONNECTION, "account keys are not taken; use a SAS or the service's identity.")
    return _allowed(Target(f"{endpoint}/{container}", Access.EMULATOR), rules)


def _by_number(url: str) -> str:
    """A URL that names no host whose address others may decide."""
    return url.replace("://localhost:", f"://{_LOOPBACK}:", 1)


def _allowed(target: Target, rules: Rules) -> Target:
    if target.access not in rules.allowed:
        known = {Access.SAS: "a SAS", Access.IDENTITY: "the service's identity", Access.EMULATOR: "the emulator"}
        raise InvalidParameter("destination.settings", f"{known[target.access]} is not allowed here.")
    if target.url.replace(".privatelink.", ".") == rules.own.replace(".privatelink.", "."):
        raise InvalidParameter("destination.settings", "the service's own container is none for exports.")
    return target


def _sas(query: str, name: str) -> str:
    """The query with every value percent-encoded; empty when there is none."""
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    names = [key for key, _, _ in pairs]
    if not pairs:
        return ""
    if not set(names) <= _SAS_NAMES or len(set(names)) < len(names) or "sig" not in names:
        raise InvalidParameter(name, "its query is not a SAS.")
    return "&".join(f"{key}={quote(unquote(value), safe='')}" for key, _, value in pairs)


def _fields(text: str) -> dict[str, str]:
    """Members of a connection string, names in lower case."""
    pairs = [part.partition("=") for part in text.strip().split(";") if part.strip()]
    fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if len(text) > _MOST_CHARACTERS or len(fields) < len(pairs) or not fields or "" in fields:
        raise InvalidParameter(CONNECTION, "is not a connection string.")
    return fields
