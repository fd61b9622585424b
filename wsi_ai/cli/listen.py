"""``wsi-ai listen``."""

import asyncio
import logging
import signal
from collections.abc import Sequence
from pathlib import Path

from wsi_ai.cli.output import Exit, exit_on_error, log_to, say
from wsi_ai.cli.service_arguments import ListenArguments
from wsi_ai.core.logs import LogSettings
from wsi_ai.delivery.listener import Door, Notices, listen
from wsi_ai.delivery.posting import make_outbox
from wsi_ai.service.image_notices import QueuedNotices, Site
from wsi_ai.service.opening import models_for, open_queue
from wsi_ai.service.slide_places import check_template


@exit_on_error
def run(database: str, asked: tuple[str, Sequence[Path], str], arguments: ListenArguments) -> int:
    """``asked``: the trust, the models, and where slides are.  Until SIGTERM or SIGINT."""
    log_to(LogSettings(logging.WARNING))
    trust, models, template = asked
    check_template(template)
    choose = models_for(arguments.routing, models, arguments.trusted_keys)
    site = Site(trust, choose, template, arguments.network, arguments.issuer)
    door = Door(
        arguments.host,
        arguments.port,
        arguments.cert,
        arguments.key,
        arguments.ca,
        frozenset(arguments.peer or ()),
    )
    with make_outbox(database, arguments.audit_file) as outbox:
        queue = open_queue(outbox.engine)
        asyncio.run(_listen(door, QueuedNotices(queue, outbox, site)))
    return Exit.OK


async def _listen(door: Door, notices: Notices) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(
        listen(door, notices, lambda port: say(f"listening on port {port}; stop with Ctrl-C"))
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
