"""How a request looked to the client, when a proxy that is trusted has written it down (contract C1.11).

A proxy that passes on what it got instead of writing its own lets every caller choose what our answers point to; so
nothing of this is read unless `DICOM_TRUST_FORWARDED` says that there is one that does not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from shared.api.arrival import Arrival, is_host
from shared.errors import InvalidParameter

_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~$-]{1,128}){1,16}/?")
_SCHEMES = ("http", "https")


@dataclass(frozen=True, slots=True)
class Outside:
    """What a proxy wrote down; None is what it did not.

    Attributes:
        host: with its port, where it has one.
        scheme: http or https.
        prefix: path that stands for all that is before the resource, version and data partition too.
    """

    host: str | None
    scheme: str | None
    prefix: str | None


def outside(arrival: Arrival) -> Outside:
    """What the proxy says of a request.

    Raises:
        InvalidParameter: a header of it is nothing that could stand in a URL.
    """
    host = _first(arrival, "X-Forwarded-Host")
    if host is not None and not is_host(host):
        raise InvalidParameter(
            "X-Forwarded-Host", "must be the name or address of a host, with its port where it has one"
        )
    scheme = _first(arrival, "X-Forwarded-Proto")
    if scheme is not None and scheme.lower() not in _SCHEMES:
        raise InvalidParameter("X-Forwarded-Proto", "must be http or https")
    prefix = _first(arrival, "X-Forwarded-Prefix")
    if prefix is not None and prefix != "/" and _PREFIX.fullmatch(prefix) is None:
        raise InvalidParameter("X-Forwarded-Prefix", "must be a path such as /imaging/v2")
    return Outside(host, scheme and scheme.lower(), None if prefix is None else prefix.rstrip("/"))


def seen(arrival: Arrival) -> Arrival:
    """The request as the client sent it to the proxy.

    Raises:
        InvalidParameter: a header of the proxy is nothing that could stand in a URL.
    """
    found = outside(arrival)
    return replace(arrival, outer_host=found.host, scheme=found.scheme or arrival.scheme, outer_prefix=found.prefix)


def _first(arrival: Arrival, name: str) -> str | None:
    """Proxies in a row each add theirs; the first is the one that the client talked to."""
    text = (arrival.headers.get(name) or "").partition(",")[0].strip()
    return text or None
