"""Whose request this is, as far as the network can tell."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network


def client_address(peer: str, forwarded_for: str | None, trusted: Sequence[Network]) -> str:
    """The address limits are counted by.

    ``peer`` is the other end of the connection, ``forwarded_for`` the ``X-Forwarded-For`` header
    (several joined with commas), ``trusted`` the proxies whose word counts. From the right, where
    the nearest proxy wrote, hops are believed as long as each was told by a trusted one; what is
    no address ends the walk.

    IPv4 inside IPv6 is IPv4. IPv6 is its /64, such as ``2001:db8::/64``, since that is what one
    customer is given. A peer without an address (a Unix socket) is returned as it is.
    """
    client = _parse(peer)
    if client is None:
        return peer
    for hop in reversed((forwarded_for or "").split(",")):
        if not any(client in network for network in trusted):
            break
        told = _parse(hop.strip())
        if told is None:
            break
        client = told
    if isinstance(client, IPv6Address):
        return str(ip_network((client, 64), strict=False))
    return str(client)


def within(peer: str, networks: Sequence[Network]) -> bool:
    """Whether the other end of a connection is in one of the networks."""
    address = _parse(peer)
    return address is not None and any(address in network for network in networks)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """An address as proxies write it: bare, ``1.2.3.4:5678`` or ``[2001:db8::1]:5678``."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        # The zone names an interface of this machine, not the client.
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
