"""Making ids: UUIDv7 in canonical text form, so that sorting by id is sorting by time of creation.

What an id looks like, and whether a foreign text is one, is said in `schemas.ids`.
"""

from uuid_utils import uuid7


def new_id() -> str:
    """A fresh UUIDv7: 36 lower-case characters; ids made one after the other by one process ascend."""
    return str(uuid7())
