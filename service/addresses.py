"""Where a request comes from: the peer, or who a proxy of ours says; and which network that is."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Networks = tuple[IPv4Network | IPv6Network, ...]
_HOPS: Final = 8  # proxies of ours that may stand in one row; whoever forges more is taken for the last of them
_BITS: Final = {4: 24, 6: 48}  # of the network a customer's address is taken to belong to


def networks(text: str) -> Networks:
    """Addresses and networks, separated by commas.

    Raises:
        ValueError: one is neither.
    """
    return tuple(ip_network(one.strip()) for one in text.split(",") if one.strip())


@lru_cache(maxsize=8192)
def among(address: str, ranges: Networks) -> bool:
    """True if an address lies in one of these networks; what is no address lies in none."""
    try:
        host = ip_address(address)
    except ValueError:
        return False
    return any(host in network for network in ranges)


def origin(peer: str, forwarded: bytes, proxies: Networks) -> str:
    """The nearest address that is no proxy of ours.

    `X-Forwarded-For` is believed as far as those who wrote it are named: each proxy adds whom it speaks for at the end.
    """
    if not proxies or not among(peer, proxies):
        return peer
    nearest = peer
    for hop in reversed(forwarded.decode("latin-1").rsplit(",", _HOPS)[-_HOPS:]):
        try:
            nearest = str(ip_address(hop.strip()))
        except ValueError:  # a made-up text names nobody
            return nearest
        if not among(nearest, proxies):
            return nearest
    return nearest


@lru_cache(maxsize=8192)
def subscriber(address: str) -> str:
    """The subscriber to whom an address belongs, for requests without a key: one of IPv6 owns a /64 and more."""
    try:
        host = ip_address(address)
    except ValueError:
        return address
    if isinstance(host, IPv4Address) or host.ipv4_mapped:
        return address
    return str(IPv6Address(int(host) >> 64 << 64))


@lru_cache(maxsize=8192)
def network_of(address: str) -> str:
    """The network an address belongs to: a /24, or a /48 of IPv6."""
    try:
        host = ip_address(address)
    except ValueError:
        return "unknown"
    return str(ip_network(f"{host}/{_BITS[host.version]}", strict=False))
