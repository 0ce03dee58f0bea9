"""Messages about new files: events of Event Grid, in its own schema or as CloudEvents 1.0, one or an array of them.

A message is a hint and no order: it can name files of the import container and nothing else.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson

from shared.storage.dropped import Dropped

_CREATED = "Microsoft.Storage.BlobCreated"
_EMPTY_YET = frozenset({"CreateFile", "SftpCreate"})
"""Calls that make a file which its writer has not filled; another event follows."""


class BadNotice(ValueError):
    """A message that is no event, nor an array of events."""


def paths_of(text: str, dropped: Dropped) -> list[str]:
    """The files that a message says have come, each once; others than those of the import container are left out.

    Args:
        text: the message; base64 is taken off.
        dropped: the import container.

    Raises:
        BadNotice: it cannot be understood.
    """
    content = _content(text)
    events = [event for event in (content if isinstance(content, list) else [content]) if isinstance(event, dict)]
    if not events:
        raise BadNotice("the message is no event")
    found = (_path(event, dropped) for event in events)
    return list(dict.fromkeys(path for path in found if path is not None))


def _content(text: str) -> object:
    try:
        return orjson.loads(text)
    except ValueError:
        pass
    try:
        return orjson.loads(base64.b64decode(text.strip(), validate=True))
    except (ValueError, binascii.Error) as error:
        raise BadNotice("the message is not JSON") from error


def _path(event: dict[str, Any], dropped: Dropped) -> str | None:
    details, subject = event.get("data"), event.get("subject")
    # Event Grid calls it eventType, CloudEvents type.
    if event.get("eventType", event.get("type")) != _CREATED:
        return None
    if not isinstance(details, dict) or not isinstance(subject, str) or details.get("api") in _EMPTY_YET:
        return None
    url = details.get("url")
    return dropped.path_of(subject, url) if isinstance(url, str) else None


def notice(path: str, dropped: Dropped) -> str:
    """A message that says that a file has come."""
    event = {
        "eventType": _CREATED,
        "subject": dropped.subject(path),
        "data": {"url": dropped.url(path)},
    }
    return orjson.dumps(event).decode()
