"""The local Functions host, `python -m shared.dev.host`.

Serves the triggers of an app folder as Azure would, and refuses what Azure would.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import uvicorn

from shared.dev import ports
from shared.dev.host import app as host_app
from shared.dev.host import settings as host_settings
from shared.dev.host.app import HostedApp, HostedFunction, HttpTrigger, QueueTrigger, TimerTrigger
from shared.dev.host.cors import with_cors
from shared.dev.host.invoke import Invoker
from shared.dev.host.queues import QueueLoop, message_for
from shared.dev.host.server import DEFAULT_BODY_LIMIT, HttpHost, HttpRules
from shared.dev.host.timers import TimerLoop

_LOG = logging.getLogger(__name__)
_IDLE_SECONDS = 120
_STOP_SECONDS = 10
_HEAD_BYTES = 48 * 1024


class Background:
    """The queue and timer loops of an app, and functions that were started by hand.

    Args:
        app: its functions.
        invoker: runs them.
    """

    def __init__(self, app: HostedApp, invoker: Invoker) -> None:
        self._invoker = invoker
        self._stopping = asyncio.Event()
        self._timers = {
            each.name: TimerLoop(each, invoker) for each in app.functions if isinstance(each.trigger, TimerTrigger)
        }
        self._queues = [
            QueueLoop(each, invoker, app.options.queues)
            for each in app.functions
            if isinstance(each.trigger, QueueTrigger)
        ]
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run all loops; at the end let what runs finish, for a while."""
        loops: list[TimerLoop | QueueLoop] = [*self._timers.values(), *self._queues]
        for loop in loops:
            self._keep(asyncio.create_task(loop.run(self._stopping)))
        try:
            yield
        finally:
            self._stopping.set()
            if self._tasks:
                _, late = await asyncio.wait(self._tasks, timeout=_STOP_SECONDS)
                for task in late:
                    task.cancel()
                await asyncio.gather(*late, return_exceptions=True)

    async def run_now(self, function: HostedFunction, text: str) -> None:
        """Start a queue or timer function beside its loop; does not wait for its end."""
        timer = self._timers.get(function.name)
        self._keep(asyncio.create_task(timer.run_once() if timer else self._run_queued(function, text)))

    async def _run_queued(self, function: HostedFunction, text: str) -> None:
        try:
            await self._invoker.call(function, message_for(function, text), self._invoker.context(function))
        except Exception:  # noqa: BLE001 - a run by hand ends in the log, as any failed run
            _LOG.exception("function %s failed", function.name)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _LOG.error("a background loop ended", exc_info=error)


class Host:
    """An app, ready to be served once.

    Args:
        app: what is served.
        environment: its settings.
    """

    def __init__(self, app: HostedApp, environment: Mapping[str, str]) -> None:
        self._invoker = Invoker(app.folder, _threads(environment))
        self._background = Background(app, self._invoker)
        rules = HttpRules(
            int(environment.get("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT") or DEFAULT_BODY_LIMIT),
            environment.get("AzureWebJobsDisableHomepage", "").lower() != "true",
        )
        config = uvicorn.Config(
            with_cors(HttpHost(app, self._invoker, self._background.run_now, rules), environment),
            lifespan="off",
            ws="none",
            access_log=False,
            log_config=None,
            h11_max_incomplete_event_size=_HEAD_BYTES,
            # Longer than clients keep idle connections (httpx: 5 s, as uvicorn would by itself): the client should
            # be who closes first, or a request meets a connection that is being closed.
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        self._server = uvicorn.Server(config)

    def stop_on_signals(self) -> None:
        """From now on SIGTERM and SIGINT end `serve` and not the process.

        The server sets the same handler while it serves and raises what it caught again afterwards; it is set here so
        that neither a signal before nor that one after ends the process at once.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._server.handle_exit)

    async def serve(self, listener: socket.socket) -> None:
        """Serve until told to stop, then finish what runs."""
        async with self._background.running():
            await self._server.serve(sockets=[listener])
        self._invoker.close()


def _threads(environment: Mapping[str, str]) -> int:
    return int(environment.get("PYTHON_THREADPOOL_THREAD_COUNT") or min(32, (os.cpu_count() or 1) + 4))


def _numbers_fault(environment: Mapping[str, str]) -> str | None:
    for name in ("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", "PYTHON_THREADPOOL_THREAD_COUNT"):
        text = environment.get(name, "")
        if text and not (text.isascii() and text.isdecimal() and int(text) > 0):
            return f"{name} must be a whole number above 0"
    return None


def _describe(app: HostedApp) -> str:
    lines = ["Functions:"]
    for function in app.functions:
        trigger = function.trigger
        if isinstance(trigger, HttpTrigger):
            what = f"[{','.join(sorted(trigger.methods)) or 'all methods'}] /{trigger.template.text}"
        elif isinstance(trigger, QueueTrigger):
            what = f"queue {trigger.queue}"
        else:
            what = f"timer {trigger.text}"
        lines.append(f"  {function.name}: {what}")
    return "\n".join(lines)


def _count(app: HostedApp) -> str:
    kinds = {HttpTrigger: 0, QueueTrigger: 0, TimerTrigger: 0}
    for function in app.functions:
        kinds[type(function.trigger)] += 1
    return "Functions: " + ", ".join(f"{count} {kind.__name__[:-7].lower()}" for kind, count in kinds.items())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m shared.dev.host", description="Serve a function app locally.")
    parser.add_argument("--app", type=Path, default=Path(), help="folder of function_app.py (default: here)")
    parser.add_argument("--host", default=ports.LOOPBACK, help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=7071, help="0 takes a free one (default: 7071)")
    parser.add_argument("--brief", action="store_true", help="say less: count the functions, do not list them")
    parser.add_argument("--settings", type=Path, help="settings file (default: local.settings.json of the app, if any)")
    return parser


def _prepare(arguments: argparse.Namespace) -> tuple[HostedApp, Mapping[str, str]]:
    settings = arguments.settings or arguments.app / "local.settings.json"
    if arguments.settings or settings.exists():
        host_settings.apply(host_settings.read_values(settings))
    environment = host_settings.environment()
    fault = _numbers_fault(environment)
    if fault:
        raise host_settings.LocalSettingsError(fault)
    return host_app.load(arguments.app, environment), environment


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the host; 0 after a signal, 1 when it cannot start."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for name in ("uvicorn", "azure"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        listener = ports.bind(options.port, options.host)
    except ports.PortTaken as error:
        print(f"{error}; choose another one with --port", file=sys.stderr)
        return 1
    try:
        app, environment = _prepare(options)
    except (host_app.HostRefusal, host_settings.LocalSettingsError) as error:
        listener.close()
        print(error, file=sys.stderr)
        return 1
    host = Host(app, environment)
    host.stop_on_signals()
    print(_count(app) if options.brief else _describe(app))
    print(f"Base URL: http://localhost:{listener.getsockname()[1]}", flush=True)
    asyncio.run(host.serve(listener))
    # An app has no hook to close its clients with, on Azure neither: complaints about that would hide what matters.
    logging.disable()
    if not options.brief:
        print("Stopped.", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
