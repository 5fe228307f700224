"""The stacks of compose/, really started. Not part of `make test`: they need an engine, which `make test-compose` has.

One stack at a time: the local one for its module, then the production one for its own. Both are removed with their
volumes.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from hodei.client import Client
from tests.containers.stack import Stack
from tests.standins.engine import LEFT_OUT

if LEFT_OUT not in os.environ:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def images() -> None:
    """Our images, built."""
    Stack("compose.yaml").compose("build", "--quiet", deadline=900)


@pytest.fixture(scope="module")
def local(images: None) -> Iterator[Stack]:
    stack = Stack("compose.yaml")
    try:
        stack.up()
        yield stack
    finally:
        stack.remove()


@pytest.fixture(scope="module")
def production(images: None) -> Iterator[Stack]:
    stack = Stack(
        "compose/docker-compose.production.yml",
        NATS_PASSWORD="0123456789abcdef",
        POSTGRES_PASSWORD="a:b@c/d%20",
        GRAFANA_PASSWORD="not started",
    )
    try:
        stack.up()
        yield stack
    finally:
        stack.remove()


@pytest.fixture(scope="module")
def keys(production: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the keys of the production shape."""
    return production.copy_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
async def administrator(keys: Path) -> AsyncIterator[Client]:
    """A client of the production shape."""
    urls = [f"https://127.0.0.1:{port}" for port in (8080, 8081, 8082)]
    token = (keys / "tokens/admin").read_text().strip()
    async with Client(*urls, timeout=60, token=token, ca=keys / "tls/ca.crt") as client:
        yield client


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A client of the local stack."""
    async with Client(timeout=60) as client:
        yield client
