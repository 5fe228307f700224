"""The health check of a container: exits 0 when the process in it works, else 1 with one line about the reason.

    python -m shared.probe http://127.0.0.1:8080/health
    python -m shared.probe /var/lib/hodei/worker/alive

A URL must answer 200. With HODEI_TLS_CERT set it is asked over HTTPS, and must show that certificate. A file must have
been touched recently: an agent touches it whenever NATS has received one of its heartbeats. Standard library only,
because it runs every few seconds, and the images have no curl.
"""

import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

DEADLINE: Final = 4.0
"""Seconds within which a URL must answer."""
FRESH: Final = 15.0
"""Most seconds since a file was touched, unless the file contains another number. It is the default lease, after which
a worker counts as lost."""


def probe(target: str) -> str | None:
    """The problem in one line; None if the target is healthy."""
    return _address(target) if target.startswith(("http://", "https://")) else _file(Path(target))


def _address(url: str) -> str | None:
    certificate = os.environ.get("HODEI_TLS_CERT")
    try:
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]  # a local address needs no proxy
        if certificate:
            url = f"https://{url.partition('://')[2]}"
            handlers.append(urllib.request.HTTPSHandler(context=_trusting(certificate)))
        opener = urllib.request.build_opener(*handlers)
        with opener.open(url, timeout=DEADLINE):
            return None
    except urllib.error.HTTPError as error:
        return f"{url} answered {error.code}: {error.read(500).decode(errors='replace')}"
    except (OSError, ValueError) as error:
        return f"{url} did not answer: {error}"


def _trusting(certificate: str) -> ssl.SSLContext:
    """A context for the server that has this certificate. Its name is not compared: the address is a local one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the authority need not be in the file
    context.load_verify_locations(certificate)
    return context


def _file(path: Path) -> str | None:
    try:
        age, said = time.time() - path.stat().st_mtime, path.read_text("utf-8").strip()
    except OSError as error:
        return f"{path}: {error.strerror}"
    fresh = float(said) if said.isdecimal() else FRESH
    return None if age <= fresh else f"no heartbeat reached NATS for {age:.0f} s"


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python -m shared.probe ADDRESS|FILE", file=sys.stderr)  # noqa: T201
        return 2
    wrong = probe(sys.argv[1])
    if wrong:
        print(wrong)  # noqa: T201  # `docker inspect` shows it
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
