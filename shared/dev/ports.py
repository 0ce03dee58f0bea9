"""TCP ports of this machine: which are taken, which are free."""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"


class PortTaken(Exception):
    """Another process listens there.

    Args:
        port: the one that was wanted.
    """

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is taken by another process")
        self.port = port


def bind(port: int, host: str = LOOPBACK) -> socket.socket:
    """A socket bound to a port; 0 takes a free one.

    Raises:
        PortTaken: somebody else has it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, or asyncio leaves Nagle's algorithm on and each answer on a kept connection waits for 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    # A port whose last connections are still closing is free; one that is listened on is not, with this option too.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # Two sockets may be bound to one port as long as neither listens.
        listener.listen(1)
    except OSError as error:
        listener.close()
        raise PortTaken(port) from error
    return listener


def is_free(port: int) -> bool:
    """Whether nobody listens on the port."""
    try:
        bind(port).close()
    except PortTaken:
        return False
    return True


def free_ports(count: int) -> tuple[int, ...]:
    """Ports that are free now, all different."""
    listeners = [bind(0) for _ in range(count)]
    try:
        return tuple(listener.getsockname()[1] for listener in listeners)
    finally:
        for listener in listeners:
            listener.close()


def answers(port: int) -> bool:
    """Whether a connection to the port is taken."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True
