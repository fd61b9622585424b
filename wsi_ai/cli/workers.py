"""``wsi-ai workers``."""

import time

from wsi_ai.cli.account import account_here
from wsi_ai.cli.output import Exit, exit_on_error, say
from wsi_ai.core.timing import timestamp_of
from wsi_ai.delivery.posting import open_outbox
from wsi_ai.errors import InputError
from wsi_ai.service import workers
from wsi_ai.service.database.opening import make_service_tables


@exit_on_error
def list_workers(database: str) -> int:
    """Exit status 1 if any is gone, or there is none."""
    with open_outbox(database) as outbox:
        make_service_tables(outbox.engine)
        found = workers.up(outbox.engine, time.time())
    for one in found:
        beat = timestamp_of(one.beat)
        state = "gone" if one.gone else "draining" if one.draining else "up"
        doing = f"job {one.job_id}" if one.job_id else "idle"
        say(f"{one.worker_id}  {one.host} {one.device}  {state}  last heard {beat}  {doing}")
    gone = sum(one.gone for one in found)
    say(f"{len(found)} workers, {gone} of them gone")
    return Exit.OK if found and not gone else Exit.SOME


@exit_on_error
def drain(database: str, worker_id: str) -> int:
    with open_outbox(database) as outbox:
        make_service_tables(outbox.engine)
        found = workers.drain(outbox.engine, worker_id, account_here(), time.time())
    if not found:
        raise InputError("no such worker; see: wsi-ai workers list")
    say("it claims nothing more, gives back what it has, and ends")
    return Exit.OK


@exit_on_error
def forget(database: str, worker_id: str) -> int:
    with open_outbox(database) as outbox:
        make_service_tables(outbox.engine)
        found = workers.forget(outbox.engine, worker_id, account_here(), time.time())
    if not found:
        raise InputError("no such worker, or it is up; see: wsi-ai workers list")
    say("forgotten: nobody waits for it any more")
    return Exit.OK
