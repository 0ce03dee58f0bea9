"""Playing the golden requests: every version at once, each over a store of its own."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from shared.api import manifest
from shared.api.decode import ManifestError
from shared.api.manifest import ApiVersion
from shared.dev import ports
from shared.dev.contract.remarks import GateError
from shared.dev.golden import forms, hosts, steps
from shared.dev.golden.forms import Placeholders, RawReply
from shared.dev.golden.hosts import Serving
from shared.dev.golden.record import Exchange, Recording
from shared.dev.golden.steps import Scenario, Step

# What URLs in replies begin with; a name that is nobody's keeps this machine out of the recordings.
HOST = "golden.example.org"
_SECONDS = 60
_PAUSE_SECONDS = 0.05
_VERSIONS = "versions"

Say = Callable[[str], None]


def versions_of(root: Path) -> tuple[ApiVersion, ...]:
    """The versions that a folder serves.

    Raises:
        GateError: the version files have faults.
    """
    try:
        return manifest.load(root / _VERSIONS).versions
    except ManifestError as error:
        raise GateError(str(error)) from error


def replay(root: Path, say: Say, labels: Sequence[str] = ()) -> dict[str, Recording]:
    """What the app of a folder answers now, by label.

    Args:
        root: folder of function_app.py, `versions/` and `tests/golden/requests/`; without requests nothing is played.
        say: takes lines about progress.
        labels: only these versions; none are all.

    Raises:
        GateError: the requests have faults, or the service does not start or answer.
    """
    scenarios = steps.load(root)
    served = versions_of(root)
    if unknown := sorted(set(labels) - {version.label.text for version in served}):
        raise GateError(f"there is no version {unknown[0]!r} that is served")
    chosen = [version for version in served if not labels or version.label.text in labels]
    if not scenarios:
        return {}
    names = [version.label.text for version in chosen]
    say(f"golden: starting the service for {', '.join(names)} ...")
    with hosts.serving(root.resolve(), names) as serving, ThreadPoolExecutor(len(chosen)) as pool:
        jobs = [pool.submit(_play, version, scenarios, serving) for version in chosen]
        played = dict(zip(names, (job.result() for job in jobs), strict=True))
    say(f"golden: {sum(map(len, played.values()))} replies")
    return played


def _play(version: ApiVersion, scenarios: Sequence[Scenario], serving: Serving) -> Recording:
    port = serving.ports[version.label.text]
    connection = http.client.HTTPConnection(ports.LOOPBACK, port, timeout=_SECONDS)
    played: list[Exchange] = []
    try:
        for scenario in scenarios:
            # Counted anew in each, so that another scenario moves no number.
            seen = Placeholders({"storage": serving.storage, "destination": serving.destination})
            played += [_exchange(version, scenario, step, connection, seen) for step in scenario.of(version)]
        return tuple(played)
    finally:
        connection.close()


def _exchange(
    version: ApiVersion,
    scenario: Scenario,
    step: Step,
    connection: http.client.HTTPConnection,
    placeholders: Placeholders,
) -> Exchange:
    headers = step.all_headers()
    request: dict[str, object] = {"line": step.line(version), "headers": headers}
    if step.parts is not None:
        request["parts"] = list(step.parts)
    if step.file:
        request["file"] = step.file
    if step.text is not None:
        request["text"] = step.text
    try:
        filled = {name: placeholders.filled(value) for name, value in headers.items()}
        body = step.body() if step.text is None else placeholders.filled(step.text).encode()
        reply = _sent(connection, placeholders.filled_path(step.line(version)), filled, body, step.until)
    except (OSError, http.client.HTTPException, GateError) as error:
        place = f"{version.label.text}, {scenario.name}, step {step.name!r}"
        raise GateError(f"{place}: {type(error).__name__}: {error}") from error
    return Exchange(scenario.name, step.name, step.operation, request, forms.form_of(reply, placeholders))


def _sent(
    connection: http.client.HTTPConnection, line: str, headers: dict[str, str], body: bytes, until: int
) -> RawReply:
    """The reply to a request; to one with `until`, the first of that status.

    Raises:
        GateError: it is not answered so.
    """
    deadline = time.monotonic() + _SECONDS
    while (reply := _send(connection, line, headers, body)).status != until and until:
        if time.monotonic() > deadline:
            raise GateError(f"answered {reply.status}, and not {until}")
        time.sleep(_PAUSE_SECONDS)
    return reply


def _send(connection: http.client.HTTPConnection, line: str, headers: dict[str, str], body: bytes) -> RawReply:
    method, _, path = line.partition(" ")
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in {"Host": HOST, **headers}.items():
        connection.putheader(name, value)
    if body or method in ("POST", "PUT"):
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body or None)
    answer = connection.getresponse()
    return RawReply(answer.status, tuple(answer.getheaders()), answer.read())
