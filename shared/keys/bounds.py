"""What a worker may be: the type and the labels that its credentials allow, as its issuer signed them.

They are a tag of the worker's JWT, which it shows in its heartbeats. Here: that tag, written, and read from a JWT. The
credentials of the services have a tag, too, which says that the workers of this platform have such JWTs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from shared.keys import claims

BOUNDED = "hodei-bounded"
_PREFIX = "hodei-bounds:"


@dataclass(frozen=True, slots=True)
class Bounds:
    """The only type and the labels of a worker; None for any. Until `expiry`, a timestamp in seconds."""

    type: str | None
    labels: Mapping[str, str] | None
    expiry: float

    def broken_by(self, type: str, labels: Mapping[str, str]) -> str | None:
        """What a worker claims and may not, in words; None if it may all that."""
        if self.type is not None and type != self.type:
            return f"the type {type!r}"
        if self.labels is not None:
            for key, value in sorted(labels.items()):
                if self.labels.get(key) != value:
                    return f"the label {key}={value}"
        return None


def bounds_tag(type: str | None, labels: Mapping[str, str] | None) -> str:
    """The tag for a worker's JWT."""
    return _PREFIX + orjson.dumps({"type": type, "labels": None if labels is None else dict(labels)}).decode()


def bounds_in(jwt: str, *, account: str, worker_id: str) -> Bounds:
    """The bounds in a worker's JWT, which this account has to have signed for this worker. Raises BadClaims."""
    content = claims.verified(jwt, account)
    tags = [tag for tag in content["nats"].get("tags", ()) if str(tag).startswith(_PREFIX)]
    if content.get("name") != worker_id or len(tags) != 1:
        raise claims.BadClaims("this is not the JWT of that worker")
    said = orjson.loads(tags[0][len(_PREFIX) :])
    return Bounds(said["type"], said["labels"], float(content.get("exp", 0)))
