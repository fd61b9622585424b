"""An app on a socket, until it is stopped."""

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from wsi_ai.errors import OutputError

_MOST_MESSAGE_BYTES = 1 << 17
_TO_END_S = 30
"""For answers that are under way when it is stopped."""


@dataclass(frozen=True, slots=True)
class Tls:
    certificate: Path
    key: Path | None = None


def listening(host: str, port: int) -> socket.socket:
    """Already listening, so that whoever reads the address can come.  Raises OutputError."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # asyncio sends at once (TCP_NODELAY) where a socket says that it is TCP
        found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(1024)
    except (OSError, UnicodeError):
        raise OutputError(
            f"port {port} cannot be opened at {host}: another program may have it;"
            " choose another --port, or an address of this machine"
        ) from None
    return found


def serve(app: ASGIApp, door: socket.socket, tls: Tls | None = None) -> None:
    """Until SIGTERM or SIGINT; sockets are closed as "service restart", and come back."""
    encrypted: dict[str, Any] = {}
    if tls is not None:
        encrypted["ssl_certfile"] = str(tls.certificate)
        encrypted["ssl_keyfile"] = str(tls.key) if tls.key else None
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=_MOST_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=_TO_END_S,
        **encrypted,
    )
    uvicorn.Server(config).run(sockets=[door])
