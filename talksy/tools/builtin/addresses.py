"""Which addresses belong to the public internet."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_PUBLIC_V6 = ip_network("2000::/3")
_NOT_PUBLIC = tuple(
    ip_network(text)
    for text in (
        "192.0.0.0/24",  # some versions of Python take parts of it for public
        "168.63.129.16/32",  # a public address by which Azure talks with its machines
        "192.88.99.0/24",  # relays of 6to4
        "2001::/23",  # Teredo and others: an IPv4 address may be inside
        "2002::/16",  # 6to4: the same
        "3fff::/20",  # for documentation
        "5f00::/16",  # segments of a route
    )
)


def is_public(text: str) -> bool:
    """Whether an address may be reached on behalf of somebody who is not trusted.

    IPv4 inside IPv6, in whichever way, is not: where a network translates it, it could be any.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv6Address) and address not in _PUBLIC_V6:
        return False
    return not any(address in network for network in _NOT_PUBLIC if _alike(address, network))


def _alike(address: IPv4Address | IPv6Address, network: object) -> bool:
    return address.version == getattr(network, "version", None)
