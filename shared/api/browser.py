"""Headers of every answer: what browsers are told to leave alone, and what pages of other origins may do with it.

Which pages may ask is answered by the platform, preflights too: it has the list of `DICOM_CORS_ORIGINS`, and the local
host takes its part. What the platform does not say is which headers a page may read, and who may embed an answer.
"""

from __future__ import annotations

from shared.api.arrival import Arrival
from shared.api.lineup import HeaderLines

_BASE: HeaderLines = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "SAMEORIGIN"),
    ("Content-Security-Policy", "frame-src 'self';"),
)
"""Contract C1.2."""

EXPOSED = (
    "Accept-Ranges",
    "api-deprecated-versions",
    "api-supported-versions",
    "Content-Length",
    "Content-Location",
    "Content-Range",
    "Deprecation",
    "erroneous-dicom-attributes",
    "ETag",
    "Link",
    "Location",
    "Retry-After",
    "Server-Timing",
    "Sunset",
    "Warning",
    "WWW-Authenticate",
)
"""Every header that an answer may have and that scripts cannot read by themselves (Fetch Standard, "CORS-safelisted
response-header name"). Content-Type is always readable."""


def headers(arrival: Arrival, origins: tuple[str, ...]) -> HeaderLines:
    """The headers that an answer has whatever it is.

    Args:
        arrival: the request.
        origins: pages of which origins may ask; empty when no other page may.
    """
    if not origins:
        return (*_BASE, ("Cross-Origin-Resource-Policy", "same-origin"))
    # Viewers that share memory between workers (COEP) are refused what does not say this, whoever they are.
    always = (*_BASE, ("Cross-Origin-Resource-Policy", "cross-origin"))
    if arrival.headers.get("Origin") is None:
        return always
    return (*always, ("Access-Control-Expose-Headers", ", ".join(EXPOSED)))
