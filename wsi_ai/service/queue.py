"""The queue of jobs, for workers: every method is one transaction.

A worker has a job for as long as its lease; who beats in time keeps it.  The number of the attempt
is the fence: what a worker says of an attempt that is no longer the last one changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sqlalchemy import Connection, select, update

from wsi_ai.delivery.outbox.database import reading
from wsi_ai.errors import OutputError
from wsi_ai.service import workers
from wsi_ai.service.claiming import (
    IDLE,
    Noted,
    end_leases,
    next_job,
    nobody_left,
    noted,
    urgent_waits,
)
from wsi_ai.service.job_table import JobTable
from wsi_ai.service.jobs import Job, JobState, job

LEASE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a job came to."""

    level: str | None
    reason: str
    result_uri: str | None = None
    flag_ids: Sequence[str] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)


class LostJob(OutputError):
    """The job is no longer this worker's: another has it, or it was cancelled."""


@dataclass(frozen=True, slots=True)
class Queue(JobTable):
    """What workers do with it.  Any number of processes may share it.  Raises OutputError where the
    database refuses."""

    random: Random
    lease_s: float = LEASE_S
    waits_s: tuple[float, float] = (10.0, 60.0)
    """Before the second and the third attempt, at most."""

    def claim(self, worker: str) -> Job | None:
        """The most urgent job that is due, with those whose worker is gone."""
        with self._writing() as connection:
            return self._claim(connection, worker)

    def claim_ahead(self, worker: str) -> Job | None:
        """The same for a worker that is at work on another one: nothing that a worker without any
        would take."""
        with self._writing() as connection:
            if workers.other_is_idle(connection, worker, self.clock()):
                return None
            return self._claim(connection, worker)

    def claim_dead(self, worker: str) -> Job | None:
        """One that no worker is to try again, and of which nobody has said so yet."""
        with self._writing() as connection:
            return self._claim(connection, worker, nobody_left())

    def must_make_room(self, worker: str) -> bool:
        """Whether an urgent job waits, and no other worker would take it."""
        now = self.clock()
        with reading(self.engine) as connection:
            if not urgent_waits(connection, now):
                return False
            return not workers.other_is_idle(connection, worker, now)

    def beat(self, mine: Job, planned: int | None = None, passed: int | None = None) -> None:
        """Say that it is still worked on.  Raises LostJob."""
        far = {"planned": planned, "passed": passed}
        known = {name: value for name, value in far.items() if value is not None}
        lease = {"lease_until": self.clock() + self.lease_s}
        with self._writing() as connection:
            self._update(connection, mine, lease | known)
            if known:
                noted(connection, _whose(mine), self.clock())

    def know(self, mine: Job, case: Mapping[str, str]) -> None:
        """It turned out whose slide it is.  Raises LostJob."""
        self._change(mine, {"case": dict(case)})

    def done(self, mine: Job, answer: Answer) -> None:
        self._end(mine, JobState.DONE, answer)

    def bury(self, mine: Job, answer: Answer) -> None:
        """No worker will try again.  Raises LostJob."""
        self._end(mine, JobState.DEAD, answer)

    def give_back(self, mine: Job, after_s: float, why: str) -> None:
        """It is not the job's fault that it is not done: the attempt does not count."""
        back = {"given_back": job.c.given_back + 1, "next_at": self.clock() + after_s}
        self._change(mine, {**IDLE, **back, "reason": why})

    def make_room(self, mine: Job) -> None:
        """The same, for an urgent slide."""
        back = {"given_back": job.c.given_back + 1, "preempted": job.c.preempted + 1}
        why = {"next_at": self.clock(), "reason": "an urgent slide goes first"}
        self._change(mine, {**IDLE, **back, **why})

    def fail(self, mine: Job, why: str) -> None:
        """The attempt counts.  Raises LostJob."""
        self._change(mine, {**IDLE, "next_at": self._again_at(mine.failures), "reason": why})

    def fence(self, mine: Job, connection: Connection) -> None:
        """Inside another transaction of this database: until that ends, the job stays this
        worker's.  Raises LostJob."""
        found = select(job.c.job_id).where(*_mine(mine)).with_for_update(read=True)
        if connection.execute(found).first() is None:
            raise LostJob(_LOST)

    def _claim(self, connection: Connection, worker: str, *where: Any) -> Job | None:
        now = self.clock()
        end_leases(connection, now, self.lease_s, self._again_at)
        row = next_job(connection, now, *where)
        if row is None:
            return None
        leased = {
            "state": JobState.RUNNING,
            "attempt": row.attempt + 1,
            "worker": worker,
            "lease_until": now + self.lease_s,
        }
        here = job.c.job_id == row.job_id
        connection.execute(update(job).where(here).values(leased))
        workers.took(connection, worker, row.job_id)
        noted(connection, row, now)
        return Job.of(connection.execute(select(job).where(here)).one())

    def _again_at(self, failures: int) -> float:
        longest = self.waits_s[min(failures, len(self.waits_s) - 1)]
        return self.clock() + self.random.uniform(0, longest)

    def _end(self, mine: Job, state: JobState, answer: Answer) -> None:
        came = {
            "level": answer.level,
            "reason": answer.reason,
            "result_uri": answer.result_uri,
            "flag_ids": list(answer.flag_ids),
            "seconds": dict(answer.seconds),
        }
        self._change(mine, {**IDLE, **came, "state": state})

    def _change(self, mine: Job, values: Mapping[str, Any]) -> None:
        with self._writing() as connection:
            self._update(connection, mine, values)
            noted(connection, _whose(mine), self.clock())

    def _update(self, connection: Connection, mine: Job, values: Mapping[str, Any]) -> None:
        changed = connection.execute(update(job).where(*_mine(mine)).values(values))
        if not changed.rowcount:
            raise LostJob(_LOST)


_LOST = "the job is another worker's by now, or was cancelled"


def _whose(mine: Job) -> Noted:
    return Noted(mine.job_id, mine.asked.trust, mine.asked.network)


def _mine(mine: Job) -> tuple[Any, ...]:
    running = job.c.state == JobState.RUNNING
    return job.c.job_id == mine.job_id, job.c.attempt == mine.attempt, running
