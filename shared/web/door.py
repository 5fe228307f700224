"""Protection against foreign web pages: which pages may use a service, and under which host names it may be addressed.

A browser sends any request that a page makes, from inside the user's network, and services read bodies as JSON whatever
their Content-Type. Without these checks any web page could run commands on its visitor's machine. Here: the check of
`Host` against DNS rebinding, of `Origin` against foreign pages, and CORS (Fetch standard). Not here: tokens (`guard`);
programs such as curl send no `Origin`, and pass.
"""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from shared.errors import Forbidden, Malformed, Misdirected
from shared.origins import Host, Hosts, Origin, Origins, read_host, read_origin

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that change nothing (RFC 9110, section 9.2.1)."""

_METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_EXPOSED: Final = "Location, Link, X-Request-ID, Idempotency-Replayed, Retry-After, WWW-Authenticate"
_MAX_AGE: Final = "600"
_REMEMBERED: Final = 256
_SHOWN: Final = 100
"""Most characters of a header that logs and responses repeat."""

_log = structlog.stdlib.get_logger("hodei.web")


class Door:
    """Admits requests. `origins` and `hosts` are lists as in the settings, `host` is the address to listen on, `public`
    the URL by which people reach the service.

    `Host` is checked if `hosts` lists names, or if the service listens on loopback addresses only (`listening_at`).
    `*` in `hosts` turns the check off.
    """

    def __init__(self, *, origins: str, hosts: str = "", host: str = "", public: str | None = None) -> None:
        self._origins = Origins(origins)
        self._hosts = Hosts(hosts)
        parts = urlsplit(public or "")
        self._public = read_origin(f"{parts.scheme}://{parts.netloc}")
        self._names = {name.name for name in (read_host(host), read_host(parts.netloc)) if name is not None}
        self._checks_hosts = not self._hosts.any
        self._accepted: set[str] = set()
        """A cache of accepted `Host` headers: every request has one, and there are few different ones."""

    def listening_at(self, addresses: Iterable[str]) -> None:
        """Note the addresses on which the service listens. The server calls this once they are known."""
        if not self._hosts and not all(ip_address(address).is_loopback for address in addresses):
            self._checks_hosts = False

    def admit(self, request: web.Request) -> None:
        """Check a request. Raises Misdirected for a foreign host, Forbidden when a foreign page sends an unsafe method,
        and Malformed for a `Host` that is not a host."""
        if self._checks_hosts:
            self._check_host(request)
        if request.method not in SAFE:
            self._check_origin(request)

    def admits_page(self, request: web.Request) -> bool:
        """Whether the request comes from a page that may read the response."""
        given = request.headers.get("Origin")
        if given is None:
            return False
        if self._origins.any:
            return True
        origin = read_origin(given)
        if origin is None:
            return False
        if self._origins.accept(origin):
            return True
        return self._is_own_page(origin, request)

    def check_own_page(self, request: web.Request) -> None:
        """Raises Forbidden unless the request comes from one of the service's own pages, or not from a page."""
        given = request.headers.get("Origin")
        if given is None:
            if request.headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin"):
                return
        elif (origin := read_origin(given)) is not None and self._is_own_page(origin, request):
            return
        raise Forbidden("sessions are for this service's own pages only; HODEI_ALLOWED_HOSTS has to list its name")

    def finish(self, request: web.Request, response: web.StreamResponse) -> None:
        """Set the CORS headers of a response: none for a page that may not read it."""
        headers = response.headers
        headers["X-Content-Type-Options"] = "nosniff"
        if self._origins.any:
            headers["Access-Control-Allow-Origin"] = "*"
        else:
            headers["Vary"] = ", ".join(filter(None, [headers.get("Vary"), "Origin"]))
            if "Origin" not in request.headers or not self.admits_page(request):
                return
            headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
        headers["Access-Control-Expose-Headers"] = _EXPOSED

    def preflight(self, request: web.Request) -> web.Response:
        """The response to a browser's CORS preflight request. Raises Forbidden."""
        if not self.admits_page(request):
            raise self._foreign(request)
        headers = {"Access-Control-Allow-Methods": _METHODS, "Access-Control-Max-Age": _MAX_AGE}
        if asked := request.headers.get("Access-Control-Request-Headers"):
            headers["Access-Control-Allow-Headers"] = asked
        if request.headers.get("Access-Control-Request-Private-Network") == "true":
            headers["Access-Control-Allow-Private-Network"] = "true"
        return web.Response(status=204, headers=headers)

    def _check_host(self, request: web.Request) -> None:
        given = request.headers.get("Host")
        plain = request.raw_path.startswith("/")
        if plain and (given is None or given in self._accepted):
            return  # without a Host it is HTTP/1.0, as in health checks of proxies; every browser sends a Host
        for text in _named(request):
            host = read_host(text)
            if host is None and text:
                raise Malformed(f"the header Host is not a host: {text[:_SHOWN]!r}")
            if host is None or not self._is_ours(host, request):
                _log.info("request.refused", header="Host", value=text[:_SHOWN])
                raise Misdirected(
                    f"{text[:_SHOWN] or 'an empty Host'} is not a name of this service: call it by a loopback name,"
                    " or add the name to HODEI_ALLOWED_HOSTS"
                )
            if text == given and self._hosts.accept(host):
                self._remember(text)

    def _remember(self, text: str) -> None:
        if len(self._accepted) >= _REMEMBERED:
            self._accepted.clear()
        self._accepted.add(text)

    def _check_origin(self, request: web.Request) -> None:
        if "Origin" in request.headers:
            if not self.admits_page(request):
                raise self._foreign(request)
        elif request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin") and not self._origins.any:
            raise self._foreign(request)  # a browser that sends no Origin for a page of another site

    def _foreign(self, request: web.Request) -> Forbidden:
        origin = request.headers.get("Origin", "")[:_SHOWN]
        _log.info("request.refused", header="Origin", value=origin)
        return Forbidden(
            f"pages of {origin or 'another site'} may not call this service: name their origin in HODEI_CORS_ORIGINS"
        )

    def _is_own_page(self, origin: Origin, request: web.Request) -> bool:
        """Whether a page was loaded from this service, under a name that can only be this service's."""
        if origin == self._public:  # a proxy may have changed the host
            return True
        hosts = [read_host(text) for text in _named(request)]
        return bool(hosts) and all(host and origin.serves(host) and self._is_ours(host, request) for host in hosts)

    def _is_ours(self, host: Host, request: web.Request) -> bool:
        """Whether a host is listed, a loopback name, the listening address, that of the public address, or the IP
        address to which the client connected. The last needs no DNS, so DNS rebinding cannot forge it."""
        if self._hosts.accept(host) or host.name in self._names:
            return True
        transport = request.transport
        local = None if transport is None else transport.get_extra_info("sockname")
        return isinstance(local, tuple) and host.name == _address(local[0])


def _named(request: web.Request) -> list[str]:
    """The hosts that a request names: in its `Host` header and, if its target is a whole URL, there."""
    named = [request.headers["Host"]] if "Host" in request.headers else []
    if not request.raw_path.startswith(("/", "*")):
        named.append(request.url.authority)
    return named


def _address(text: str) -> str:
    """A socket's address in the form that a `Host` header uses."""
    host = read_host(f"[{text.partition('%')[0]}]" if ":" in text else text)
    return "" if host is None else host.name
