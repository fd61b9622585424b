"""The queue of jobs: every method is one transaction.

A worker has a job for as long as its lease; who beats in time keeps it.  The number of the attempt
is the fence: what a worker says of an attempt that is no longer the last one changes nothing.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sqlalchemy import Connection, Engine, and_, func, insert, or_, select, update

from wsi_ai.delivery.outbox.outbox import Clock
from wsi_ai.delivery.outbox.states import SKEW_S
from wsi_ai.delivery.outbox.tables import READING, alone, translated
from wsi_ai.errors import InputError, OutputError
from wsi_ai.service.jobs import Asked, Job, JobState, job, row_of

LEASE_S = 60.0
MOST_FAILURES = 3
_WAITS_S = (10.0, 60.0)
"""Before the second and the third attempt, at most."""
_LONGEST_WAIT_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a job came to."""

    level: str | None
    reason: str
    result_uri: str | None = None
    flag_ids: Sequence[str] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)


class AskedOtherwise(InputError):
    """The name of a question stands for another one."""


class LostJob(OutputError):
    """The job is no longer this worker's: another has it, or it was cancelled."""


@dataclass(frozen=True, slots=True)
class Queue:
    """Any number of processes may share it.  Raises OutputError where the database refuses."""

    engine: Engine
    clock: Clock
    random: Random
    lease_s: float = LEASE_S
    _alone: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    """Threads of one process wait here, where whoever is first goes on at once: at SQLite's lock
    they would look again now and then."""

    def submit(self, asked: Asked) -> tuple[str, bool]:
        """The job's id, and whether it is new: who asks the same again gets the same job.

        Raises AskedOtherwise where the asker gave another question the same name.
        """
        with self._writing() as connection:
            alone(connection, f"job {asked.trust} {asked.key}")
            known = select(job).where(job.c.trust == asked.trust, job.c.key == asked.key)
            if (found := connection.execute(known).first()) is not None:
                if asked.name is not None and found.asked_sha256 != asked.sha256:
                    raise AskedOtherwise("another question has this Idempotency-Key already")
                return found.job_id, False
            row = row_of(asked, self.clock())
            connection.execute(insert(job).values(row))
            return row["job_id"], True

    def claim(self, worker: str) -> Job | None:
        """The most urgent job that is due, with those whose worker is gone."""
        now = self.clock()
        with self._writing() as connection:
            self._end_leases(connection, now)
            due = and_(job.c.state == JobState.WAITING, _is_due(now))
            ordered = job.c.urgent.desc(), job.c.due_by, job.c.created
            ready = select(job).where(due).order_by(*ordered).limit(1)
            row = connection.execute(ready.with_for_update(skip_locked=True)).first()
            if row is None:
                return None
            leased = {
                "state": JobState.RUNNING,
                "attempt": row.attempt + 1,
                "worker": worker,
                "lease_until": now + self.lease_s,
            }
            connection.execute(update(job).where(job.c.job_id == row.job_id).values(leased))
            return Job.of(connection.execute(select(job).where(job.c.job_id == row.job_id)).one())

    def beat(self, mine: Job, planned: int | None = None, passed: int | None = None) -> None:
        """Say that it is still worked on.  Raises LostJob."""
        far = {"planned": planned, "passed": passed}
        known = {name: value for name, value in far.items() if value is not None}
        self._change(mine, {"lease_until": self.clock() + self.lease_s, **known})

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
        self._change(mine, {**_IDLE, **back, "reason": why})

    def fail(self, mine: Job, why: str) -> None:
        """The attempt counts.  Raises LostJob."""
        self._change(mine, {**_IDLE, "next_at": self._again_at(mine.failures), "reason": why})

    def withdraw(self, trust: str, slide_id: str, accession: str | None) -> int:
        """The slide's jobs are run no further, and none of them stands in the way of a new one.
        Returns how many were waiting or running."""
        here = [job.c.trust == trust, job.c.case["slide_id"].as_string() == slide_id]
        if accession is not None:
            here.append(job.c.case["accession"].as_string() == accession)
        with self._writing() as connection:
            connection.execute(_freed(*here))
            return _cancel(connection, *here)

    def cancel(self, submitted_by: str) -> int:
        """What that one person asked for."""
        with self._writing() as connection:
            connection.execute(_freed(job.c.submitted_by == submitted_by, job.c.state.in_(_OPEN)))
            return _cancel(connection, job.c.submitted_by == submitted_by)

    def again(self, job_id: str) -> str | None:
        """The same once more, as a new job, of one that is over; its id.  ``None`` where there is
        no such job, or it still waits or runs."""
        with self._writing() as connection:
            found = select(job).where(job.c.job_id == job_id, job.c.state.not_in(_OPEN))
            row = connection.execute(found.with_for_update()).first()
            if row is None or not row.slide_uri:
                return None
            connection.execute(_freed(job.c.job_id == job_id))
            kept = {name: getattr(row, name) for name in _ASKED}
            fresh = row_of(Job.of(row).asked, self.clock()) | kept
            fresh["key"] = row.key.partition(_FREE)[0]
            connection.execute(_freed(job.c.trust == row.trust, job.c.key == fresh["key"]))
            connection.execute(insert(job).values(fresh))
            return str(fresh["job_id"])

    def forget(self, before: float) -> int:
        """Whose slides they were, of jobs made before then that are over.  Returns of how many."""
        old = job.c.created < before, job.c.state.not_in(_OPEN), job.c.slide_uri != ""
        with self._writing() as connection:
            connection.execute(_freed(*old))
            gone = update(job).where(*old).values(case={}, slide_uri="", result_uri=None)
            return connection.execute(gone).rowcount

    def fence(self, mine: Job, connection: Connection) -> None:
        """Inside another transaction of this database: until that ends, the job stays this
        worker's.  Raises LostJob."""
        found = select(job.c.job_id).where(*_mine(mine)).with_for_update(read=True)
        if connection.execute(found).first() is None:
            raise LostJob("the job is another worker's by now, or was cancelled")

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        with self._reading() as connection:
            found = select(job.c.state, func.count().label("n")).group_by(job.c.state)
            return {row.state: row.n for row in connection.execute(found)}

    def lines(self, states: Sequence[JobState], most: int = 500) -> list[Any]:
        """The oldest of them."""
        with self._reading() as connection:
            found = select(job).where(job.c.state.in_(states)).order_by(job.c.created)
            return list(connection.execute(found.limit(most)).all())

    def _again_at(self, failures: int) -> float:
        longest = _WAITS_S[min(failures, len(_WAITS_S) - 1)]
        return self.clock() + self.random.uniform(0, longest)

    def _end(self, mine: Job, state: JobState, answer: Answer) -> None:
        came = {
            "level": answer.level,
            "reason": answer.reason,
            "result_uri": answer.result_uri,
            "flag_ids": list(answer.flag_ids),
            "seconds": dict(answer.seconds),
        }
        self._change(mine, {**_IDLE, **came, "state": state})

    def _change(self, mine: Job, values: Mapping[str, Any]) -> None:
        with self._writing() as connection:
            changed = connection.execute(update(job).where(*_mine(mine)).values(values))
            if not changed.rowcount:
                raise LostJob("the job is another worker's by now, or was cancelled")

    def _end_leases(self, connection: Connection, now: float) -> None:
        """A worker that died leaves its job to the next; so does a clock that was set back."""
        over = or_(job.c.lease_until <= now, job.c.lease_until > now + self.lease_s + SKEW_S)
        ended = job.c.state == JobState.RUNNING, over
        found = select(job).where(*ended).with_for_update(skip_locked=True)
        for row in connection.execute(found).all():
            failures = row.attempt - 1 - row.given_back
            again = {"next_at": self._again_at(failures), "reason": "its worker is gone"}
            connection.execute(
                update(job).where(job.c.job_id == row.job_id).values({**_IDLE, **again})
            )

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._alone, translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with translated(), self.engine.connect() as connection:
            yield connection.execution_options(**READING)


_FREE = "#"
_ASKED = "asked_sha256", "urgent"
_OPEN = JobState.WAITING, JobState.RUNNING
_IDLE: dict[str, Any] = {"state": JobState.WAITING, "lease_until": None, "worker": None}


def _mine(mine: Job) -> tuple[Any, ...]:
    running = job.c.state == JobState.RUNNING
    return job.c.job_id == mine.job_id, job.c.attempt == mine.attempt, running


def _freed(*where: Any) -> Any:
    """Their keys are free: who asks the same gets a new job."""
    key = job.c.key.concat(_FREE).concat(job.c.job_id)
    return update(job).where(*where, ~job.c.key.contains(_FREE)).values(key=key)


def _is_due(now: float) -> Any:
    """A time from far in the future means that the clock was set back."""
    return or_(job.c.next_at <= now, job.c.next_at > now + _LONGEST_WAIT_S + SKEW_S)


def _cancel(connection: Connection, *where: Any) -> int:
    opened = update(job).where(*where, job.c.state.in_(_OPEN))
    gone = {"state": JobState.CANCELLED, "lease_until": None, "worker": None}
    return connection.execute(opened.values(gone)).rowcount
