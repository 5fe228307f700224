"""`python -m worker_manager.agent`: runs one worker's agent until a signal, a drain with `exit`, or the end of the
process that started it.

Exits 0 when every execution has an outcome, 1 when one has none or the agent failed otherwise, and 2 when the
configuration is unusable, or the worker gets no credentials, as after it was revoked.
"""

import sys
from collections.abc import Sequence

import structlog

from shared.service import EXIT_FAILED, EXIT_MISCONFIGURED, Service, main
from shared.telemetry import LogOutput
from worker_manager.agent.app import Agent
from worker_manager.agent.dispositions import catch_ignored, unblock_all
from worker_manager.agent.settings import AgentSettings


def run() -> None:
    """Run the agent; never returns."""
    catch_ignored()
    unblock_all()
    agents: list[Agent] = []

    def build(settings: AgentSettings) -> Sequence[Service]:
        agents.append(Agent(settings))
        structlog.contextvars.bind_contextvars(worker_id=agents[0].identity.worker_id)
        return agents[0].services

    try:
        main(AgentSettings, build)
    except SystemExit as end:
        if refusals := [agent.keyring.refusal for agent in agents if agent.keyring.refusal]:
            LogOutput(sys.stderr).write(f"{AgentSettings.service}: {refusals[0]}\n")
            sys.exit(EXIT_MISCONFIGURED)
        if end.code == 0 and any(not agent.clean for agent in agents):
            sys.exit(EXIT_FAILED)
        raise


if __name__ == "__main__":
    run()
