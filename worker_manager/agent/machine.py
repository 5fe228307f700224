"""The capacity of this machine: cores and memory, within the limits of its cgroups (Linux, version 2 or 1).

It is read once, at the start. A capacity that a person declares is in the settings.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from schemas.specs import Resources

CGROUPS: Final = Path("/sys/fs/cgroup")
OWN_CGROUP: Final = Path("/proc/self/cgroup")
_MIB: Final = 1 << 20
_MOST_CPU_M: Final = 1_000_000
_MOST_MEMORY_MB: Final = 100_000_000


def resources(root: Path = CGROUPS, own: Path = OWN_CGROUP) -> Resources:
    """The cores and the memory that the agent may use. GPUs are not detected."""
    cpu_m, memory = 1000 * len(os.sched_getaffinity(0)), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for folder in _cgroups(root, own):
        if (quota := _cpu_m(folder)) is not None:
            cpu_m = min(cpu_m, quota)
        if (limit := _memory(folder)) is not None:
            memory = min(memory, limit)
    return Resources(cpu_m=min(cpu_m, _MOST_CPU_M), memory_mb=min(memory // _MIB, _MOST_MEMORY_MB))


def _cgroups(root: Path, own: Path) -> Iterator[Path]:
    """The agent's cgroups and those above them: each limits those below. A container may see only the topmost."""
    yield from (root, root / "cpu", root / "memory")
    for line in _read(own).splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(",") if controllers else [""]:
            if controller in ("", "cpu", "memory"):
                folder = root / controller
                for part in path.strip("/").split("/"):
                    folder /= part
                    yield folder


def _cpu_m(folder: Path) -> int | None:
    quota, _, period = _read(folder / "cpu.max").partition(" ")
    if not period:
        quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
    if not quota.isdecimal() or not period.isdecimal():
        return None  # "max", "-1", or this cgroup sets no limit
    return max(1, int(quota) * 1000 // max(1, int(period)))


def _memory(folder: Path) -> int | None:
    limit = _read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")
    return int(limit) if limit.isdecimal() else None


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
