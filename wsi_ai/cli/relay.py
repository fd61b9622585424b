"""``wsi-ai relay``."""

import logging
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from wsi_ai.cli.saying import OK, told
from wsi_ai.posting import open_relay


@told
def run(database: str, send: Sequence[str], audit: Path | None) -> int:
    """Deliver until SIGTERM or SIGINT; what is being sent is finished first."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with open_relay(send, database, audit) as posting:
        print(f"relaying to {len(posting.endpoints)} sinks; stop with Ctrl-C", flush=True)
        posting.relay.run(stop)
    return OK
