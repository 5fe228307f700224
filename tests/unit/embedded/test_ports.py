"""Ports: taken, free, given way to."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from hodei.embedded.errors import PortTaken
from hodei.embedded.ports import RememberedPorts, free_port, is_taken, settle


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


def test_ports_are_remembered_beside_one_another(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    assert RememberedPorts(file).get("nats") is None
    RememberedPorts(file).keep({"nats": 4223})
    RememberedPorts(file).keep({"postgres": 5433})
    assert [RememberedPorts(file).get(name) for name in ("nats", "postgres", "other")] == [4223, 5433, None]
    assert [path.name for path in tmp_path.iterdir()] == ["ports.json"]


@pytest.mark.parametrize(
    "text", ["", "nats", "[4223]", '{"nats": "4223"}', '{"nats": true}', '{"nats": 0}', '{"nats": 70000}', "\udcff"]
)
def test_a_file_that_holds_no_ports_remembers_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "ports.json"
    file.write_text(text, errors="surrogateescape")
    assert RememberedPorts(file).get("nats") is None
