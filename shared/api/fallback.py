"""Answers to paths and methods that no row of the asked version serves (contract a.2): 400, 404, 405 and 410."""

from __future__ import annotations

import json
from dataclasses import dataclass

from shared.api import problems
from shared.api.arrival import Arrival
from shared.api.lifecycle import Retirement
from shared.api.lineup import Found, HeaderLines, Lineup
from shared.api.manifest import ApiVersion
from shared.wire.call import Reply

JSON = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Fallback:
    """What a catch-all answers.

    Attributes:
        lineup: all versions of the manifests.
        version: the version the catch-all stands below, served or retired; None for every text that reads as a version.
        absent: whether it stands at the path of an operation that only other versions have, and that a wider row of
            this one would take for its own: 404 without a body (contract D2).
    """

    lineup: Lineup
    version: ApiVersion | Retirement | None
    absent: bool = False

    def reply(self, arrival: Arrival) -> tuple[Reply, HeaderLines]:
        """The answer, and the version headers that belong to it."""
        path = arrival.path_values.get("path") or ""
        found = self.lineup.at(path)
        alike = [one for one in found if one.row.method == arrival.method]
        headers = self.lineup.headers_at(alike or found)
        if isinstance(self.version, Retirement):
            return _gone(self.version), headers
        if self.absent:
            return Reply(404), headers
        if self.version is not None:
            return self._below(self.version, arrival, found, alike), headers
        known = self.lineup.spelled(arrival.path_values.get("version", ""))
        if known is not None:
            text = f"Version {known.label.name} exists, but this deployment of the service does not serve it."
            return problems.text(404, text), headers
        return _unsupported(arrival, 400), headers

    def _below(self, version: ApiVersion, arrival: Arrival, found: list[Found], alike: list[Found]) -> Reply:
        methods = sorted({one.row.method for one in found if one.version.label == version.label})
        if not methods:
            if alike:
                return _unsupported(arrival, 400)
            return problems.text(404, f"Version {version.label.name} has nothing at this path.")
        allow = (("Allow", ", ".join(methods)),)
        if alike:
            return _unsupported(arrival, 405, allow)
        return problems.text(405, f"This path does not take {arrival.method}; it takes {', '.join(methods)}.", allow)


def _gone(end: Retirement) -> Reply:
    successor = end.successor.removeprefix("v")
    text = f"Version {end.label.name} was retired on {end.on}. Use version {successor}; read more at {end.read_more}"
    return problems.text(410, text)


def _unsupported(arrival: Arrival, status: int, headers: HeaderLines = ()) -> Reply:
    """The JSON answer that names the requested address and version."""
    segment = arrival.path_values.get("version", "")
    path = "/".join(filter(None, (segment, arrival.path_values.get("path") or "")))
    address = f"{arrival.scheme}://{arrival.host}/{path}"
    message = f"{arrival.method} {address} is not served by API version {segment.removeprefix('v').removeprefix('V')}."
    body = {"error": {"code": "UnsupportedApiVersion", "message": message}}
    return Reply(status, json.dumps(body).encode(), JSON, headers)
