"""``wsi-ai queue``."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from wsi_ai.cli.output import Exit, exit_on_error, say
from wsi_ai.core.timing import timestamp
from wsi_ai.delivery.posting import open_outbox
from wsi_ai.errors import InputError
from wsi_ai.service.jobs import JobState
from wsi_ai.service.opening import open_queue

_DAY_S = 86_400.0
_SHOWN = JobState.WAITING, JobState.RUNNING, JobState.DEAD


@exit_on_error
def list_jobs(database: str, states: Sequence[str]) -> int:
    if unknown := [state for state in states if state not in tuple(JobState)]:
        raise InputError(f"no state is called {unknown[0]}; there are {', '.join(JobState)}")
    with open_outbox(database) as outbox:
        queue = open_queue(outbox.engine)
        for job in queue.lines([JobState(state) for state in states] or _SHOWN):
            made = timestamp(datetime.fromtimestamp(job.created, UTC))
            level = f"  {job.level}" if job.level else ""
            why = f": {job.reason}" if job.reason else ""
            say(f"{job.job_id}  {job.state}  {made}  attempt {job.attempt}{level}{why}")
        counts = queue.counts()
    say(", ".join(f"{counts.get(state, 0)} {state}" for state in JobState))
    return Exit.SOME if counts.get(JobState.DEAD) else Exit.OK


@exit_on_error
def again(database: str, job_id: str) -> int:
    with open_outbox(database) as outbox:
        new = open_queue(outbox.engine).again(job_id)
    if new is None:
        raise InputError("no such job, or it still waits or runs; see: wsi-ai queue list")
    say(f"queued once more as {new}")
    return Exit.OK


@exit_on_error
def forget(database: str, days: float) -> int:
    with open_outbox(database) as outbox:
        forgotten = open_queue(outbox.engine).forget(time.time() - _DAY_S * days)
    say(f"{forgotten} jobs forgot whose slides they were")
    return Exit.OK
