"""``wsi-ai relay``."""

import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from wsi_ai.cli.output import Exit, adoption_lines, exit_on_error, log_to, say
from wsi_ai.core.logs import LogSettings
from wsi_ai.core.wording import counted
from wsi_ai.delivery.posting import open_relay
from wsi_ai.delivery.relay import Pace


@exit_on_error
def run(
    database: str, send: Sequence[str], alarm_minutes: float, audit: Path | None, logs: LogSettings
) -> int:
    """Deliver until SIGTERM or SIGINT; what is being sent is finished first."""
    log_to(logs)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with open_relay(send, database, audit) as posting:
        say(f"relaying to {counted(len(posting.endpoints), 'sink')}; stop with Ctrl-C")
        for line in adoption_lines(posting.waiting_elsewhere(), database, send):
            say(f"wsi-ai: {line}", sys.stderr)
        pace = Pace(alarm_after_s=60 * alarm_minutes)
        replace(posting.relay, pace=pace).run(stop)
    return Exit.OK
