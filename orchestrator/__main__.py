"""`python -m orchestrator`: the orchestrator's process."""

from orchestrator.app import build
from orchestrator.settings import OrchestratorSettings
from shared.service import main

if __name__ == "__main__":
    main(OrchestratorSettings, build)
