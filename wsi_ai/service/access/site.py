"""Where the service is reached, and whether it may be.  Pure."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from wsi_ai.delivery.sinks.addresses import check_url, is_loopback
from wsi_ai.errors import InputError, SinkError

_USUAL = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Site:
    """The names and the origin that browsers know it by."""

    origin: str
    """``https://name``, without a slash at its end."""

    @property
    def host(self) -> str:
        """As the header ``Host`` has it."""
        return self.origin.partition("://")[2]

    @property
    def is_secure(self) -> bool:
        return self.origin.startswith("https://")

    @property
    def hosts(self) -> frozenset[str]:
        """A browser leaves out the usual port; others may not."""
        usual = f":{_USUAL[self.origin.partition('://')[0]]}"
        bare = urlsplit(self.origin).port is None
        return frozenset({self.host, self.host + usual} if bare else {self.host})

    def cookie(self, name: str) -> str:
        """``__Host-``: no other host, and none without TLS, can set or read it."""
        return f"__Host-{name}" if self.is_secure else name


def site_at(url: str) -> Site:
    """Of an address as people know it.  Raises InputError."""
    try:
        check_url(url, "the address")
    except SinkError as error:
        raise InputError(str(error)) from None
    parts = urlsplit(url)
    bare = parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username)
    if parts.scheme not in _USUAL or not parts.hostname or not bare:
        raise InputError("the address is https://NAME or https://NAME:PORT, and nothing else")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise InputError("the address is https://…: a session's cookie would be read on its way")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = parts.port if parts.port != _USUAL[parts.scheme] else None
    return Site(f"{parts.scheme}://{host}" + (f":{port}" if port else ""))


def site_of(listens_at: str, *, has_tls: bool, url: str | None) -> Site | None:
    """Where people reach a service that listens there: ``url`` is what a proxy, or our own
    certificate, is known as (``--behind-proxy``, ``--url``).  ``None``: one person, on this
    machine.

    Raises InputError where others could reach it in the clear.
    """
    if url is not None:
        return site_at(url)
    if has_tls:
        raise InputError("a certificate is for a name: give --url https://NAME")
    if not is_loopback(listens_at):
        raise InputError(
            "another address than this machine's own needs TLS: --cert and --key with --url"
            " https://NAME, or --behind-proxy https://NAME of a proxy that has it"
        )
    return None
