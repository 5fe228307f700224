"""Parses and compares hosts and web origins, and matches them with the lists in the settings.

Here: the `Host` header (RFC 9110, section 7.2), origins as browsers send them (RFC 6454), and which of them a list
accepts. Not here: refusing a request because of its host or origin (`shared.web.door`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final

LOOPBACK: Final = "loopback"
"""In a list of origins: every page that this machine serves, at any port."""
ANY: Final = "*"

_HOST: Final = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._~!$&'()*+;=%-]+))(?::(?P<port>[0-9]{0,5}))?"
)
_SCHEME: Final = re.compile("[A-Za-z][A-Za-z0-9+.-]*")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Host:
    """A host's name in lower case or its IP address, and a port if one was given."""

    name: str
    port: int | None = None

    @property
    def is_loopback(self) -> bool:
        """Whether the name always means the client's own machine (RFC 6761: `localhost` and all names below it)."""
        if self.name == "localhost" or self.name.endswith(".localhost"):
            return True
        try:
            return ip_address(self.name).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a web page. The port is never None if the scheme has a default port."""

    scheme: str
    host: Host

    def serves(self, host: Host) -> bool:
        """Whether this is the origin of pages of a server at `host`. The scheme is not compared, because a proxy may
        change it."""
        usual = _DEFAULT_PORTS.get(self.scheme)
        return (self.host.name, self.host.port) == (host.name, host.port or usual)


def read_host(text: str) -> Host | None:
    """Parse a `Host` header or an authority; None if it is not one. A trailing dot and case are ignored."""
    match = _HOST.fullmatch(text)
    if match is None:
        return None
    port = int(match["port"]) if match["port"] else None
    if port is not None and port > 65535:
        return None
    name = match["six"] or match["name"].lower().removesuffix(".")
    if match["six"]:
        try:
            address = IPv6Address(name)
        except ValueError:
            return None
        name = str(address.ipv4_mapped or address)
    return Host(name, port) if name else None


def read_origin(text: str) -> Origin | None:
    """Parse an `Origin` header; None if it is not one, and for `null`, which every sandboxed page sends."""
    scheme, separator, authority = text.partition("://")
    host = read_host(authority)
    if not separator or host is None or not _SCHEME.fullmatch(scheme):
        return None
    scheme = scheme.lower()
    return Origin(scheme, Host(host.name, host.port or _DEFAULT_PORTS.get(scheme)))


class Origins:
    """The origins whose pages may call: `loopback`, `*`, `https://host:port`, or `https://host:*` for any port.

    Raises ValueError for any other entry.
    """

    def __init__(self, listed: str) -> None:
        entries = frozenset(_entries(listed))
        self.any = ANY in entries
        self._loopback = LOOPBACK in entries
        self._exact: set[Origin] = set()
        self._any_port: set[tuple[str, str]] = set()
        for entry in entries - {ANY, LOOPBACK}:
            origin = read_origin(entry.rstrip("/").removesuffix(":*"))
            if origin is None:
                raise ValueError(
                    f"{entry!r} is not an origin: {ANY}, {LOOPBACK} or https://host:port, separated by commas"
                )
            if entry.endswith(":*"):
                self._any_port.add((origin.scheme, origin.host.name))
            else:
                self._exact.add(origin)

    def accept(self, origin: Origin) -> bool:
        """Whether pages of this origin may call."""
        return (
            self.any
            or (self._loopback and origin.host.is_loopback and origin.scheme in _DEFAULT_PORTS)
            or origin in self._exact
            or (origin.scheme, origin.host.name) in self._any_port
        )


class Hosts:
    """The hosts under which a service may be addressed, beside loopback names: `name`, `name:port`, or `*`.

    Raises ValueError for any other entry.
    """

    def __init__(self, listed: str) -> None:
        entries = frozenset(_entries(listed))
        self.any = ANY in entries
        self._listed: set[Host] = set()
        for entry in entries - {ANY}:
            host = read_host(entry)
            if host is None or "*" in entry:
                raise ValueError(f"{entry!r} is not a host: {ANY}, a name or name:port, separated by commas")
            self._listed.add(host)

    def __bool__(self) -> bool:
        return self.any or bool(self._listed)

    def accept(self, host: Host) -> bool:
        """Whether this host is listed or a loopback name. `*` is not a host here: it turns the check off."""
        return host.is_loopback or host in self._listed or Host(host.name) in self._listed


def _entries(listed: str) -> Iterator[str]:
    return filter(None, (entry.strip() for entry in listed.split(",")))
