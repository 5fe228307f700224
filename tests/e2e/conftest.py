"""One platform per test process, shared by its e2e tests; each test has jobs and workers of its own on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
import pytest_asyncio

from hodei.client import Client
from tests.e2e.framework.config import E2EConfig
from tests.e2e.framework.http import RawHttp, checked_client
from tests.e2e.framework.platform import Platform, running_platform
from tests.fixtures.servers import Backend


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/e2e" in item.nodeid:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def config() -> E2EConfig:
    return E2EConfig.from_environment()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def platform(
    config: E2EConfig, backend: Backend, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Platform]:
    async with running_platform(config, tmp_path_factory.mktemp("platform"), backend) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def guarded_platform(
    config: E2EConfig, backend: Backend, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Platform]:
    """A platform with access on; `token` is its administrator's."""
    if config.external:
        pytest.skip("needs a platform that the tests started themselves")
    async with running_platform(config, tmp_path_factory.mktemp("guarded"), backend, HODEI_AUTH="on") as running:
        yield running


@pytest.fixture
def own_platform(platform: Platform) -> Platform:
    """The platform, if the tests may do to it as they like."""
    if platform.process is None:
        pytest.skip("needs a platform that the tests started themselves")
    return platform


@pytest.fixture
async def client(platform: Platform, config: E2EConfig) -> AsyncIterator[Client]:
    """A client whose every answer is held against the services' OpenAPI documents."""
    async with checked_client(platform.urls, platform.checks, timeout=config.timeout) as client:
        yield client


@pytest.fixture
async def http(platform: Platform) -> AsyncIterator[Callable[[str], RawHttp]]:
    """Plain HTTP: `http("orchestrator")("POST", "/api/v1/jobs", data="{")`."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:

        def of(service: str) -> RawHttp:
            return RawHttp(platform.urls[service], platform.checks[service], session)

        yield of
