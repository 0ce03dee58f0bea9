"""Traces and metrics for OpenTelemetry backends (docs/operating.md): what is told, how it is written, where it goes."""
