"""Serve a shelf on this machine, to whoever has the address that is printed."""

import contextlib
import socket
from collections.abc import Callable

import uvicorn

from wsi_ai.errors import OutputError
from wsi_ai.service.listening import listening
from wsi_ai.service.viewer.app import viewer
from wsi_ai.service.viewer.guard import Guard
from wsi_ai.service.viewer.shelf import Shelf

_HOST = "127.0.0.1"
_TRIED = 20
"""Ports, one after the other, before any that is free."""
HasBegun = Callable[[str, str], None]
"""Gets the address to open, and the one for other viewers, once both can be opened."""


def serve(shelf: Shelf, port: int, begun: HasBegun, *, with_label: bool = False) -> None:
    """Until it is stopped.  A port that is in use is passed over for the next.  Raises OutputError
    where there is none."""
    with bound(port) as door:
        guard, server = server_of(shelf, door, with_label=with_label)
        begun(guard.address, guard.for_other_viewers)
        try:
            server.run(sockets=[door])
        finally:
            shelf.close()


def server_of(
    shelf: Shelf, door: socket.socket, *, with_label: bool = False
) -> tuple[Guard, uvicorn.Server]:
    """Not yet running."""
    guard = Guard(viewer(shelf, with_label=with_label), door.getsockname()[1])
    config = uvicorn.Config(
        guard, log_level="warning", access_log=False, proxy_headers=False, server_header=False
    )
    return guard, uvicorn.Server(config)


def bound(port: int) -> socket.socket:
    """A socket that listens on this port, or the next that is free.  Raises OutputError."""
    for number in range(port, min(port + _TRIED, 65536)):
        with contextlib.suppress(OutputError):
            return listening(_HOST, number)
    return listening(_HOST, 0)
