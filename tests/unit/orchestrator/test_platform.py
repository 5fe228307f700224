"""The addresses of the services name the host of the request, unless it could mean something else."""

import pytest

from orchestrator.api.platform import named_host


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("Hodei.example:8080", "hodei.example"),
        ("worker_manager", "worker_manager"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("[::1]:80", "[::1]"),
        ("a;sandbox", "localhost"),
        ("'self'", "localhost"),
        ("*.example", "localhost"),
        ("a%20b", "localhost"),
        ("", "localhost"),
    ],
)
def test_a_host_is_named_if_it_has_only_the_characters_of_names(given: str, named: str) -> None:
    assert named_host(given) == named
