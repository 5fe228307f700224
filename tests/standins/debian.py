"""What the distribution gives: packages on this machine, and a minimal root file system for images."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from tests.standins.commands import run, say
from tests.standins.errors import StandInError

CA_BUNDLE: Final = Path("/etc/ssl/certs/ca-certificates.crt")
PACKAGES: Final = {
    "dockerd": "docker.io",
    "docker": "docker.io",
    "docker-compose": "docker-compose",
    "debootstrap": "debootstrap",
    "iptables": "iptables",
    "slirp4netns": "slirp4netns",
    "ip": "iproute2",
    "unshare": "util-linux",
}
"""Program by program, the package that has it."""


def install(programs: Sequence[str]) -> None:
    """Install the packages of the programs that are missing. Raises StandInError."""
    missing = sorted({PACKAGES[program] for program in programs if shutil.which(program) is None})
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise StandInError(f"{', '.join(missing)} cannot be installed: this is no Debian. Start a Docker engine first")
    say(f"installing {', '.join(missing)} ...")
    # Their own services are not wanted: no engine is to be left running beside the one that we start.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    wait = ("-o", "DPkg::Lock::Timeout=300")
    run(["apt-get", "update", "-qq", *wait], environment=environment, deadline=300)
    run(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *wait, *missing],
        environment=environment,
        deadline=900,
    )


def codename() -> str:
    """`bookworm`, … Raises StandInError when this is no Debian."""
    lines = Path("/etc/os-release").read_text().splitlines()
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    if found.get("ID") != "debian":
        raise StandInError("stand-ins are built of Debian's packages, and this is no Debian")
    return found["VERSION_CODENAME"]


def sources() -> list[str]:
    """The lines of a sources.list with the archives of Debian itself that this machine uses."""
    listed = run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)"])
    ours = {tuple(line.split()) for line in listed.splitlines() if line.count(" ") == 2}
    suites = (codename(), f"{codename()}-updates", f"{codename()}-security")
    found = sorted((suite, _nameless(uri), part) for uri, suite, part in ours if suite in suites and part == "main")
    if not found:
        raise StandInError("apt knows no Debian archive on this machine: run apt-get update")
    return [f"deb {uri} {suite} {part}" for suite, uri, part in found]


def _nameless(uri: str) -> str:
    """The address without a user and password: it goes into images, which others may get to see."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def root_file_system(folder: Path, archive: Path) -> None:
    """A minimal Debian as a tar file, its apt ready to use. `folder` is scratch space."""
    lines = sources()
    run(["debootstrap", "--variant=minbase", codename(), folder, lines[0].split()[1]], deadline=900)
    (folder / "etc/apt/sources.list").write_text("\n".join(lines) + "\n")
    shutil.copy(CA_BUNDLE, folder / "usr/local/share/machine-certificates.crt")
    # As in any image: no daemon is started by an installation, nothing is kept that apt can fetch again.
    policy = folder / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    (folder / "etc/apt/apt.conf.d/image").write_text('APT::Install-Recommends "false";\nDPkg::Use-Pty "0";\n')
    (folder / "etc/dpkg/dpkg.cfg.d/image").write_text(
        "path-exclude /usr/share/doc/*\npath-exclude /usr/share/man/*\npath-exclude /usr/share/locale/*\n"
    )
    for kept in ("var/cache/apt", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(folder / kept, ignore_errors=True)
    for path in (folder / "var/lib/apt/lists").glob("*_*"):
        path.unlink()
    making = archive.with_suffix(".making")
    run(["tar", "--numeric-owner", "-C", folder, "-cf", making, "."], deadline=300)
    making.rename(archive)
