"""Which proxies are believed when they name the client of a request (`X-Forwarded-For`, `X-Forwarded-Proto`).

Here: the list in the settings, and the client's address out of a connection's and a header. Not here: what an address
is used for (`shared.web`).
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

MOST_HOPS: Final = 16
"""The most entries of `X-Forwarded-For` that are read, from the last one on."""

Address = IPv4Address | IPv6Address


class Proxies:
    """The proxies in a list of addresses and networks, separated by commas or spaces. Raises ValueError for another
    entry."""

    def __init__(self, listed: str) -> None:
        self._networks: list[IPv4Network | IPv6Network] = []
        for entry in listed.replace(",", " ").split():
            try:
                self._networks.append(_unmapped(ip_network(entry)))
            except ValueError:
                raise ValueError(
                    f"{entry!r} is not a network: 10.0.0.0/8 or 192.0.2.7, separated by commas or spaces"
                ) from None

    @property
    def listed(self) -> bool:
        """Whether any proxy is believed."""
        return bool(self._networks)

    def trust(self, address: str) -> bool:
        """Whether a connection from this address is a proxy's."""
        found = read_address(address)
        return found is not None and any(found in network for network in self._networks)

    def client(self, address: str, forwarded_for: Sequence[str]) -> str:
        """The client's address: that of the connection or, if it is a proxy's, the last entry of `X-Forwarded-For` that
        is not a proxy's. Whatever stands before that entry, the client may have written itself."""
        if not self._networks or not self.trust(address):
            return address
        hops = ",".join(forwarded_for).rsplit(",", MOST_HOPS)[-MOST_HOPS:]
        for hop in reversed(hops):
            found = _hop(hop.strip())
            if found is None:
                break
            address = str(found)
            if not self.trust(address):
                break
        return address


_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_WITH_PORT: Final = re.compile(r"\[([^]]*)](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}", re.ASCII)


def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """A network of IPv4 addresses that are mapped into IPv6, as one of IPv4: addresses are compared like this."""
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        mapped = network.network_address.ipv4_mapped
        return IPv4Network((int(mapped or 0), network.prefixlen - _MAPPED.prefixlen))
    return network


def _hop(text: str) -> Address | None:
    """The address in an entry of `X-Forwarded-For`, after which some proxies write the client's port."""
    found = _WITH_PORT.fullmatch(text)
    return read_address(text if found is None else found[1] or found[2] or "")


@lru_cache(maxsize=1024)
def read_address(text: str) -> Address | None:
    """An IP address; None for another text. An IPv4 address that is mapped into IPv6 is one of IPv4."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
