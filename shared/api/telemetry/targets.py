"""Where traces and metrics go: the standard variables (OpenTelemetry specification, "OTLP Exporter Configuration").

The SDK reads those about resources, samplers and queues by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from shared.settings import SettingsError

_SIGNALS = ("TRACES", "METRICS")
# A token (RFC 9110 §5.6.2).
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, slots=True)
class Target:
    """Where one kind of telemetry goes, by OTLP over HTTP.

    Attributes:
        url: complete address.
        headers: sent along; their values may be secrets.
        certificate: file with the authorities that are trusted; empty for the usual ones.
        compressed: whether bodies are compressed with gzip.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    certificate: str = ""
    compressed: bool = False


@dataclass(frozen=True, slots=True)
class Targets:
    """All that the variables say to us.

    Attributes:
        traces: where they go; None for nowhere.
        metrics: where they go; None for nowhere.
        sampler: whether a sampler is named. Without one every request is traced.
        deltas: whether metrics tell what has come since they were sent last, and not since the start.
    """

    traces: Target | None
    metrics: Target | None
    sampler: bool = False
    deltas: bool = False


def read(values: Mapping[str, str]) -> Targets | None:
    """What the variables say; None when nothing goes anywhere.

    Raises:
        SettingsError: listing every variable that is wrong, without its value, which may be a secret.
    """
    if _word(values, "OTEL_SDK_DISABLED") == "true":
        return None
    faults: list[str] = []
    traces, metrics = (_target(values, signal, faults) for signal in _SIGNALS)
    if traces is None and metrics is None:
        return None
    preference = _word(values, "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE") or "cumulative"
    if preference not in ("cumulative", "delta"):
        faults.append("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE must be cumulative or delta")
    if faults:
        raise SettingsError("wrong settings:\n" + "\n".join(f"  - {fault}" for fault in dict.fromkeys(faults)))
    return Targets(traces, metrics, bool(_word(values, "OTEL_TRACES_SAMPLER")), preference == "delta")


def _target(values: Mapping[str, str], signal: str, faults: list[str]) -> Target | None:
    """Where one kind goes: a variable of its own comes before the one for all."""
    own = values.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", "").strip()
    common = values.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
    if not (own or common) or _word(values, f"OTEL_{signal}_EXPORTER") == "none":
        return None

    def given(name: str) -> str:
        return (
            values.get(f"OTEL_EXPORTER_OTLP_{signal}_{name}") or values.get(f"OTEL_EXPORTER_OTLP_{name}", "")
        ).strip()

    def fault(name: str, must: str) -> None:
        faults.append(f"OTEL_EXPORTER_OTLP_{name} and OTEL_EXPORTER_OTLP_{signal}_{name} must be {must}")

    url = own or f"{common.removesuffix('/')}/v1/{signal.lower()}"
    if not _is_http(own or common):
        fault("ENDPOINT", "http or https addresses")
    if given("PROTOCOL").lower() not in ("", "http/protobuf"):
        fault("PROTOCOL", "http/protobuf: nothing else is spoken here")
    if given("COMPRESSION").lower() not in ("", "none", "gzip"):
        fault("COMPRESSION", "gzip or none")
    headers = _headers(given("HEADERS"))
    if headers is None:
        fault("HEADERS", "name=value, with commas between them")
    return Target(url, headers or (), given("CERTIFICATE"), given("COMPRESSION").lower() == "gzip")


def _word(values: Mapping[str, str], name: str) -> str:
    return values.get(name, "").strip().lower()


def _headers(text: str) -> tuple[tuple[str, str], ...] | None:
    """Names and values, which are percent-encoded; None when the text is something else."""
    found = []
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = (unquote(part.strip()) for part in pair.partition("="))
        if _HEADER.fullmatch(name) is None or not (value.isascii() and value.isprintable()):
            return None
        found.append((name, value))
    return tuple(found)


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
