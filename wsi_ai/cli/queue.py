"""``wsi-ai queue``."""

import time
from collections.abc import Sequence

from wsi_ai.cli.account import account_here
from wsi_ai.cli.output import Exit, exit_on_error, say
from wsi_ai.core.timing import DAY_S, timestamp_of
from wsi_ai.core.wording import counted
from wsi_ai.delivery.posting import open_outbox
from wsi_ai.errors import InputError
from wsi_ai.service.jobs import JobState, Priority
from wsi_ai.service.opening import open_queue
from wsi_ai.service.rooms.slides import purge_notes

_SHOWN = JobState.WAITING, JobState.RUNNING, JobState.DEAD


@exit_on_error
def list_jobs(database: str, states: Sequence[str]) -> int:
    if unknown := [state for state in states if state not in tuple(JobState)]:
        raise InputError(f"no state is called {unknown[0]}; there are {', '.join(JobState)}")
    with open_outbox(database) as outbox:
        queue = open_queue(outbox.engine)
        for job in queue.lines([JobState(state) for state in states] or _SHOWN):
            made = timestamp_of(job.created)
            level = f"  {job.level}" if job.level else ""
            why = f": {job.reason}" if job.reason else ""
            tried = f"attempt {job.attempt}{level}{why}"
            say(f"{job.job_id}  {job.state}  {job.priority}  {made}  {tried}")
        counts = queue.counts()
    say(", ".join(f"{counts.get(state, 0)} {state}" for state in JobState))
    return Exit.SOME if counts.get(JobState.DEAD) else Exit.OK


@exit_on_error
def again(database: str, job_id: str) -> int:
    with open_outbox(database) as outbox:
        new = open_queue(outbox.engine).again(job_id, account_here())
    if new is None:
        raise InputError("no such job, or it still waits or runs; see: wsi-ai queue list")
    say(f"queued once more as {new}")
    return Exit.OK


@exit_on_error
def cancel(database: str, job_id: str) -> int:
    with open_outbox(database) as outbox:
        found = open_queue(outbox.engine).cancel_job(job_id, account_here())
    return _changed("cancelled: nobody works on it any more", found=found)


@exit_on_error
def set_priority(database: str, job_id: str, priority: str) -> int:
    if priority not in tuple(Priority):
        raise InputError(f"a priority is one of {', '.join(Priority)}")
    with open_outbox(database) as outbox:
        queue = open_queue(outbox.engine)
        found = queue.set_priority(job_id, Priority(priority), account_here())
    return _changed(f"it is {priority} now", found=found)


def _changed(how: str, *, found: bool) -> int:
    if not found:
        raise InputError("no such job, or it is over; see: wsi-ai queue list")
    say(how)
    return Exit.OK


@exit_on_error
def forget(database: str, days: float) -> int:
    with open_outbox(database) as outbox:
        forgotten = open_queue(outbox.engine).forget(time.time() - DAY_S * days)
        purged = purge_notes(outbox.engine)
    say(f"{forgotten} jobs forgot whose slides they were; notes of {counted(purged, 'slide')} went")
    return Exit.OK
