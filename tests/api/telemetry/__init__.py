"""Tests of shared/api/telemetry."""
