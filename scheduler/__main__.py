"""`python -m scheduler`: the scheduler's process."""

from scheduler.app import build
from scheduler.settings import SchedulerSettings
from shared.service import main

if __name__ == "__main__":
    main(SchedulerSettings, build)
