"""Whose address a request comes from, and whether it is on a list. Pure, no Django."""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def client_address(socket: str, forwarded: str, proxies: int) -> Address | None:
    """Return the client's address, or None where it cannot be told.

    ``socket`` is the peer of the connection, ``forwarded`` the X-Forwarded-For header, ``proxies`` how many proxies of
    ours stand in front. Each proxy appends the address that it was called from, so with n proxies the client is the
    n-th entry from the right; what stands further left is the client's own word and is never looked at.
    """
    if proxies == 0:
        return parse(socket)
    hops = forwarded.split(",")
    return parse(hops[-proxies]) if len(hops) >= proxies else None


# A hop with a port, as Azure's gateways write it, and an IPv6 one in brackets.
HOP = re.compile(r"\[([^\[\]]+)\](?::[0-9]{1,5})?|([0-9]{1,3}(?:\.[0-9]{1,3}){3}):[0-9]{1,5}")


def parse(text: str) -> Address | None:
    """Return the address of a hop, or None.

    A port and quotes (RFC 7239, 4) are dropped; an IPv4-mapped IPv6 address is the IPv4 one that it stands for
    (RFC 4291, 2.5.5.2).
    """
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    if hop := HOP.fullmatch(text):
        text = hop[1] or hop[2]
    try:
        address = ip_address(text.partition("%")[0])  # a zone (RFC 4007) has a meaning on this machine only
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def parse_network(text: str) -> Network:
    """Return a network for an address or CIDR. Raises ValueError, also for host bits set: that is a typo."""
    if "%" in text:
        raise ValueError("a network has no zone")
    network = ip_network(text.strip())
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is not None and network.prefixlen >= 96:
        return ip_network(f"{mapped}/{network.prefixlen - 96}")
    return network


@lru_cache(maxsize=64)  # a list has up to 100 networks, 60 kB
def networks(listed: str) -> tuple[Network, ...]:
    """Return the networks of a space separated list that parse_network has accepted."""
    return tuple(parse_network(item) for item in listed.split())


def is_listed(address: Address | None, listed: str) -> bool:
    """Say whether an address lies in one of the networks; one that cannot be told lies in none."""
    return address is not None and any(
        address.version == network.version and address in network for network in networks(listed)
    )


def bucket(address: Address | None) -> str:
    """Return what to count an address under: an IPv6 client has a whole /64 to move in."""
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return str(address)
