"""Orthanc with its DICOMweb plugin, a real process on free ports, empty at its start."""

from __future__ import annotations

import http.client
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared.dev import ports
from shared.dev.host.settings import environment
from shared.dev.peers import programs
from shared.dev.processes import Child, Guard

AE_TITLE = "ORTHANC"
_ROOT = "/dicom-web/"
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0


class OrthancFailed(Exception):
    """It did not start; the text has its last words."""


@dataclass(frozen=True, slots=True)
class Orthanc:
    """A running server.

    Attributes:
        url: of its own interface, without a trailing slash.
        dicom_web: what addresses of studies begin with.
        dicom_port: where it takes C-STORE.
        process: for its last words.
    """

    url: str
    dicom_web: str
    dicom_port: int
    process: Child


def configuration(folder: Path, http_port: int, dicom_port: int) -> dict[str, object]:
    """What Orthanc is told: loopback and a folder of its own only, and to transcode nothing by itself."""
    return {
        "Name": "peer",
        "StorageDirectory": str(folder / "files"),
        "IndexDirectory": str(folder / "index"),
        "Plugins": [str(programs.ORTHANC_PLUGIN)],
        "HttpBindAddresses": [ports.LOOPBACK],
        "HttpPort": http_port,
        "RemoteAccessAllowed": True,
        "AuthenticationEnabled": False,
        "DicomBindAddresses": [ports.LOOPBACK],
        "DicomPort": dicom_port,
        "DicomAet": AE_TITLE,
        "DicomAlwaysAllowStore": True,
        "DicomCheckCalledAet": False,
        "UnknownSopClassAccepted": True,
        "OverwriteInstances": False,
        "HttpTimeout": 60,
        "DicomWeb": {"Enable": True, "Root": _ROOT, "ServersInDatabase": False, "Servers": {}},
    }


@contextmanager
def running_orthanc(
    servers: Mapping[str, object] | None = None, more: Mapping[str, object] | None = None
) -> Iterator[Orthanc]:
    """Run one for the length of a block.

    Args:
        servers: DICOMweb servers that it is a client of, by name, as its configuration writes them.
        more: further settings.

    Raises:
        MissingPeer: it is not installed.
        OrthancFailed: it does not answer.
    """
    program = programs.program("Orthanc")
    if not programs.ORTHANC_PLUGIN.exists():
        raise programs.MissingPeer("Orthanc's DICOMweb plugin")
    http_port, dicom_port = ports.free_ports(2)
    with tempfile.TemporaryDirectory(prefix="orthanc-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        settings = {**configuration(folder, http_port, dicom_port), **(more or {})}
        plugin = settings["DicomWeb"]
        settings["DicomWeb"] = {**(plugin if isinstance(plugin, dict) else {}), "Servers": dict(servers or {})}
        file = folder / "orthanc.json"
        file.write_text(json.dumps(settings), encoding="utf-8")
        guard = Guard(environment())
        process = Child("Orthanc", [program, str(file)], environment(), folder=folder)
        guard.watch(process.pid)
        try:
            url = f"http://{ports.LOOPBACK}:{http_port}"
            _wait(process, http_port)
            yield Orthanc(url, url + _ROOT.rstrip("/"), dicom_port, process)
        finally:
            process.stop(_STOP_SECONDS)
            guard.dismiss()


def _wait(process: Child, port: int) -> None:
    until = time.monotonic() + _START_SECONDS
    while process.exit_code() is None and time.monotonic() < until:
        if _answers(port):
            return
        time.sleep(0.05)
    raise OrthancFailed(f"Orthanc did not start:\n{process.last_lines()}")


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(ports.LOOPBACK, port, timeout=10)
    try:
        connection.request("GET", "/system")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
