"""Access: who a request acts for, and which tokens are known.

Other packages import from here. The modules inside are private, except those that need the bus or PostgreSQL, which
not every process has.
"""

from shared.access.call import CALL, Call, actor, calling, lacking, refuse
from shared.access.principal import Principal

__all__ = ["CALL", "Call", "Principal", "actor", "calling", "lacking", "refuse"]
