"""An app on a socket, until it is stopped."""

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

_MOST_MESSAGE_BYTES = 1 << 17
_TO_END_S = 30
"""For answers that are under way when it is stopped."""


@dataclass(frozen=True, slots=True)
class Tls:
    certificate: Path
    key: Path | None = None


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
