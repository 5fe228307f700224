"""Loopback ports: is one taken, which one is free. Nothing here keeps a port."""

from __future__ import annotations

import errno
import socket

from hodei.embedded.errors import PortTaken

LOOPBACK = "127.0.0.1"


def is_taken(port: int, host: str = LOOPBACK) -> bool:
    """True when another process listens there. Raises OSError when the host itself cannot be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the servers do it, so that connections in TIME_WAIT do not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
            raise
    return False


def free_port(host: str = LOOPBACK) -> int:
    """A port that was free a moment ago."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def settle(port: int, *, may_move: bool) -> int:
    """The port itself when it is free, else another one if that will do. Raises PortTaken."""
    if not is_taken(port):
        return port
    if may_move:
        return free_port()
    raise PortTaken(port)
