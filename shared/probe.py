"""The health check of a container: exits 0 when the process beside it works, 1, with one line that says why, when not.

    python -m shared.probe http://127.0.0.1:8080/health
    python -m shared.probe /var/lib/hodei/worker/alive

An address has to answer 200; a file has to have been touched lately, which an agent does whenever the bus has taken
a heartbeat of its. Standard library only: it runs every few seconds, and there is no curl in the images.
"""

import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

DEADLINE: Final = 4.0
"""Seconds for an address to answer."""
FRESH: Final = 15.0
"""Seconds that a file's last touch may be old, unless the file itself names another number: the default lease, after
which a worker counts as lost."""


def probe(target: str) -> str | None:
    """What is wrong, in one line; None for healthy."""
    return _address(target) if target.startswith(("http://", "https://")) else _file(Path(target))


def _address(url: str) -> str | None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is our own address: no proxy
    try:
        with opener.open(url, timeout=DEADLINE):
            return None
    except urllib.error.HTTPError as error:
        return f"{url} answered {error.code}: {error.read(500).decode(errors='replace')}"
    except (OSError, ValueError) as error:
        return f"{url} did not answer: {error}"


def _file(path: Path) -> str | None:
    try:
        age, said = time.time() - path.stat().st_mtime, path.read_text("utf-8").strip()
    except OSError as error:
        return f"{path}: {error.strerror}"
    fresh = float(said) if said.isdecimal() else FRESH
    return None if age <= fresh else f"no heartbeat was taken by the bus for {age:.0f} s"


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python -m shared.probe ADDRESS|FILE", file=sys.stderr)  # noqa: T201
        return 2
    wrong = probe(sys.argv[1])
    if wrong:
        print(wrong)  # noqa: T201  # the engine shows it in `docker inspect`
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
