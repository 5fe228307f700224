"""Loopback ports: whether one is taken, a free one, and the ones used before. This module keeps none open."""

from __future__ import annotations

import errno
import json
import socket
from collections.abc import Mapping
from pathlib import Path

from hodei.embedded.errors import PortTaken

LOOPBACK = "127.0.0.1"


def is_taken(port: int, host: str = LOOPBACK) -> bool:
    """Whether another process listens there. Raises OSError when the host itself cannot be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # The servers set it as well, so connections in TIME_WAIT do not count as taken.
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
    """The port itself when it is free, or another free one if `may_move`. Raises PortTaken."""
    if not is_taken(port):
        return port
    if may_move:
        return free_port()
    raise PortTaken(port)


class RememberedPorts:
    """The ports chosen at the last start, by the name of the server, in a file of the data folder.

    A worker that a person started with such a port finds the server again after a restart.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._ports = _read_ports(file)

    def get(self, name: str) -> int | None:
        """The port of the last start; None when there was none."""
        return self._ports.get(name)

    def keep(self, ports: Mapping[str, int]) -> None:
        """Store these ports, in addition to the others. Raises OSError."""
        ports = {**self._ports, **ports}
        if ports == self._ports:
            return
        making = self._file.with_suffix(".new")
        making.write_text(json.dumps(ports, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        making.replace(self._file)
        self._ports = ports


def _read_ports(file: Path) -> dict[str, int]:
    """The ports in the file. Empty when the file is missing or unreadable: then ports are chosen anew."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    known = found.items() if isinstance(found, dict) else ()
    return {name: port for name, port in known if type(port) is int and 0 < port <= 65535}
