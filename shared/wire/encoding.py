"""Content codings (RFC 9110 §8.4): whether a client takes a compressed body."""

from __future__ import annotations


def accepts_gzip(accept_encoding: str | None) -> bool:
    """Whether `gzip` is acceptable by an Accept-Encoding header; no header means no."""
    weights: dict[str, float] = {}
    for element in (accept_encoding or "").split(","):
        coding, *parameters = (piece.strip().lower() for piece in element.split(";"))
        weights[coding] = next((_weight(text[2:]) for text in parameters if text.startswith("q=")), 1.0)
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
