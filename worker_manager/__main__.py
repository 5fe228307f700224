"""`python -m worker_manager`: the worker manager's process."""

from shared.service import main
from worker_manager.app import build
from worker_manager.settings import WorkerManagerSettings

if __name__ == "__main__":
    main(WorkerManagerSettings, build)
