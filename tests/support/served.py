"""The service as a client meets it: the real local host, a process of its own, on a free port."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shared.dev.processes import Child, Guard
from tests.support.azurite import running_azurite
from tests.support.nursery import forked, own_environment
from tests.support.storage import handed_out
from tests.support.whole import expect_whole

ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
_BASE_URL = re.compile(r"^Base URL: (http://\S+)$", re.MULTILINE)


class Process(Protocol):
    """What tests ask of a process that serves."""

    def exit_code(self) -> int | None:
        """None while it runs."""

    def last_lines(self) -> str:
        """The end of what it has printed."""

    def stop(self, wait_seconds: float) -> None:
        """Ask it to end; after the wait, make it."""


class _Numbered(Process, Protocol):
    @property
    def pid(self) -> int:
        """Its number."""


@dataclass(frozen=True, slots=True)
class Service:
    """A running host.

    Attributes:
        url: its base, without a trailing slash.
        pid: of the process that serves, for measurements.
        process: the process itself, for its exit code and its last lines.
    """

    url: str
    pid: int
    process: Process


@contextlib.contextmanager
def started(
    settings: Mapping[str, str] | None = None, app: Path = ROOT, *, dies: bool = False, code: Path = ROOT
) -> Iterator[Service]:
    """Run a host for the length of a block. Whatever it did, its store is whole at the end.

    Args:
        settings: on top of local.settings.sample.json; storage is the test run's emulator unless they say otherwise.
        app: folder of function_app.py.
        dies: the host is killed in the block, and leaves what a sweep has to make whole.
        code: folder of the release that serves.
    """
    storage = running_azurite().connection_string
    # Pages of other origins are the platform's matter: what the app answers is looked at without it.
    chosen = {"AzureWebJobsStorage": storage, "DICOM_STORAGE": storage, "DICOM_CORS_ORIGINS": "", **(settings or {})}
    arguments = ["--port", "0", "--app", str(app), "--settings", str(code / "local.settings.sample.json")]
    with _fork(arguments, chosen) if code == app == ROOT else _child(arguments, chosen, code) as process:
        yield Service(_base_url(process), process.pid, process)
        if app == ROOT and not dies and chosen["DICOM_STORAGE"] in (storage, *handed_out()):
            expect_whole(chosen["DICOM_STORAGE"])


@contextlib.contextmanager
def _fork(arguments: Sequence[str], settings: Mapping[str, str]) -> Iterator[_Numbered]:
    """A host of this work tree."""
    process = forked(arguments, settings)
    try:
        yield process
    finally:
        process.stop(_STOP_SECONDS)


@contextlib.contextmanager
def _child(arguments: Sequence[str], settings: Mapping[str, str], code: Path) -> Iterator[_Numbered]:
    """A host that imports everything itself: of another release, or with another app."""
    inherited = own_environment()
    command = [sys.executable, "-u", "-m", "shared.dev.host", *arguments]
    process = Child("the local host", command, {**inherited, **settings}, folder=code)
    guard = Guard(inherited)
    guard.watch(process.pid)
    try:
        yield process
    finally:
        process.stop(_STOP_SECONDS)
        guard.dismiss()


@contextlib.asynccontextmanager
async def served(
    settings: Mapping[str, str] | None = None, app: Path = ROOT, *, dies: bool = False
) -> AsyncIterator[Service]:
    """As `started`, for asynchronous tests."""
    runner = started(settings, app, dies=dies)
    service = await asyncio.to_thread(runner.__enter__)
    try:
        yield service
    except BaseException as error:
        # As it is: a test that failed is told as that, and not by what it left.
        await asyncio.to_thread(runner.__exit__, type(error), error, error.__traceback__)
        raise
    await asyncio.to_thread(runner.__exit__, None, None, None)


def _base_url(process: Process) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        found = _BASE_URL.search(process.last_lines())
        if found:
            # By number: `localhost` may be tried as an IPv6 address first.
            return found.group(1).replace("localhost", "127.0.0.1")
        if process.exit_code() is not None:
            break
        time.sleep(0.05)
    raise AssertionError(f"the local host did not start:\n{process.last_lines()}")
