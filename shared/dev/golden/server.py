"""`python -m shared.dev.golden.server`: several local hosts, each a process with a store of its own.

What all of them need is loaded once, which is most of what their start takes.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from shared.dev.host import command as host
from shared.dev.host import settings as host_settings
from shared.dev.repository import SAMPLE_SETTINGS

_SHARED_MODULES = ("shared.api.triggers", "shared.api.routes", "shared.storage.stores", "azure.data.tables")


def _serve(app: Path, port: str, connection: str) -> int:
    """In a process of its own: one host, as anybody starts it."""
    # Pages of other origins are the platform's matter, and here none of the app's answers.
    settings = {"DICOM_BACKGROUND": "on", "DICOM_CORS_ORIGINS": ""}
    host_settings.apply({"AzureWebJobsStorage": connection, "DICOM_STORAGE": connection, **settings})
    sample = str(SAMPLE_SETTINGS)
    return host.main(["--app", str(app), "--port", port, "--brief", "--settings", sample])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the hosts until a signal, or until one of them ends; the exit code of the first that failed."""
    parser = argparse.ArgumentParser(prog="python -m shared.dev.golden.hosts", description=__doc__)
    parser.add_argument("--app", type=Path, required=True, help="folder of function_app.py")
    parser.add_argument("--serve", nargs=2, action="append", required=True, metavar=("PORT", "STORAGE"))
    options = parser.parse_args(arguments)
    for module in _SHARED_MODULES:
        importlib.import_module(module)
    children = []
    for port, connection in options.serve:
        child = os.fork()
        if child == 0:
            os._exit(_serve(options.app, port, connection))
        children.append(child)
    return _until_the_end(children)


def _until_the_end(children: Sequence[int]) -> int:
    def stop(*_: object) -> None:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    codes = []
    for _ in children:
        _, status = os.wait()
        codes.append(os.waitstatus_to_exitcode(status))
        if len(codes) == 1:
            stop()
    return next((1 for code in codes if code), 0)


if __name__ == "__main__":
    raise SystemExit(main())
