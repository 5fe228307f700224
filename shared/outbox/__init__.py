"""The transactional outbox: events written with the state they tell of, and published after the commit.

Other packages import from here; the modules inside are private.
"""

from shared.outbox.outbox import Outbox, OutboxTransaction

__all__ = ["Outbox", "OutboxTransaction"]
