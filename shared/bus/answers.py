"""Recognises JetStream's answers to publishes.

A publisher names the subject of the answer, and NATS does not check whether it may publish there. So a worker can have
an answer sent to any subject. An answer has nothing of the worker's choice in it, and is dropped where it is found.
"""

from typing import Final

import orjson

_BEGINNINGS: Final = (b'{"stream":', b'{"error":')
_LONGEST: Final = 4096
_FIELDS: Final = frozenset({"error", "stream", "seq", "domain", "duplicate", "val", "batch", "count"})


def is_answer(payload: bytes) -> bool:
    """Whether a payload is JetStream's answer to a publish."""
    if not payload.startswith(_BEGINNINGS) or len(payload) > _LONGEST:
        return False
    try:
        answer = orjson.loads(payload)
    except ValueError:
        return False
    return isinstance(answer, dict) and _FIELDS.issuperset(answer) and ("seq" in answer or "error" in answer)
