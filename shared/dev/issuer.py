"""A token issuer for this machine, `python -m shared.dev.issuer`: keys made at start, and a token for each role.

It proves nobody's identity. It is for trying access control and for tests, and is never deployed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from shared.api.access.roles import BUILT_IN
from shared.dev import ports

AUDIENCE = "api://open-dicom-service"
TENANT = "00000000-0000-0000-0000-000000000001"
TOKEN_SECONDS = 12 * 3600
_ALGORITHM = "RS256"
_KEY_BITS = 2048
_DISCOVERY = "/.well-known/openid-configuration"
_KEYS = "/keys"


@dataclass(frozen=True, slots=True)
class Key:
    """A private key and its name."""

    private: rsa.RSAPrivateKey
    key_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def new(cls) -> Key:
        """A key that nobody has seen."""
        return cls(rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS))

    # Any: a key of a set is a JSON object.
    def public(self) -> dict[str, Any]:
        """As a JWK (RFC 7517)."""
        return {**RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True), "kid": self.key_id, "use": "sig"}


class LocalIssuer:
    """Signs tokens, and gives out the keys that prove them.

    Args:
        url: where it is reached, without a trailing slash; also its name.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys = [Key.new()]

    def documents(self) -> dict[str, object]:
        """What it serves, by path."""
        return {
            _DISCOVERY: {"issuer": self.url, "jwks_uri": self.url + _KEYS},
            _KEYS: {"keys": [key.public() for key in self.keys]},
        }

    def settings(self) -> dict[str, str]:
        """Settings of a service that takes its tokens."""
        return {
            "DICOM_AUTH": "jwt",
            "DICOM_AUTH_AUTHORITY": self.url,
            "DICOM_AUTH_AUDIENCES": AUDIENCE,
            "DICOM_AUTH_ISSUERS": "",
            "DICOM_AUTH_JWKS_URL": "",
            "DICOM_AUTH_TENANTS": "",
            "DICOM_AUTH_ROLES_CLAIM": "roles",
        }

    # Any: claims are JSON values.
    def token(self, *roles: str, **claims: Any) -> str:
        """A token with these roles, signed with the newest key; a claim that is None is left out."""
        now = int(time.time())
        usual = {
            "iss": self.url,
            "aud": AUDIENCE,
            "iat": now,
            "nbf": now,
            "exp": now + TOKEN_SECONDS,
            "sub": "local-user",
            "oid": str(uuid.uuid5(uuid.NAMESPACE_URL, self.url)),
            "azp": "local-tool",
            "tid": TENANT,
            "roles": list(roles),
        }
        chosen = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        key = self.keys[-1]
        return jwt.encode(chosen, key.private, _ALGORITHM, headers={"kid": key.key_id})


class _Handler(BaseHTTPRequestHandler):
    issuer: LocalIssuer

    def do_GET(self) -> None:
        document = self.issuer.documents().get(self.path)
        content = json.dumps(document or {"error": "not found"}).encode()
        self.send_response(404 if document is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def running(port: int = 0) -> Iterator[LocalIssuer]:
    """An issuer that answers on this machine for the length of a block.

    Raises:
        PortTaken: somebody else listens there.
    """
    listener = ports.bind(port)
    taken = listener.getsockname()[1]
    issuer = LocalIssuer(f"http://{ports.LOOPBACK}:{taken}")
    handler = type("Handler", (_Handler,), {"issuer": issuer})
    server = ThreadingHTTPServer((ports.LOOPBACK, taken), handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.server_activate()
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="local issuer", daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def token_lines(issuer: LocalIssuer) -> Iterator[str]:
    """A token for each built-in role, one that has none, and how to send them."""
    yield f"Tokens of {issuer.url}, for {TOKEN_SECONDS // 3600} hours, as long as it runs:"
    for role in BUILT_IN:
        yield f"\n{role.name}:\n{issuer.token(role.name)}"
    yield f"\nno role at all:\n{issuer.token()}"
    yield "\nSend one as: curl -H 'Authorization: Bearer TOKEN' ..."


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop; 0 then, 1 when the port is taken."""
    parser = argparse.ArgumentParser(prog="python -m shared.dev.issuer", description="Issue tokens on this machine.")
    parser.add_argument("--port", type=int, default=7073, help="0 takes a free one (default: 7073)")
    options = parser.parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        with running(options.port) as issuer:
            print("Settings of a service that takes these tokens:\n")
            for name, value in issuer.settings().items():
                print(f"{name}={value}")
            print()
            for line in token_lines(issuer):
                print(line)
            print("\nCtrl-C stops it.", flush=True)
            stop.wait()
    except ports.PortTaken as error:
        print(f"{error}; choose another one with --port", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
