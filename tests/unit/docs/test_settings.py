"""README names every setting, and what a command finds in its environment."""

from __future__ import annotations

import pytest

from docs.generate import HERE
from orchestrator.settings import OrchestratorSettings
from scheduler.settings import SchedulerSettings
from shared.service.settings import ProcessSettings, _variables
from worker_manager.agent.settings import AgentSettings
from worker_manager.settings import WorkerManagerSettings

README = (HERE.parent / "README.md").read_text()


@pytest.mark.parametrize("settings", [OrchestratorSettings, SchedulerSettings, WorkerManagerSettings, AgentSettings])
def test_every_setting_is_documented(settings: type[ProcessSettings]) -> None:
    assert [name for name in _variables(settings) if f"`{name}`" not in README] == []
