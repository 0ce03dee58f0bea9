"""One record for each access to data (contract C18): who, what, which resources, with what outcome.

A record is a line of JSON of the logger `dicom.audit`, written when the outcome is known and before any of the answer
is sent. It never has attribute values, and nothing of a query string.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydicom.datadict import tag_for_keyword

from shared.api.access.tokens import Caller
from shared.api.endpoints import Endpoint, Service
from shared.api.params import Kind, Place
from shared.errors import InvalidRequest
from shared.storage.filerecords import FileRecord
from shared.wire.call import Headers, Reply

LOG = logging.getLogger("dicom.audit")

# Contract C1.9.
PREFIX = "X-MS-AZUREDICOM-AUDIT-"
MOST_HEADERS = 10
MOST_HEADER_CHARACTERS = 2048

MOST_RESOURCES = 100
"""So many of those that an answer is about are named; the number of all is in the record."""

ANONYMOUS = "anonymous"

_UIDS = re.compile(r"[0-9.]{1,64}(?:/[0-9.]{1,64}){0,2}", re.ASCII)
# Path parameters of the type text, which rooms check themselves: tags and ids. A word may be anybody's name.
_NUMBER = re.compile(r"[0-9A-Fa-f]{8}|[0-9A-Fa-f]{32}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", re.ASCII)


@dataclass(slots=True)
class Visit:
    """What is known of a request so far. It grows while the request is checked, so that a refusal has a record as well.

    Attributes:
        caller: who calls; None when nobody was asked, or nobody could be told.
        custom: what the client wants to have in the record, by header.
        partition: the data partition; empty until it is known.
        resources: path parameters by name, once they are checked.
    """

    caller: Caller | None = None
    custom: Mapping[str, str] = field(default_factory=dict)
    partition: str = ""
    resources: Mapping[str, object] = field(default_factory=dict)


def custom_headers(headers: Headers) -> dict[str, str]:
    """The audit headers of a request, by lower-case name.

    Raises:
        InvalidRequest: there are too many, or one is too long.
    """
    found = headers.starting(PREFIX)
    if len(found) > MOST_HEADERS:
        raise InvalidRequest(f"There are more than {MOST_HEADERS} headers whose names begin with {PREFIX}.")
    if any(len(value) > MOST_HEADER_CHARACTERS for value in found.values()):
        raise InvalidRequest(f"A header whose name begins with {PREFIX} is longer than {MOST_HEADER_CHARACTERS}.")
    return found


def resources(service: Service, values: Mapping[str, object]) -> dict[str, object]:
    """The path parameters that name something, from the values that were read.

    Those of the type text are there when they are a tag, a keyword of the standard or an id; rooms refuse others.
    """
    found: dict[str, object] = {}
    for parameter in service.parameters:
        value = values.get(parameter.binds)
        if parameter.place is not Place.PATH or value is None:
            continue
        if isinstance(value, tuple | list):
            found[parameter.name] = list(value[:MOST_RESOURCES])
        elif parameter.kind is not Kind.TEXT or _is_name(str(value)):
            found[parameter.name] = value
    return found


def _is_name(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None or tag_for_keyword(text) is not None


def write(endpoint: Endpoint, service: Service, visit: Visit, reply: Reply) -> None:
    """Write the record of a request, if requests of its kind have one."""
    if service.rule.audit:
        # ASCII, and no control character: whatever somebody sends, a record stays one line.
        LOG.info("%s", json.dumps(_record(endpoint, service, visit, reply), default=str).replace("\x7f", "\\u007f"))


def write_import(version: str, mark: str, record: FileRecord) -> None:
    """Write the record of a file that was imported, or was not.

    Nobody calls: who dropped it is in the log of the storage account. Its path may be somebody's name, so it is not
    here; `mark` is what the work's own log calls it.

    Args:
        version: label of the version by whose rules it was judged.
        mark: of the file.
        record: how it ended.
    """
    uids = {
        "studyInstanceUid": record.study_uid,
        "seriesInstanceUid": record.series_uid,
        "sopInstanceUid": record.sop_instance_uid,
    }
    parts: dict[str, Any] = {
        "time": _now(),
        "action": "bulk-import-store",
        "version": version,
        "outcome": record.status.value,
        "partition": record.partition,
        "resources": {name: uid for name, uid in uids.items() if _UIDS.fullmatch(uid)},
        "mark": mark,
        "reason": record.failure_reason or None,
    }
    LOG.info("%s", json.dumps(_given(parts)))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# Any: a record is a JSON object.
def _record(endpoint: Endpoint, service: Service, visit: Visit, reply: Reply) -> dict[str, Any]:
    about = _named(reply.about)
    parts: dict[str, Any] = {
        "time": _now(),
        "action": service.rule.audit,
        "operation": endpoint.operation,
        "version": endpoint.version,
        "outcome": reply.status,
        "caller": ANONYMOUS if visit.caller is None else _given(asdict(visit.caller)),
        "partition": visit.partition,
        "resources": visit.resources,
        "about": about[:MOST_RESOURCES],
        "aboutCount": len(about) if about else None,
        "custom": visit.custom,
    }
    return _given(parts)


def _given(parts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parts.items() if value not in (None, "", {}, [], ())}


def _named(about: Iterable[str]) -> list[str]:
    """Names that are UIDs and nothing else, each once."""
    return [name for name in dict.fromkeys(about) if _UIDS.fullmatch(name)]
