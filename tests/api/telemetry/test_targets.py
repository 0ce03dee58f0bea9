"""Which variables of OpenTelemetry say what, and which are refused at start."""

from __future__ import annotations

import subprocess
import sys

import pytest

from shared.api.telemetry import targets
from shared.api.telemetry.targets import Target, Targets
from shared.api.telemetry.told import OFF, open_telemetry
from shared.dev.collector import collecting
from shared.settings import Settings, SettingsError
from tests.support.served import ROOT

ALL = "OTEL_EXPORTER_OTLP_ENDPOINT"
SECRET = "api-key=MarkerOfAKey"


@pytest.mark.parametrize(
    "values",
    [
        {},
        {ALL: " "},
        {"OTEL_SERVICE_NAME": "dicom"},
        {ALL: "http://c:4318", "OTEL_SDK_DISABLED": "TRUE"},
        {ALL: "http://c:4318", "OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"},
    ],
)
def test_without_a_place_nothing_is_told(values):
    assert targets.read(values) is None
    assert open_telemetry(Settings(telemetry=tuple(values.items()))) is OFF


def test_one_place_for_all_takes_each_kind_below_it():
    for base in ("https://c/otlp", "https://c/otlp/"):
        found = targets.read({ALL: base})
        assert found == Targets(Target("https://c/otlp/v1/traces"), Target("https://c/otlp/v1/metrics"))


def test_a_variable_of_one_kind_comes_before_that_for_all():
    found = targets.read(
        {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://t/in",
            "OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%2Cb, x=1",
            "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "gzip",
            "OTEL_EXPORTER_OTLP_CERTIFICATE": "/ca.pem",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            "OTEL_TRACES_SAMPLER": "always_off",
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "Delta",
        }
    )
    expected = Target("https://t/in", (("api-key", "a,b"), ("x", "1")), "/ca.pem", compressed=True)
    assert found == Targets(expected, None, sampler=True, deltas=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (ALL, "collector:4318"),
        (ALL, "ftp://collector"),
        (ALL, "http://"),
        (ALL, "http://[::"),
        (ALL, "http://c:99999"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "zstd"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "no value"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b%0d%0aInjected: 1"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "lowmemory"),
    ],
)
def test_what_cannot_be_meant_stops_the_start_and_is_named_without_its_value(name, value):
    values = {ALL: "http://c", "OTEL_EXPORTER_OTLP_TRACES_HEADERS": SECRET, name: value}
    with pytest.raises(SettingsError, match=name) as raised:
        targets.read(values)
    assert value not in str(raised.value) or value in ("grpc",)
    assert "MarkerOfAKey" not in str(raised.value)


def test_keys_of_backends_are_in_no_text_of_the_settings():
    values = {"DICOM_STORAGE": "UseDevelopmentStorage=true", ALL: "http://c", "OTEL_EXPORTER_OTLP_HEADERS": SECRET}
    settings = Settings.from_env(values)
    found = targets.read(dict(settings.telemetry))
    assert found is not None
    assert found.traces is not None
    assert dict(found.traces.headers) == {"api-key": "MarkerOfAKey"}
    assert "MarkerOfAKey" not in f"{settings} {found}"


def test_a_queue_that_the_sdk_refuses_stops_the_start(monkeypatch):
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")
    with pytest.raises(SettingsError, match="OTEL_BSP"):
        open_telemetry(Settings(telemetry=((ALL, "http://127.0.0.1:9/queue"), ("OTEL_METRICS_EXPORTER", "none"))))


_LOADED = """
import sys
{}
print(sorted(name for name in sys.modules if name.startswith(("opentelemetry.sdk", "google.protobuf"))))
"""
_OPENED = """
from shared.api.telemetry.told import open_telemetry
from shared.settings import Settings
open_telemetry(Settings.from_env())
"""


@pytest.mark.parametrize("code", [_OPENED, pytest.param("import function_app", marks=pytest.mark.slow)])
def test_without_the_variables_nothing_of_the_sdk_is_loaded(code):
    run = subprocess.run(
        [sys.executable, "-c", _LOADED.format(code)],
        cwd=ROOT,
        env={"DICOM_STORAGE": "UseDevelopmentStorage=true"},
        capture_output=True,
        check=True,
        timeout=120,
    )
    assert run.stdout.decode().strip() == "[]"


_WORKED = """
from shared.api.telemetry.told import Work, open_telemetry
from shared.settings import Settings
from shared.storage.meter import Meter
open_telemetry(Settings.from_env()).worked(Work("sweep", "succeeded", Meter(), 1.0))
"""


@pytest.mark.slow
def test_what_is_left_is_sent_when_a_worker_ends():
    with collecting() as (url, received):
        environment = {"DICOM_STORAGE": "UseDevelopmentStorage=true", ALL: url}
        subprocess.run([sys.executable, "-c", _WORKED], cwd=ROOT, env=environment, check=True, timeout=120)
    assert [span.name for span in received.spans] == ["sweep"]
    assert {"dicom.work.duration"} <= {point.metric for point in received.points}
