"""What traces and metrics cost: requests with them beside requests without."""

from __future__ import annotations

import argparse
import asyncio
import logging
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from shared.api import manifest, pipeline, routes
from shared.api.arrival import Arrival
from shared.api.endpoints import Endpoint
from shared.api.pipeline import Door
from shared.api.telemetry.recording import Recording
from shared.api.telemetry.targets import Target, Targets
from shared.dev.azurite import RunningAzurite
from shared.dev.bench.report import BenchError, Figures, Progress, machine, middle, number, ratio
from shared.dev.host.settings import environment
from shared.dev.processes import Child
from shared.dev.repository import ROOT
from shared.settings import Settings
from shared.storage.stores import Stores, open_stores
from shared.wire.call import Headers

SUMMARY = "processor time of a request with traces and metrics, beside one without"
HELP = """\
Answers requests at the front door in this process, with a collector in another one, in interleaved rounds of one run.

  off ms   processor time of a request without telemetry, log lines included
  on ms    with a span and metrics, made, sent and, when the round ends, sent to the last
  ratio    on by off
"""

_QUESTIONS = {"liveness": "service_getLiveness", "search, nothing found": "v2_searchStudies"}
_LISTENING = re.compile(r"OTEL_EXPORTER_OTLP_ENDPOINT=(http://\S+)")
_START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class _Bench:
    stores: Stores
    settings: Settings
    targets: Targets
    calls: int

    async def off(self, endpoint: Endpoint) -> float:
        """Milliseconds of a processor that a request takes."""
        return await self._cpu_ms(endpoint, Door(self.stores, self.settings))

    async def on(self, endpoint: Endpoint) -> float:
        """The same with telemetry, what its threads do included."""
        recording = Recording(self.targets)
        begun = time.process_time()
        await self._cpu_ms(endpoint, Door(self.stores, self.settings, telemetry=recording))
        recording.close()
        return (time.process_time() - begun) * 1000 / self.calls

    async def _cpu_ms(self, endpoint: Endpoint, door: Door) -> float:
        begun = time.process_time()
        for _ in range(self.calls):
            reply = await pipeline.answer(endpoint, _arrival(), door)
            if reply.status >= 300:
                raise BenchError(f"{endpoint.name} answered {reply.status}")
        return (time.process_time() - begun) * 1000 / self.calls


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this benchmark."""
    parser.add_argument("--rounds", type=int, default=9, help="rounds, each with both (default: 9)")
    parser.add_argument("--calls", type=int, default=300, help="requests in a round (default: 300)")


def run(options: argparse.Namespace, progress: Progress) -> int:
    """Measure and print."""
    # As on Azure: the line of the log is made, and what becomes of it is not ours to pay.
    logging.getLogger("shared").setLevel(logging.INFO)
    logging.getLogger("shared").addHandler(logging.NullHandler())
    with RunningAzurite(None, environment()) as azurite, _collector() as url:
        rows = asyncio.run(_measured(azurite.connection_string, url, options, progress))
    progress.done()
    title = f"Telemetry ({machine()}; {options.rounds} rounds of {options.calls})"
    print(Figures(title, ("request", "off ms", "on ms", "ratio"), tuple(rows)).text())
    return 0


async def _measured(
    connection: str, url: str, options: argparse.Namespace, progress: Progress
) -> list[tuple[str, ...]]:
    settings = Settings(storage_connection=connection)
    stores = open_stores(settings)
    targets = Targets(Target(f"{url}/v1/traces"), Target(f"{url}/v1/metrics"))
    bench = _Bench(stores, settings, targets, options.calls)
    endpoints = {one.name: one for one in routes.bind(manifest.load(ROOT / "versions"), settings)}
    rows: list[tuple[str, ...]] = []
    try:
        for what, name in _QUESTIONS.items():
            progress.step(what)
            await bench.off(endpoints[name])
            off, on = [], []
            for _ in range(options.rounds):
                off.append(await bench.off(endpoints[name]))
                on.append(await bench.on(endpoints[name]))
            rows.append((what, number(middle(off)), number(middle(on)), ratio(middle(on), middle(off))))
    finally:
        await stores.close()
    return rows


@contextmanager
def _collector() -> Iterator[str]:
    """A collector in a process of its own; gives its address."""
    command = [sys.executable, "-u", "-m", "shared.dev.collector", "--port", "0"]
    child = Child("the collector", command, environment())
    try:
        until = time.monotonic() + _START_SECONDS
        while (found := _LISTENING.search(child.last_lines())) is None:
            if child.exit_code() is not None or time.monotonic() > until:
                raise BenchError(f"the collector did not start:\n{child.last_lines()}")
            time.sleep(0.05)
        yield found.group(1)
    finally:
        child.stop(5)


def _arrival() -> Arrival:
    headers = Headers([("Host", "localhost"), ("Accept", "*/*"), ("User-Agent", "bench/1")])
    return Arrival("GET", "http", {"version": "v2"}, "", headers, _nothing())


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""
