"""The audit log: a row for each call that changed something, and for each that was refused; only with access on.

A change's row is written in the transaction of the change (`Recorder`), rows of refused calls in batches (`Refusals`).
Not here: the routes (`shared.web.audit`), and which calls are refused (`shared.web.guard`).

Other packages import from here; the modules inside are private.
"""

from shared.audit.kept import AuditLog
from shared.audit.recording import Recorder, recorded
from shared.audit.refusals import Refusals
from shared.audit.store import AuditStore

__all__ = ["AuditLog", "AuditStore", "Recorder", "Refusals", "recorded"]
