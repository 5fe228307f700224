"""The lifecycle of a process: its settings, ordered start and stop, and background loops.

Other packages import from here; the modules inside are private.
"""

from shared.service.housekeeping import Housekeeping, rows_deleted
from shared.service.lifecycle import (
    EXIT_FAILED,
    EXIT_MISCONFIGURED,
    Service,
    StopTimeout,
    force,
    main,
    start_all,
    stop_all,
)
from shared.service.loop import Counts, Loop
from shared.service.settings import BusSettings, HttpSettings, Port, ServiceSettings, address, variables_of

__all__ = [
    "EXIT_FAILED",
    "EXIT_MISCONFIGURED",
    "BusSettings",
    "Counts",
    "Housekeeping",
    "HttpSettings",
    "Loop",
    "Port",
    "Service",
    "ServiceSettings",
    "StopTimeout",
    "address",
    "force",
    "main",
    "rows_deleted",
    "start_all",
    "stop_all",
    "variables_of",
]
