"""The transactional outbox: a change and its events are written in one transaction and published after the commit.

Other packages import from here; the modules inside are private.
"""

from shared.outbox.outbox import Outbox, OutboxTransaction

__all__ = ["Outbox", "OutboxTransaction"]
