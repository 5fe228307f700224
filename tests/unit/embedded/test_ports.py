"""Ports: taken, free, given way to."""

from __future__ import annotations

import socket

import pytest

from hodei.embedded.errors import PortTaken
from hodei.embedded.ports import free_port, is_taken, settle


def test_a_port_that_is_listened_on_is_taken_and_given_way_to_only_if_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert is_taken(port)
        assert settle(port, may_move=True) != port
        with pytest.raises(PortTaken, match=f"^port {port} is taken$"):
            settle(port, may_move=False)


def test_a_free_port_is_kept() -> None:
    port = free_port()
    assert settle(port, may_move=False) == port
