"""Makes ids: UUIDv7 in canonical text form, so that sorting by id is sorting by time of creation.

`schemas.ids` describes the form of an id and checks foreign text.
"""

from uuid_utils import uuid7


def new_id() -> str:
    """A new UUIDv7 of 36 lower-case characters. The ids that one process makes ascend."""
    return str(uuid7())
