"""`make run`: the emulator and the local host together, until Ctrl-C, SIGTERM or the death of one of them."""

from __future__ import annotations

import argparse
import http.client
import importlib.util
import json
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from shared.dev import azurite, issuer, ports
from shared.dev.host import settings as host_settings
from shared.dev.package import host as package_host
from shared.dev.processes import Child, Guard
from shared.dev.repository import ROOT

_READY_SECONDS = 60.0
_STOP_SECONDS = 15.0
_STORAGE_SETTINGS = ("AzureWebJobsStorage", "DICOM_STORAGE")


class Stopped(BaseException):
    """Somebody asked for the end. Not an error, so not an Exception that a handler on the way might take."""


class StartFailed(Exception):
    """Something did not start, or ended by itself; the text says what."""


def _stop(_number: int, _frame: FrameType | None) -> None:
    # Once is enough: what follows is the stopping itself, which a second Ctrl-C should not cut short.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise Stopped


def ensure_local_settings(folder: Path) -> Path:
    """The app's settings file, made from the sample when there is none."""
    settings = folder / "local.settings.json"
    if not settings.exists():
        shutil.copyfile(folder / "local.settings.sample.json", settings)
        print("Made local.settings.json from local.settings.sample.json.")
    return settings


def storage_overrides(values: Mapping[str, str], environment: Mapping[str, str], connection: str) -> dict[str, str]:
    """Settings that name the emulator by its short form, with the ports it really has.

    A setting that names another account is left as it is.
    """
    in_force = {name: environment.get(name) or values.get(name, "") for name in _STORAGE_SETTINGS}
    return {
        name: connection
        for name, value in in_force.items()
        if value.strip().rstrip(";").lower() == azurite.DEVELOPMENT_STORAGE.lower()
    }


def example_line(base_url: str) -> str:
    """A shell line that stores a real file; empty when pydicom's files are not there."""
    spec = importlib.util.find_spec("pydicom")
    sample = Path(spec.origin).parent / "data" / "test_files" / "CT_small.dcm" if spec and spec.origin else None
    if sample is None or not sample.exists():
        return ""
    path = sample.relative_to(Path.cwd()) if sample.is_relative_to(Path.cwd()) else sample
    return (
        "curl -sS -H 'Accept: application/dicom+json' -H 'Content-Type: application/dicom' "
        f"--data-binary {shlex.quote(f'@{path}')} {base_url}/v2/studies"
    )


def status_of(port: int, path: str) -> int:
    """HTTP status of a GET, 0 when nobody answers."""
    connection = http.client.HTTPConnection(ports.LOOPBACK, port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def _is_ready(port: int) -> bool:
    """Ready by the app's own word; an app without such a word is ready when it answers at all."""
    for path in ("/health/ready", "/health/live"):
        status = status_of(port, path)
        if status != 404:
            return status == 200
    return True


def _watch(children: Sequence[Child]) -> None:
    for child in children:
        code = child.exit_code()
        if code is not None:
            raise StartFailed(f"{child.name} ended by itself (exit code {code}). Its last lines:\n{child.last_lines()}")


def _wait_until_ready(children: Sequence[Child], port: int) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not _is_ready(port):
        _watch(children)
        if time.monotonic() > deadline:
            raise StartFailed(f"the service is not ready after {_READY_SECONDS:.0f} s; GET /health/ready says why")
        time.sleep(0.1)


def _service_ports() -> tuple[int, ...] | None:
    taken = [str(port) for port in azurite.DEFAULT_PORTS if not ports.is_free(port)]
    if not taken:
        return azurite.DEFAULT_PORTS
    print(f"Azurite's usual port {' and '.join(taken)} is taken, perhaps by another Azurite; using free ports.")
    return None


def _run(options: argparse.Namespace, stack: ExitStack) -> None:
    if not ports.is_free(options.port):
        raise StartFailed(f"port {options.port} is taken by another process; choose another one: make run PORT=7072")
    environment = host_settings.environment()
    settings = ensure_local_settings(ROOT)
    values = host_settings.read_values(settings)
    print(f"Starting Azurite, data in {options.data} ...", flush=True)
    storage = stack.enter_context(azurite.RunningAzurite(options.data, environment, _service_ports()))
    print(f"Azurite listens on {', '.join(map(str, storage.ports))} (blob, queue, table).")
    if storage.ports != azurite.DEFAULT_PORTS:
        print(f"For fsck, sweep and backup: export DICOM_STORAGE='{storage.connection_string}'")
    guard = Guard(environment)
    stack.callback(guard.dismiss)
    package: Path | None = options.package
    command = package_host.command(package) if package else [sys.executable, "-u", "-m", "shared.dev.host"]
    command += ["--brief", "--port", str(options.port), "--settings", str(settings)]
    overrides = storage_overrides(values, environment, storage.connection_string)
    tokens = stack.enter_context(issuer.running()) if options.auth == "local" else None
    if tokens:
        overrides |= tokens.settings()
    host = Child("the service", command, {**environment, **overrides}, echo=sys.stdout)
    stack.callback(host.stop, _STOP_SECONDS)
    guard.watch(host.pid)
    print(f"Starting the service, process {host.pid} ...", flush=True)
    children = (host, *storage.children)
    _wait_until_ready(children, options.port)
    base_url = f"http://localhost:{options.port}"
    print(f"\nReady: {base_url}    (Ctrl-C stops it)")
    line = example_line(base_url)
    if tokens:
        print("\n" + "\n".join(issuer.token_lines(tokens)))
        line = line.replace("curl ", f"curl -H 'Authorization: Bearer {tokens.token('globalAdmin')}' ", 1)
    if line:
        print(f"\nStore a file:\n\n  {line}\n", flush=True)
    while True:
        _watch(children)
        time.sleep(0.5)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both; 0 when asked to stop, 1 when something failed."""
    parser = argparse.ArgumentParser(prog="python -m shared.dev.run", description="Run storage and service locally.")
    parser.add_argument("--port", type=int, default=7071, help="port of the service (default: 7071)")
    parser.add_argument(
        "--data", type=Path, default=Path(".azurite"), help="folder of the emulator's data, kept (default: .azurite)"
    )
    parser.add_argument("--package", type=Path, metavar="FOLDER", help="serve this unpacked package, not this tree")
    parser.add_argument("--auth", choices=("local",), help="ask for tokens, of an issuer that runs here as well")
    options = parser.parse_args(arguments)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # stdout is a text file unless replaced
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        with ExitStack() as stack:
            try:
                _run(options, stack)
            except Stopped:
                print("\nStopping ...", flush=True)
    except ports.PortTaken as error:
        print(f"make run: {error}", file=sys.stderr)
        return 1
    except (StartFailed, azurite.AzuriteError, host_settings.LocalSettingsError, json.JSONDecodeError) as error:
        print(f"make run: {error}", file=sys.stderr)
        return 1
    print("Stopped.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
