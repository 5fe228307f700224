"""Run in a container of the production shape: prints an object of its servers and the fingerprints of the certificates
that they present now."""

import hashlib
import json
import socket
import ssl
import struct
import sys
from collections.abc import Callable

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""With this a client of PostgreSQL asks for TLS (PostgreSQL's documentation, "Message Formats")."""


def nothing_first(_connection: socket.socket) -> None:
    """TLS begins at once."""


def after_info(connection: socket.socket) -> None:
    """NATS says INFO before TLS begins."""
    while not connection.recv(1).endswith(b"\n"):
        pass


def after_request(connection: socket.socket) -> None:
    connection.sendall(SSL_REQUEST)
    assert connection.recv(1) == b"S"


SERVERS: dict[str, tuple[int, Callable[[socket.socket], None]]] = {
    "worker-manager-1": (8082, nothing_first),
    "proxy": (8080, nothing_first),
    "nats-1": (4222, after_info),
    "postgres": (5432, after_request),
}


def presented(host: str, port: int, prelude: Callable[[socket.socket], None]) -> str:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((host, port), timeout=10) as connection:
        prelude(connection)
        with context.wrap_socket(connection, server_hostname=host) as encrypted:
            return hashlib.sha256(encrypted.getpeercert(binary_form=True) or b"").hexdigest()


sys.stdout.write(json.dumps({host: presented(host, *how) for host, how in SERVERS.items()}))
