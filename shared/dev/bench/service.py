"""The service under measurement: the real local host, a process of its own, over an in-memory Azurite."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared.dev.azurite import RunningAzurite
from shared.dev.bench.report import KIB, BenchError
from shared.dev.host.settings import environment
from shared.dev.processes import Child, Guard
from shared.dev.repository import SAMPLE_SETTINGS

_BASE_URL = re.compile(r"^Base URL: (http://\S+)$", re.MULTILINE)
_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
# A multipart body of 200 MiB of instances is a little longer than that; the platform lets 210 MiB through.
_MAX_REQUEST_BYTES = 210 * 1024 * 1024
_CLEAR_PEAK = "5"
_TICKS_PER_SECOND = 100


@dataclass(frozen=True, slots=True)
class Service:
    """A running service.

    Attributes:
        url: its base, without a trailing slash.
        pid: of the process that serves.
        connection_string: of its storage.
    """

    url: str
    pid: int
    connection_string: str

    def rss_bytes(self) -> int:
        """Memory it holds now."""
        return self._status("VmRSS")

    def peak_bytes(self) -> int:
        """The most it held since `clear_peak`."""
        return self._status("VmHWM")

    def clear_peak(self) -> None:
        """Let the peak begin anew at what it holds now."""
        try:
            self._proc("clear_refs").write_text(_CLEAR_PEAK)
        except OSError as error:
            raise BenchError(f"the peak of the process cannot be cleared here: {error.strerror}") from error

    def cpu_seconds(self) -> float:
        """Processor time it has used."""
        fields = self._read("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND

    def _status(self, name: str) -> int:
        found = re.search(rf"^{name}:\s+(\d+) kB$", self._read("status"), re.MULTILINE)
        if found is None:
            raise BenchError(f"/proc does not say {name} of a process here")
        return int(found[1]) * KIB

    def _read(self, name: str) -> str:
        try:
            return self._proc(name).read_text()
        except OSError as error:
            raise BenchError("needs Linux: the figures of a process are read from /proc") from error

    def _proc(self, name: str) -> Path:
        return Path("/proc", str(self.pid), name)


@contextmanager
def running_service(settings: Mapping[str, str] | None = None) -> Iterator[Service]:
    """Storage and service for the length of a block, with the settings of the sample.

    Args:
        settings: on top of those.
    """
    # Settings of the person who runs the benchmark stay out of it.
    inherited = {
        name: value for name, value in environment().items() if not name.startswith(("DICOM_", "AzureWebJobs"))
    }
    with RunningAzurite(None, inherited) as azurite:
        chosen = {
            "AzureWebJobsStorage": azurite.connection_string,
            "DICOM_STORAGE": azurite.connection_string,
            "DICOM_MAX_REQUEST_BYTES": str(_MAX_REQUEST_BYTES),
            **(settings or {}),
        }
        sample = str(SAMPLE_SETTINGS)
        command = [sys.executable, "-u", "-m", "shared.dev.host", "--brief", "--port", "0", "--settings", sample]
        host = Child("the service", command, {**inherited, **chosen})
        guard = Guard(inherited)
        guard.watch(host.pid)
        try:
            yield Service(_base_url(host), host.pid, azurite.connection_string)
        finally:
            host.stop(_STOP_SECONDS)
            guard.dismiss()


def _base_url(host: Child) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        found = _BASE_URL.search(host.last_lines())
        if found:
            # By number: `localhost` may be tried as an IPv6 address first.
            return found[1].replace("localhost", "127.0.0.1")
        if host.exit_code() is not None:
            break
        time.sleep(0.05)
    raise BenchError(f"the service did not start:\n{host.last_lines()}")
