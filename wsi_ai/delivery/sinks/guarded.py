"""A network that reaches the allowed hosts only, and gives up on time.

Names are resolved here, and the connection goes to the very address that was looked at: so no
second answer of a name server can lead elsewhere.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import httpcore

from wsi_ai.delivery.messages import Endpoint
from wsi_ai.delivery.sinks.addresses import is_forbidden
from wsi_ai.errors import SinkError, TryAgain

_KEEP_ALIVE_S = 4.0  # shorter than what common servers keep an idle connection for

Monotonic = Callable[[], float]


class Deadline:
    """When the attempt at hand must be over, in seconds of ``clock``."""

    def __init__(self, clock: Monotonic = time.monotonic) -> None:
        self._clock = clock
        self._end = 0.0

    def start(self, seconds: float) -> None:
        self._end = self._clock() + seconds

    def left_s(self) -> float:
        """Raises TimeoutException once it is over."""
        left = self._end - self._clock()
        if left <= 0:
            raise httpcore.ReadTimeout
        return left


def open_pool(endpoint: Endpoint, deadline: Deadline) -> httpcore.ConnectionPool:
    """Connections that stay open between attempts.  No proxy, no redirect, and TLS is verified.

    Raises SinkError where certificates cannot be read.
    """
    backend = GuardedBackend(endpoint.allowed_hosts, deadline)
    return httpcore.ConnectionPool(
        ssl_context=context_of(endpoint),
        max_connections=1,
        keepalive_expiry=_KEEP_ALIVE_S,
        network_backend=backend,
    )


NO_ANSWER = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    httpcore.TimeoutException,
    TimeoutError,
)
"""All that the network, or whoever is at its other end, can do to a request."""


def no_answer(error: Exception) -> TryAgain:
    """What one of ``NO_ANSWER`` means, in words."""
    if isinstance(error, httpcore.TimeoutException | TimeoutError):
        return TryAgain("no answer in time")
    below = error.__cause__ or error.__context__  # a pool of connections hides the cause
    if isinstance(below, ssl.SSLCertVerificationError):
        return TryAgain("its certificate is not trusted here; see ca_file, and the names in it")
    if isinstance(below, ssl.SSLError):
        return TryAgain("no TLS with it: it speaks none, or does not take our certificate")
    if isinstance(error, httpcore.ConnectError):
        return TryAgain("no connection: nobody listens there, or its address is not allowed")
    if isinstance(error, httpcore.ProtocolError):
        return TryAgain("its answer is no HTTP")
    return TryAgain("the connection broke off")


Lookup = Callable[[str, int], list[str]]
"""The addresses of a host; none where there is none."""


def addresses_of(host: str, port: int) -> list[str]:
    """As the system finds them."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, OverflowError):  # no such name, or no name at all
        return []
    return [str(place[0]) for *_, place in found]


class GuardedBackend(httpcore.NetworkBackend):
    """See the module."""

    def __init__(
        self, allowed_hosts: frozenset[str], deadline: Deadline, lookup: Lookup = addresses_of
    ) -> None:
        self._allowed = allowed_hosts
        self._deadline = deadline
        self._lookup = lookup
        self._below = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        if host not in self._allowed:
            raise httpcore.ConnectError("not an allowed host")
        addresses = self._resolve(host, port, self._deadline.left_s())
        if not addresses:
            raise httpcore.ConnectError("no such host")
        if any(is_forbidden(address) for address in addresses):
            raise httpcore.ConnectError("a link-local or metadata address")
        return _TimedStream(self._connect(addresses, port), self._deadline)

    def _resolve(self, host: str, port: int, seconds: float) -> list[str]:
        """A name server that does not answer cannot be interrupted; so it is left alone."""
        found: list[str] = []
        asking = threading.Thread(
            target=lambda: found.extend(self._lookup(host, port)), daemon=True, name="lookup"
        )
        asking.start()
        asking.join(seconds)
        if asking.is_alive():
            raise httpcore.ConnectTimeout
        return found

    def _connect(self, addresses: list[str], port: int) -> httpcore.NetworkStream:
        error: Exception = httpcore.ConnectError("no address")
        for address in addresses:
            try:
                return self._below.connect_tcp(address, port, self._deadline.left_s())
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failed:
                error = failed
        raise error


class _TimedStream(httpcore.NetworkStream):
    """Every step gets what is left of the attempt, so that no trickle can stretch it."""

    def __init__(self, below: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._below = below
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._below.read(max_bytes, self._deadline.left_s())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._below.write(buffer, self._deadline.left_s())

    def close(self) -> None:
        self._below.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        below = self._below.start_tls(ssl_context, server_hostname, self._deadline.left_s())
        return _TimedStream(below, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._below.get_extra_info(info)


def context_of(endpoint: Endpoint) -> ssl.SSLContext:
    """Verifies, always.  Raises SinkError where certificates cannot be read."""
    tls = endpoint.tls
    try:
        context = ssl.create_default_context(cafile=tls.authority)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.hostname_checks_common_name = False  # RFC 9525: names stand in subjectAltName
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:
        told = error.strerror or error.args[0]
        raise SinkError(f"sink {endpoint.name}: its certificates cannot be read: {told}") from None
    return context
