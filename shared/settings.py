"""Settings of the service: environment variables, read once and checked at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DEFAULT_MAX_REQUEST_BYTES = 200 * 1024 * 1024
DEFAULT_LEASE_SECONDS = 120
EXPORT_DESTINATIONS = ("identity", "sas", "emulator")
"""What may be exported to: containers reached with the service's identity, with a SAS, and the emulator's."""


class SettingsError(ValueError):
    """One or more settings are wrong; the text lists all of them."""


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
        )


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in (part.strip() for part in text.split(",")) if word)


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
