"""The `dicom` command run in this process, folders for it, and a gateway that stands in front of the service."""

from __future__ import annotations

import contextlib
import io
import re
import socket
import socketserver
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from shared.dev.cli import command as cli
from tests.support.clients import Made, made

_LENGTH = re.compile(rb"^content-length: *([0-9]+)\r?$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that has ended.

    Attributes:
        both: standard output and standard error, in the order in which they were written.
    """

    code: int
    out: str
    err: str
    both: str


class _Copied(io.StringIO):
    def __init__(self, both: io.StringIO, *, terminal: bool = False) -> None:
        super().__init__()
        self._both = both
        self._terminal = terminal

    def write(self, text: str) -> int:
        self._both.write(text)
        return super().write(text)

    def isatty(self) -> bool:
        return self._terminal


def dicom(*arguments: object, environment: Mapping[str, str] | None = None, terminal: bool = False) -> Ran:
    """Run the command; nothing of the environment of the test run reaches it.

    Args:
        arguments: of the command line.
        environment: its variables.
        terminal: whether somebody seems to look at standard error.
    """
    both = io.StringIO()
    out, err = _Copied(both), _Copied(both, terminal=terminal)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main([str(one) for one in arguments], environment or {})
        except SystemExit as end:  # of argparse
            code = int(end.code or 0)
    return Ran(code, out.getvalue(), err.getvalue(), both.getvalue())


def folder_of(root: Path, count: int, **options: object) -> list[Made]:
    """Put new instances of one study into a folder, `0.dcm` and so on."""
    root.mkdir(parents=True, exist_ok=True)
    first = made(**options)
    instances = [first, *(made(study_uid=first.study_uid, **options) for _ in range(count - 1))]
    for number, instance in enumerate(instances):
        (root / f"{number}.dcm").write_bytes(instance.content)
    return instances


@dataclass(slots=True)
class Gateway:
    """What it does with requests, in order, and what came.

    Attributes:
        script: for each request to come: `pass`, `hold`, `lose` (the answer), `drop` (the request), or the head and
            body of an answer of its own. Beyond the script everything passes.
        requests: first lines of requests, in the order in which they came.
        held: set when a request is held.
        release: ends holding.
        insert: header lines for every answer that passes.
    """

    target: str
    script: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)
    insert: str = ""
    url: str = ""


@contextlib.contextmanager
def gateway(target: str, *script: str, insert: str = "") -> Iterator[Gateway]:
    """A gateway to a service, one request a connection."""
    made_gateway = Gateway(target, list(script), insert=insert)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                _handle(made_gateway, self)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        made_gateway.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield made_gateway
        finally:
            made_gateway.release.set()
            server.shutdown()
            thread.join()


def _handle(gate: Gateway, connection: socketserver.StreamRequestHandler) -> None:
    head = connection.rfile.read(1)
    if not head.isalpha():  # TLS
        return
    while not head.endswith(b"\r\n\r\n"):
        line = connection.rfile.readline()
        if not line:
            return
        head += line
    gate.requests.append(head.split(b"\r\n")[0].decode())
    action = gate.script.pop(0) if gate.script else "pass"
    if action == "drop":
        return
    found = _LENGTH.search(head)
    body = connection.rfile.read(int(found.group(1)) if found else 0)
    if action == "hold":
        gate.held.set()
        gate.release.wait(60)
        return
    if action not in ("pass", "lose"):
        connection.wfile.write(_answer(action))
        return
    answer = _forwarded(gate.target, head, body)
    if action == "pass":
        first, _, rest = answer.partition(b"\r\n")
        connection.wfile.write(first + b"\r\n" + gate.insert.encode() + rest)


def _answer(text: str) -> bytes:
    """`503 Busy\\nRetry-After: 1\\n\\nbody` as it goes over the wire."""
    head, _, body = text.partition("\n\n")
    lines = [f"HTTP/1.1 {line}" if not place else line for place, line in enumerate(head.split("\n"))]
    return "\r\n".join([*lines, f"Content-Length: {len(body.encode())}", "Connection: close", "", body]).encode()


def _forwarded(target: str, head: bytes, body: bytes) -> bytes:
    place = urlsplit(target)
    lines = [line for line in head.split(b"\r\n")[:-2] if not line.lower().startswith((b"connection:", b"host:"))]
    lines += [f"Host: {place.netloc}".encode(), b"Connection: close", b"", body]
    with socket.create_connection((place.hostname or "", place.port or 80), timeout=60) as upstream:
        upstream.sendall(b"\r\n".join(lines))
        answer = b""
        while chunk := upstream.recv(1 << 16):
            answer += chunk
    return answer
