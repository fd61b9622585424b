"""Where a URL leads: whether it can be one at all, and whether its host may be spoken to.  Pure."""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address as IPv4
from ipaddress import IPv6Address as IPv6
from urllib.parse import urlsplit

from wsi_ai.delivery.messages import Endpoint
from wsi_ai.errors import SinkError

_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254", "100.100.100.200", "192.0.0.192", "168.63.129.16", "255.255.255.255",
        "fd00:ec2::254", "fd20:ce::254",
    )
)  # fmt: skip
"""Of the clouds, which give out keys to whoever asks from inside; and everyone's."""
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_LONGEST_HOST = 253


def check_url(url: str, named: str) -> None:
    """Raises SinkError, which quotes nothing of it: there may be a password in it."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise SinkError(f"{named}: its URL has a port or an address that cannot be") from None
    if not url.isascii() or not url.isprintable() or " " in url:
        raise SinkError(f"{named}: its URL has signs that no URL has; write %20, xn--")
    if port == 0:
        raise SinkError(f"{named}: its URL has a port that cannot be")
    if host and not _can_be_host(host):
        raise SinkError(f"{named}: its URL has a host name that cannot be")


SECURE = frozenset({"https", "mllps"})


def check_endpoint(endpoint: Endpoint, urls: Iterable[str]) -> None:
    """Whether these URLs of it may be asked: in TLS, or on this machine; an allowed host; no
    password.  Raises SinkError."""
    named = f"sink {endpoint.name}"
    for url in urls:
        check_url(url, named)
        parts = urlsplit(url)
        host = parts.hostname
        if not host:
            raise SinkError(f"{named}: its URL names no host")
        if parts.username or parts.password:
            raise SinkError(f"{named}: no user or password in a URL; name a bearer file")
        if parts.scheme not in SECURE and not is_loopback(host):
            raise SinkError(
                f"{named}: {parts.scheme}s only, unless the receiver is on this machine"
            )
        if host not in endpoint.allowed_hosts:
            raise SinkError(f"{named}: its host is not among the allowed hosts")


def refuse_heartbeat(endpoint: Endpoint, kind: str) -> None:
    """Raises SinkError where one is set up for a kind of receiver that knows none."""
    if endpoint.heartbeat_s is not None:
        raise SinkError(f"sink {endpoint.name}: {kind} takes no heartbeat; leave out heartbeat_s")


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _can_be_host(host: str) -> bool:
    if ":" in host:
        return True  # urlsplit has looked at what stands in brackets
    labels = host.removesuffix(".").split(".")
    return len(host) <= _LONGEST_HOST and all(map(_LABEL.fullmatch, labels))


def is_forbidden(address: str) -> bool:
    """Link-local and metadata addresses, and those that are no host's; also inside an IPv6 address
    that stands for one of IPv4."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    inside = _embedded(ip) if isinstance(ip, IPv6) else ()
    return any(_is_forbidden(one) for one in (ip, *inside))


def _is_forbidden(ip: IPv4 | IPv6) -> bool:
    return ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip in _METADATA


_LAST_FOUR = [
    ipaddress.IPv6Network(text)
    for text in (
        "::ffff:0:0/96",  # mapped (RFC 4291)
        "::/96",  # compatible (RFC 4291)
        "::ffff:0:0:0/96",  # translated (RFC 2765)
        "64:ff9b::/96",  # NAT64 (RFC 6052)
    )
]
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")  # RFC 8215


def _embedded(ip: IPv6) -> Iterator[IPv4]:
    octets = ip.packed
    if any(ip in network for network in _LAST_FOUR) and not ip.is_loopback:
        yield IPv4(octets[12:])
    if ip.sixtofour is not None:
        yield ip.sixtofour
    yield from ip.teredo or ()
    if octets[8:12] in (b"\0\0\x5e\xfe", b"\2\0\x5e\xfe"):  # ISATAP (RFC 5214)
        yield IPv4(octets[12:])
    if ip in _LOCAL_NAT64:  # of /48, /56, /64 and /96 (RFC 6052, 2.2)
        for place in (octets[6:8] + octets[9:11], octets[7:8] + octets[9:12], octets[9:13]):
            yield IPv4(place)
        yield IPv4(octets[12:])
