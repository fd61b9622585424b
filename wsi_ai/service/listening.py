"""A socket that listens, for an app that is served."""

import contextlib
import socket

from wsi_ai.errors import OutputError


def listening(host: str, port: int) -> socket.socket:
    """Already listening, so that whoever reads the address can come.  Raises OutputError."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return _bound(family, (host, port))
    except (OSError, UnicodeError):
        raise OutputError(
            f"port {port} cannot be opened at {host}: another program may have it;"
            " choose another --port, or an address of this machine"
        ) from None


def _bound(family: int, place: tuple[str, int]) -> socket.socket:
    with contextlib.ExitStack() as failed:
        # asyncio sends at once (TCP_NODELAY) where a socket says that it is TCP: 40 ms a tile
        found = failed.enter_context(socket.socket(family, proto=socket.IPPROTO_TCP))
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(place)
        found.listen(1024)
        failed.pop_all()
    return found
