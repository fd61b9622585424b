"""``wsi-ai receive``."""

import ipaddress
import time
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from wsi_ai.cli.output import Exit, exit_on_error
from wsi_ai.delivery.receiver.inbox import Inbox
from wsi_ai.delivery.receiver.web import Access, receiver
from wsi_ai.delivery.routes import secret_at
from wsi_ai.errors import SinkError


@exit_on_error
def serve(keys: Sequence[str], store: Path, bearer: str | None, place: tuple[str, int]) -> int:
    """Serve until stopped.  Beyond this machine only with a token, for the worklist names cases."""
    host, port = place
    if bearer is None and not _is_loopback(host):
        raise SinkError("to listen beyond this machine, ask for a token: --bearer file:PATH")
    access = Access(
        tuple(secret_at(key)().value.decode() for key in keys),
        secret_at(bearer)().value.decode() if bearer else None,
    )
    inbox = Inbox(store)
    try:
        app = receiver(inbox, access, time.time)
        uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False)
    finally:
        inbox.close()
    return Exit.OK


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
