"""The catalogue of variables is what the processes of the platform really read and set."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hodei.embedded import lifeline as ours
from nats_exporter.settings import NatsExporterSettings
from orchestrator.domain.environment import of_attempt
from orchestrator.settings import OrchestratorSettings
from scheduler.settings import SchedulerSettings
from schemas import outputs, variables
from shared.process import lifeline
from shared.process.tree import EXECUTION_MARK
from shared.service.settings import _variables
from worker_manager.agent.environment import base_environment
from worker_manager.agent.settings import AgentSettings
from worker_manager.settings import WorkerManagerSettings

ROOT = Path(__file__).parents[3]
ALL = (OrchestratorSettings, SchedulerSettings, WorkerManagerSettings, AgentSettings, NatsExporterSettings)


def test_the_settings_are_those_of_the_settings_classes() -> None:
    declared = {name for settings in ALL for name in _variables(settings)}
    prefixed = {name for name in declared if name.startswith(variables.PREFIX)}
    assert prefixed == variables.SETTINGS
    # `hodei up` alone reads the ports of the servers that it starts.
    assert declared - prefixed == variables.WITHOUT_PREFIX - {"NATS_PORT", "POSTGRES_PORT"}


def test_every_variable_that_the_source_names_is_known() -> None:
    folders = ("shared", "orchestrator", "scheduler", "worker_manager", "nats_exporter", "hodei")
    sources = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    named = {name for path in sources for name in re.findall(r"HODEI_[A-Z_]*[A-Z]", path.read_text())}
    assert named - {"HODEI_PARAM", "HODEI_MATRIX", "HODEI_COMPLETE"} <= variables.KNOWN


def test_what_a_command_finds_is_known() -> None:
    told = of_attempt({}, job_id="", job_name="", task_id="", step="", attempt=1)
    marked = {EXECUTION_MARK, outputs.VARIABLE, *base_environment({}, worker_id="", incarnation="")}
    assert {name for name in {*told, *marked} if name.startswith(variables.PREFIX)} == variables.OF_A_COMMAND


def test_what_the_platform_starts_is_told_of_its_lifeline() -> None:
    assert {ours.VARIABLE, lifeline.VARIABLE} == variables.OF_PROCESSES


def test_every_variable_of_the_compose_files_is_known() -> None:
    files = [ROOT / "compose.yaml", *(ROOT / "compose").glob("*.yml")]
    named = {name for path in files for name in re.findall(r"HODEI_[A-Z_]*[A-Z]", path.read_text())}
    assert named <= variables.KNOWN
    assert named >= variables.OF_COMPOSE


@pytest.mark.parametrize(
    "name", ["HODEI_JOB_ID", "HODEI_PARAM_ANYTHING", "HODEI_MATRIX_OS", "HODEI_WORKER_SLOTS", "HOME", "XHODEI_FOO"]
)
def test_what_a_process_of_the_platform_knows_is_taken(name: str) -> None:
    assert variables.unknown_variables([name]) == []


def test_a_misspelt_name_is_shown_on_one_line_with_the_nearest() -> None:
    assert variables.unknown_variables(["HODEI_ORCHESTRATR_URL", "HODEI_\x1bZZZZZZ\n"]) == [
        "HODEI_\\x1bZZZZZZ\\n is not a known setting; README.md lists all settings",
        "HODEI_ORCHESTRATR_URL is not a known setting; did you mean HODEI_ORCHESTRATOR_URL?",
    ]


@pytest.mark.parametrize("name", sorted(variables.WITHOUT_PREFIX))
def test_a_setting_without_the_prefix_is_the_nearest_of_its_name_with_the_prefix(name: str) -> None:
    expected = f"HODEI_{name} is not a known setting; did you mean {name}?"
    assert variables.unknown_variables([f"HODEI_{name}"]) == [expected]
