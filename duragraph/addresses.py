"""Which addresses the plane may be sent to: public ones, and those that its operator names.

A URL is checked twice: its text when it is given, its address at each connection.
"""

import errno
import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import urlsplit

from duragraph.config import Network
from duragraph.errors import Invalid, Refused

LONGEST_URL = 4096
SCHEMES = {"http", "https"}
UNICAST = IPv6Network("2000::/3")
SPECIAL = tuple(map(IPv4Network, ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")))
"""Not public, though some Pythons say so; at the last one Azure's machines find their host."""


def check_url(url: str, allowed: Sequence[Network]) -> None:
    """Raises Invalid, Refused unless `url` can be a webhook; names are looked up at its calls."""
    if len(url) > LONGEST_URL:
        raise Invalid("Webhook URL too long", hint=f"Use {LONGEST_URL} characters at most.")
    if not url.isprintable() or url != url.strip():  # parsers of URLs skip what is not
        raise Invalid("Invalid webhook URL", hint="Remove control characters and spaces around it.")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise Refused(str(error)) from None
    if not host:
        raise Invalid("Invalid webhook hostname ''", hint="Give the whole URL, with its host.")
    if parts.scheme not in SCHEMES:
        raise _blocked(f"scheme {parts.scheme!r} not allowed")
    try:
        address = ip_address(host)
    except ValueError:
        local = f".{host}".rstrip(".").endswith(".localhost")
        if local and not may_reach("127.0.0.1", allowed):
            raise _blocked("localhost address") from None
        return
    if not may_reach(host, allowed):
        raise _blocked(f"{'loopback' if address.is_loopback else 'blocked'} IP range")


def may_reach(address: str, allowed: Sequence[Network]) -> bool:
    """Whether `address` is public or in one of these networks."""
    ip = ip_address(address)
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return any(ip in network for network in allowed) or _is_public(ip)


def guarded(allowed: Sequence[Network]) -> Callable[[tuple[Any, ...]], socket.socket]:
    """Makes sockets for aiohttp, for the very addresses that it is about to connect to.

    What it makes raises PermissionError for the others.
    """

    def make(info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, (address, *_) = info
        if not may_reach(address, allowed):
            raise PermissionError(errno.EACCES, f"{address} is not a public address")
        return socket.socket(family, kind, protocol)

    return make


def _is_public(ip: IPv4Address | IPv6Address) -> bool:
    # Of IPv6 only what is handed out: others translate to IPv4 addresses, as does 6to4.
    if isinstance(ip, IPv6Address):
        return ip.is_global and ip in UNICAST and ip.sixtofour is None
    return ip.is_global and not ip.is_multicast and not any(ip in each for each in SPECIAL)


def _blocked(reason: str) -> Invalid:
    return Invalid(
        f"Webhook host blocked: {reason}",
        hint="Only public addresses can be reached, and those in DURAGRAPH_WEBHOOK_NETWORKS.",
    )
