"""Where the client looks for a platform."""

from __future__ import annotations

import pytest

from hodei.client import BadAddress, Client, WrongSetting


async def test_it_looks_where_hodei_up_was_told_to_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HODEI_ORCHESTRATOR_URL", raising=False)
    monkeypatch.delenv("HODEI_SCHEDULER_URL", raising=False)
    monkeypatch.setenv("ORCHESTRATOR_PORT", "9080")
    monkeypatch.delenv("SCHEDULER_PORT", raising=False)
    monkeypatch.setenv("HODEI_WORKER_MANAGER_URL", "http://elsewhere:1")
    monkeypatch.setenv("WORKER_MANAGER_PORT", "9082")
    async with Client() as client:
        assert str(client.orchestrator.base_url) == "http://127.0.0.1:9080"
        assert str(client.scheduler.base_url) == "http://127.0.0.1:8081"
        assert str(client.worker_manager.base_url) == "http://elsewhere:1"


@pytest.mark.parametrize("port", ["abc", "99999", "80 80"])
async def test_a_port_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("SCHEDULER_PORT", port)
    with pytest.raises(BadAddress, match=r"SCHEDULER_PORT: .*one looks like http://HOST:PORT"):
        Client()


@pytest.mark.parametrize("url", ["foo", "ftp://here:1", "http://", "//here"])
async def test_an_address_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    with pytest.raises(BadAddress, match=f"^{url} is not the address"):
        Client(url)
    monkeypatch.setenv("HODEI_WORKER_MANAGER_URL", url)
    with pytest.raises(BadAddress, match=f"^HODEI_WORKER_MANAGER_URL: {url} is not the address"):
        Client()


async def test_a_misspelt_variable_is_named_where_the_environment_gives_an_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HODEI_ORCHESTRATR_URL", "http://elsewhere:1")
    with pytest.raises(WrongSetting, match=r"^HODEI_ORCHESTRATR_URL is not .*; did you mean HODEI_ORCHESTRATOR_URL\?$"):
        Client("http://here:1", "http://here:2")
    async with Client("http://here:1", "http://here:2", "http://here:3") as client:  # it takes nothing from there
        assert str(client.orchestrator.base_url) == "http://here:1"
