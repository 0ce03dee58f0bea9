"""Settings of the service: environment variables, read once and checked at once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

DEFAULT_MAX_REQUEST_BYTES = 200 * 1024 * 1024
DEFAULT_LEASE_SECONDS = 120
EXPORT_DESTINATIONS = ("identity", "sas", "emulator")
"""What may be exported to: containers reached with the service's identity, with a SAS, and the emulator's."""

_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?")
# Names of queues follow from it, which are as strict; the longest of them, and of the containers, is 8 longer.
_CONTAINER = r"(?=.{3,55}$)[a-z0-9]+(-[a-z0-9]+)*"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class SettingsError(ValueError):
    """One or more settings are wrong; the text lists all of them."""


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """Who may call (contract C16). Everything but `on` has no meaning while that is false.

    Attributes:
        on: whether callers have to show a token.
        authority: address below which the issuer's OpenID configuration is; empty when `jwks_url` is given.
        jwks_url: address of the issuer's keys; empty when the OpenID configuration says it.
        issuers: taken as `iss`; empty for the one that the OpenID configuration names.
        audiences: taken as `aud`; the first one is told to callers without a token.
        tenants: taken as `tid`; empty when the claim is not looked at.
        roles_claim: the claim with the caller's roles.
        roles: JSON text of further roles; empty for none.
    """

    on: bool = False
    authority: str = ""
    jwks_url: str = ""
    issuers: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    roles_claim: str = "roles"
    roles: str = ""


@dataclass(frozen=True, slots=True)
class ImportSettings:
    """What becomes of files that are dropped into a container.

    Attributes:
        on: whether they are stored.
        container: the container; the queue has the same name.
        version: label of the version whose rules they are judged by; empty for the newest stable one.
        keep_stored: whether a stored file is kept, or goes.
    """

    on: bool = True
    container: str = "dicom-import"
    version: str = ""
    keep_stored: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of the service.

    Attributes:
        storage_connection: connection string of the data account; empty when `storage_account` is given.
        storage_account: name of the data account, reached with a managed identity.
        identity_client_id: client id of a user-assigned identity; empty for the system-assigned one.
        container: the blob container that holds instances.
        api_versions: labels this app serves; empty for all in `versions/`.
        max_request_bytes: the largest request body taken, in bytes.
        data_partitions: whether data lives in named partitions.
        background: whether this app runs work that no request waits for.
        lease_seconds: how long an operation stays with a worker that fell silent.
        export: whether instances may be exported.
        export_destinations: words of `EXPORT_DESTINATIONS`; empty for the first two, and for the emulator when the
            service itself stores in one.
        access: who may call.
        cors_origins: origins of pages in browsers that may use the service; `*` alone is all of them.
        trust_forwarded: whether a proxy says how clients reach the service, and clients cannot pretend to be one.
        server_timing: whether answers tell how long they took, and how long of that storage did.
        telemetry: the standard variables of OpenTelemetry that are set, by name; api/telemetry/targets.py reads them.
    """

    storage_connection: str = "UseDevelopmentStorage=true"
    storage_account: str = ""
    identity_client_id: str = ""
    container: str = "dicom"
    api_versions: tuple[str, ...] = ()
    max_request_bytes: int = DEFAULT_MAX_REQUEST_BYTES
    data_partitions: bool = False
    background: bool = True
    lease_seconds: int = DEFAULT_LEASE_SECONDS
    export: bool = True
    export_destinations: tuple[str, ...] = ()
    access: AccessSettings = AccessSettings()
    imports: ImportSettings = ImportSettings()
    cors_origins: tuple[str, ...] = ()
    trust_forwarded: bool = False
    server_timing: bool = False
    # Not shown: one of them holds the keys of a backend.
    telemetry: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read the settings.

        Args:
            env: where to read from; the process environment when None.

        Raises:
            SettingsError: listing every setting that is wrong.
        """
        values = os.environ if env is None else env
        faults: list[str] = []
        account = values.get("DICOM_STORAGE__accountName", "").strip()
        connection = values.get("DICOM_STORAGE", "").strip()
        if bool(account) == bool(connection):
            faults.append("set exactly one of DICOM_STORAGE (connection string) and DICOM_STORAGE__accountName")
        max_request_bytes = _whole_number(values, "DICOM_MAX_REQUEST_BYTES", DEFAULT_MAX_REQUEST_BYTES, faults)
        data_partitions = _switch(values, "DICOM_DATA_PARTITIONS", "off", faults)
        background = _switch(values, "DICOM_BACKGROUND", "on", faults)
        lease_seconds = _whole_number(values, "DICOM_LEASE_SECONDS", DEFAULT_LEASE_SECONDS, faults)
        export = _switch(values, "DICOM_EXPORT", "on", faults)
        destinations = _choices(values, "DICOM_EXPORT_DESTINATIONS", EXPORT_DESTINATIONS, faults)
        access = _access(values, faults)
        imports = _imports(values, faults)
        cors_origins = _origins(values, faults)
        trust_forwarded = _switch(values, "DICOM_TRUST_FORWARDED", "off", faults)
        server_timing = _switch(values, "DICOM_SERVER_TIMING", "off", faults)
        if faults:
            raise SettingsError("wrong settings:\n" + "\n".join(f"  - {fault}" for fault in faults))
        return cls(
            storage_connection=connection,
            storage_account=account,
            identity_client_id=values.get("DICOM_STORAGE__clientId", "").strip(),
            container=values.get("DICOM_CONTAINER", "").strip() or "dicom",
            api_versions=_words(values.get("DICOM_API_VERSIONS", "")),
            max_request_bytes=max_request_bytes,
            data_partitions=data_partitions,
            background=background,
            lease_seconds=lease_seconds,
            export=export,
            export_destinations=destinations,
            access=access,
            imports=imports,
            cors_origins=cors_origins,
            trust_forwarded=trust_forwarded,
            server_timing=server_timing,
            telemetry=tuple((name, text) for name, text in values.items() if name.startswith("OTEL_") and text.strip()),
        )


def is_safe_address(url: str) -> bool:
    """Whether what is read there can be trusted: TLS, or this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if parts.scheme == "http":
        return parts.hostname in _LOOPBACK
    return parts.scheme == "https" and bool(parts.hostname)


def _access(values: Mapping[str, str], faults: list[str]) -> AccessSettings:
    word = values.get("DICOM_AUTH", "").strip().lower() or "off"
    if word not in ("off", "jwt"):
        faults.append("DICOM_AUTH must be off or jwt")
    found = AccessSettings(
        on=word == "jwt",
        authority=values.get("DICOM_AUTH_AUTHORITY", "").strip().rstrip("/"),
        jwks_url=values.get("DICOM_AUTH_JWKS_URL", "").strip(),
        issuers=_words(values.get("DICOM_AUTH_ISSUERS", "")),
        audiences=_words(values.get("DICOM_AUTH_AUDIENCES", "")),
        tenants=_words(values.get("DICOM_AUTH_TENANTS", "")),
        roles_claim=values.get("DICOM_AUTH_ROLES_CLAIM", "").strip() or "roles",
        roles=values.get("DICOM_AUTH_ROLES", "").strip(),
    )
    if found.on:
        faults.extend(_access_faults(found))
    return found


def _access_faults(access: AccessSettings) -> Iterator[str]:
    if not access.audiences:
        yield "DICOM_AUTH_AUDIENCES must name what tokens are for: without it, tokens for other services would be taken"
    if not access.authority and not access.jwks_url:
        yield "set DICOM_AUTH_AUTHORITY, or DICOM_AUTH_JWKS_URL and DICOM_AUTH_ISSUERS, to say whose tokens are taken"
    elif not access.authority and not access.issuers:
        yield "DICOM_AUTH_ISSUERS must name the issuers when there is no DICOM_AUTH_AUTHORITY to tell it"
    for name, url in (("DICOM_AUTH_AUTHORITY", access.authority), ("DICOM_AUTH_JWKS_URL", access.jwks_url)):
        if url and not is_safe_address(url):
            yield f"{name} must be an https address (http only on this machine)"
    # They may go into a header of every 401.
    if not all(text.isascii() and text.isprintable() and '"' not in text for text in _told(access)):
        yield "DICOM_AUTH_AUTHORITY, _AUDIENCES and _ISSUERS must be plain ASCII without quotation marks"


def _told(access: AccessSettings) -> tuple[str, ...]:
    return (access.authority, *access.audiences, *access.issuers)


def _imports(values: Mapping[str, str], faults: list[str]) -> ImportSettings:
    default = ImportSettings()
    container = values.get("DICOM_IMPORT_CONTAINER", "").strip() or default.container
    if re.fullmatch(_CONTAINER, container) is None or container == "dicom-jobs":
        faults.append("DICOM_IMPORT_CONTAINER must be 3 to 55 small letters, digits and single hyphens, not dicom-jobs")
    if (values.get("DICOM_CONTAINER", "").strip() or "dicom") in (container, f"{container}-results"):
        faults.append("DICOM_IMPORT_CONTAINER and DICOM_CONTAINER must differ, and the latter from that of the results")
    stored = values.get("DICOM_IMPORT_STORED", "").strip().lower() or "delete"
    if stored not in ("delete", "keep"):
        faults.append("DICOM_IMPORT_STORED must be delete or keep")
    return ImportSettings(
        on=_switch(values, "DICOM_IMPORT", "on", faults),
        container=container,
        version=values.get("DICOM_IMPORT_VERSION", "").strip(),
        keep_stored=stored == "keep",
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in (part.strip() for part in text.split(",")) if word)


def _origins(values: Mapping[str, str], faults: list[str]) -> tuple[str, ...]:
    origins = _words(values.get("DICOM_CORS_ORIGINS", ""))
    if origins != ("*",) and not all(_ORIGIN.fullmatch(one) for one in origins):
        faults.append("DICOM_CORS_ORIGINS must be origins such as https://viewer.example.org, or * alone")
    return origins


def _choices(values: Mapping[str, str], name: str, known: Sequence[str], faults: list[str]) -> tuple[str, ...]:
    chosen = _words(values.get(name, "").lower())
    if not set(chosen) <= set(known):
        faults.append(f"{name} must be words of: {', '.join(known)}")
    return chosen


def _whole_number(values: Mapping[str, str], name: str, default: int, faults: list[str]) -> int:
    text = values.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal() or int(text) == 0:
        faults.append(f"{name} must be a whole number above 0")
        return default
    return int(text)


def _switch(values: Mapping[str, str], name: str, default: str, faults: list[str]) -> bool:
    text = values.get(name, "").strip().lower() or default
    if text not in ("on", "off"):
        faults.append(f"{name} must be on or off")
    return text == "on"
