"""``wsi-ai receive``."""

import socket
import time
from collections.abc import Sequence

import uvicorn

from wsi_ai.cli.output import Exit, exit_on_error, log_to, say
from wsi_ai.core.logs import LogSettings
from wsi_ai.delivery.receiver.inbox import open_inbox
from wsi_ai.delivery.receiver.web import Access, receiver
from wsi_ai.delivery.routes import secret_at
from wsi_ai.delivery.sinks.addresses import is_loopback
from wsi_ai.errors import SinkError


@exit_on_error
def serve(
    keys: Sequence[str], store: str, bearer: str | None, place: tuple[str, int], logs: LogSettings
) -> int:
    """Serve until stopped.  Beyond this machine only with a token, for the worklist names cases."""
    host, _ = place
    if bearer is None and not is_loopback(host):
        raise SinkError("to listen beyond this machine, ask for a token: --bearer file:PATH")
    access = Access(
        tuple(_text(key) for key in keys),
        _text(bearer) if bearer is not None else None,
    )
    log_to(logs)
    door = _door(place)
    inbox = open_inbox(store)
    try:
        say(_welcome(host, door.getsockname()[1]))
        app = receiver(inbox, access, time.time)
        config = uvicorn.Config(app, log_config=None, log_level="warning", access_log=False)
        uvicorn.Server(config).run(sockets=[door])
    finally:
        inbox.close()
        door.close()
    return Exit.OK


def _door(place: tuple[str, int]) -> socket.socket:
    """Already listening, so that whoever reads the address can send there.  Raises SinkError."""
    try:
        family = socket.getaddrinfo(*place, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server(place, family=family, backlog=128)
    except (OSError, UnicodeError):
        raise SinkError(
            f"port {place[1]} cannot be opened at {place[0]}: another program may have it;"
            " choose another --port, or an address of this machine"
        ) from None


def _welcome(host: str, port: int) -> str:
    base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return f"receiving at {base}/flags; the worklist is {base}/ ; stop with Ctrl-C"


def _text(place: str) -> str:
    return secret_at(place)().value.decode("utf-8", "replace")
