"""What the local host takes from host.json: the route prefix and the rules of queue triggers."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TIME_SPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{2}):(\d{2})(?:\.\d+)?")


class HostJsonError(ValueError):
    """host.json cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class QueueRules:
    """How queue triggers are run (the storage extension's own names and defaults).

    Attributes:
        batch_size: messages fetched at once, 1 to 32.
        new_batch_threshold: the next batch is fetched when no more than so many run.
        max_dequeue_count: tries before a message goes to the poison queue.
        visibility_seconds: how long a failed message stays hidden.
        max_polling_seconds: the longest pause between two looks at an empty queue.
        base64: whether message texts are base64.
        lease_seconds: for how long a fetched message is hidden; renewed at half time while its function runs.
    """

    batch_size: int = 16
    new_batch_threshold: int = 8
    max_dequeue_count: int = 5
    visibility_seconds: int = 0
    max_polling_seconds: float = 60.0
    base64: bool = True
    lease_seconds: int = 600


@dataclass(frozen=True, slots=True)
class HostOptions:
    """The parts of host.json that matter here.

    Attributes:
        route_prefix: first path segment(s) of every HTTP route, without slashes at the ends.
        has_bundle: whether an extension bundle is named; queue and timer triggers need one.
        queues: rules of queue triggers.
    """

    route_prefix: str = "api"
    has_bundle: bool = False
    queues: QueueRules = QueueRules()


def read(folder: Path) -> HostOptions:
    """Read host.json of an app folder.

    Raises:
        HostJsonError: it is missing or wrong.
    """
    path = folder / "host.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise HostJsonError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise HostJsonError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict) or content.get("version") != "2.0":
        raise HostJsonError(f'{path}: "version" must be "2.0"')
    extensions = _object(content, "extensions")
    prefix = _object(extensions, "http").get("routePrefix", "api")
    if not isinstance(prefix, str):
        raise HostJsonError("host.json: routePrefix must be a string")
    return HostOptions(
        prefix.strip("/"), bool(_object(content, "extensionBundle")), _queue_rules(_object(extensions, "queues"))
    )


def _object(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = content.get(name, {})
    if not isinstance(found, dict):
        raise HostJsonError(f"host.json: {name} must be an object")
    return found


def _queue_rules(section: Mapping[str, Any]) -> QueueRules:
    batch_size = _whole(section, "batchSize", 16, 1, 32)
    encoding = section.get("messageEncoding", "base64")
    if encoding not in ("base64", "none"):
        raise HostJsonError("host.json: queues.messageEncoding must be base64 or none")
    return QueueRules(
        batch_size=batch_size,
        new_batch_threshold=_whole(
            section, "newBatchThreshold", max(1, batch_size // 2 * (os.cpu_count() or 1)), 0, 1000
        ),
        max_dequeue_count=_whole(section, "maxDequeueCount", 5, 1, 1000),
        visibility_seconds=_seconds(section, "visibilityTimeout", 0),
        max_polling_seconds=_seconds(section, "maxPollingInterval", 60) or 0.1,
        base64=encoding == "base64",
    )


def _whole(section: Mapping[str, Any], name: str, default: int, low: int, high: int) -> int:
    value = section.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise HostJsonError(f"host.json: queues.{name} must be a whole number from {low} to {high}")
    return value


def _seconds(section: Mapping[str, Any], name: str, default: int) -> int:
    value = section.get(name)
    if value is None:
        return default
    found = _TIME_SPAN.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise HostJsonError(f"host.json: queues.{name} must be a time such as 00:00:30")
    days, hours, minutes, seconds = (int(group or 0) for group in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
