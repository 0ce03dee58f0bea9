"""What an export asks for: its body, checked at once and completely (contract C12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.dicom.uids import normalise_uid
from shared.errors import InvalidParameter
from shared.storage.destinationaddress import (
    CONNECTION,
    CONTAINER,
    IDENTITY,
    URI,
    Rules,
    Target,
    target_of_connection,
    target_of_uri,
)
from shared.wire.datasets import json_value

_LEVELS = 3
_DESTINATION = "destination.settings"
_SETTINGS = ("blobContainerUri", "connectionString", "blobContainerName", "useManagedIdentity")


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """An export as it was asked for.

    Attributes:
        values: identifiers of studies, series and instances, UIDs with slashes between; None for everything.
        target: where to.
    """

    values: tuple[str, ...] | None
    target: Target


def parse(body: bytes, rules: Rules) -> ExportRequest:
    """What a body asks for.

    Args:
        body: JSON.
        rules: what may be exported to.

    Raises:
        InvalidRequest: it is not of the form that is asked for, or not allowed.
    """
    content = json_value(body)
    # A member that is misspelt must not be lost: without its source, an export is one of everything.
    members = _members(content, "$", ("source", "destination"))
    return ExportRequest(_values(members.get("source")), _target(members.get("destination"), rules))


def _values(source: object) -> tuple[str, ...] | None:
    """The identifiers; None when there is no source, or none that says more than its type."""
    if source is None:
        return None
    members = _members(source, "source", ("type", "settings"))
    _expect_type(members, "source", "identifiers")
    if members.get("settings") is None:
        return None
    listed = _members(members["settings"], "source.settings", ("values",)).get("values")
    if not isinstance(listed, list) or not listed:
        raise InvalidParameter("source.settings.values", "must be an array of at least one identifier.")
    return tuple(dict.fromkeys(_identifier(value, place) for place, value in enumerate(listed)))


def _identifier(value: object, place: int) -> str:
    uids = [normalise_uid(part) for part in value.split("/")] if isinstance(value, str) else []
    known = [uid for uid in uids if uid is not None]
    if not 1 <= len(uids) <= _LEVELS or len(known) < len(uids):
        raise InvalidParameter(f"source.settings.values[{place}]", "must be one to three UIDs with slashes between.")
    return "/".join(known)


def _target(destination: object, rules: Rules) -> Target:
    if destination is None:
        raise InvalidParameter("destination", "is missing.")
    members = _members(destination, "destination", ("type", "settings"))
    _expect_type(members, "destination", "azureblob")
    given = _members(members.get("settings"), _DESTINATION, _SETTINGS)
    uri, connection, container = (_text(given, name) for name in _SETTINGS[:3])
    identity = given.get("useManagedIdentity")
    if identity not in (None, True, False) or (isinstance(identity, (int, float)) and not isinstance(identity, bool)):
        raise InvalidParameter(IDENTITY, "must be true or false.")
    if uri and (connection or container):
        raise InvalidParameter(_DESTINATION, "either a URL or a connection string with a name, not both.")
    if uri:
        return target_of_uri(uri, rules, identity=bool(identity))
    if not connection or not container:
        raise InvalidParameter(_DESTINATION, f"needs {_name(URI)}, or {_name(CONNECTION)} and {_name(CONTAINER)}.")
    if identity:
        raise InvalidParameter(IDENTITY, "does not go with a connection string.")
    return target_of_connection(connection, container, rules)


def _members(value: object, name: str, known: Sequence[str]) -> Mapping[str, Any]:
    """The members of an object, by their names as the contract spells them; case does not count."""
    if not isinstance(value, dict):
        raise InvalidParameter(name, "must be an object.")
    spelt = {one.lower(): one for one in known}
    found = {spelt[key.lower()]: member for key, member in value.items() if key.lower() in spelt}
    if len(found) < len(value):
        raise InvalidParameter(name, f"has a member that is none of {', '.join(known)}, or has one twice.")
    return found


def _expect_type(members: Mapping[str, Any], name: str, wanted: str) -> None:
    word = members.get("type")
    if not isinstance(word, str) or word.lower() != wanted:
        raise InvalidParameter(f"{name}.type", f"must be {wanted}.")


def _text(members: Mapping[str, Any], name: str) -> str:
    value = members.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidParameter(f"{_DESTINATION}.{name}", "must be a text.")
    return (value or "").strip()


def _name(path: str) -> str:
    return path.rpartition(".")[2]
