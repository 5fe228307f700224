"""The user that PostgreSQL runs as when this process is root, because PostgreSQL refuses to run as root.

This is the user that owns its data, `nobody` for new data. Where that user cannot reach the data or the programs (both
often lie under a 0700 home), the permissions of no folder are changed: the server keeps a single capability for
searching folders instead.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hodei.embedded.errors import EmbeddedError
from hodei.embedded.process import Identity

CAP_DAC_OVERRIDE: Final = 1
CAP_DAC_READ_SEARCH: Final = 2
CAP_SETPCAP: Final = 8


def unprivileged(data: Path, *, folders: Sequence[Path], programs: Sequence[Path]) -> Identity:
    """The identity for a server on `data` (which may not exist yet). Unless this process is root, it is this process's
    own."""
    if os.geteuid() != 0:
        return Identity()
    owner = data.stat() if data.exists() else None
    if owner is not None and owner.st_uid != 0:
        uid, gid = owner.st_uid, owner.st_gid
    else:
        try:
            entry = pwd.getpwnam("nobody")
        except KeyError:
            raise EmbeddedError("PostgreSQL does not run as root, and there is no user 'nobody'") from None
        uid, gid = entry.pw_uid, entry.pw_gid
    hidden = [path for path in (*folders, *programs) if not _can_reach(path, uid, gid)]
    if not hidden:
        return Identity(uid, gid)
    # Searching folders is enough, unless the programs lack the execute bit for this user.
    runnable = all(_allows(path, uid, gid, 1) for path in programs)
    wanted = [CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE] if runnable else [CAP_DAC_OVERRIDE]
    held = _permitted_capabilities()
    for capability in wanted:
        if held & (1 << capability) and (held & (1 << CAP_SETPCAP) or not set(programs) & set(hidden)):
            return Identity(uid, gid, capability)
    raise EmbeddedError(
        f"PostgreSQL does not run as root, and user {uid} cannot reach {hidden[0]}: start as an ordinary user"
    )


def _can_reach(path: Path, uid: int, gid: int) -> bool:
    return all(_allows(part, uid, gid, 1) for part in (path, *path.parents))


def _allows(path: Path, uid: int, gid: int, bits: int) -> bool:
    status = path.stat()
    shift = 6 if status.st_uid == uid else 3 if status.st_gid == gid else 0
    return (status.st_mode >> shift) & bits == bits


def _permitted_capabilities() -> int:
    try:
        status = Path("/proc/self/status").read_text()
    except FileNotFoundError:
        return 0
    for line in status.splitlines():
        if line.startswith("CapPrm:"):
            return int(line.split()[1], 16)
    return 0
