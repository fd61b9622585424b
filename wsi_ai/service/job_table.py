"""The table of jobs, for those who ask for them or look after them: every method is one
transaction."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, func, insert, select, update

from wsi_ai.delivery.outbox.database import alone, reading, translated
from wsi_ai.delivery.outbox.outbox import Clock
from wsi_ai.errors import InputError
from wsi_ai.service.access import acts
from wsi_ai.service.access.who import Who
from wsi_ai.service.claiming import IDLE, Noted, noted
from wsi_ai.service.jobs import Asked, Job, JobState, Priority, job, row_of
from wsi_ai.service.unrouted import HAS_NO_MODEL, count_unrouted, earlier_of_same_slide

_FREE = "#"
_OPEN = JobState.WAITING, JobState.RUNNING, JobState.UNROUTED


class AskedOtherwise(InputError):
    """The name of a question stands for another one."""


@dataclass(frozen=True, slots=True)
class JobTable:
    """Raises OutputError where the database refuses."""

    engine: Engine
    clock: Clock
    _alone: threading.Lock = field(
        default_factory=threading.Lock, repr=False, compare=False, kw_only=True
    )
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
            return self._insert(connection, row_of(asked, self.clock())), True

    def withdraw(self, trust: str, slide_id: str, accession: str | None) -> int:
        """The slide's jobs are run no further, and none of them stands in the way of a new one.
        Returns how many were waiting or running."""
        here = [job.c.trust == trust, job.c.case["slide_id"].as_string() == slide_id]
        if accession is not None:
            here.append(job.c.case["accession"].as_string() == accession)
        with self._writing() as connection:
            connection.execute(_freed(*here))
            return self._cancel(connection, *here)

    def cancel(self, submitted_by: str) -> int:
        """What that one person asked for."""
        with self._writing() as connection:
            connection.execute(_freed(job.c.submitted_by == submitted_by, job.c.state.in_(_OPEN)))
            return self._cancel(connection, job.c.submitted_by == submitted_by)

    def cancel_job(self, job_id: str, who: Who) -> bool:
        """Run it no further.  Returns whether it was waiting or running."""
        with self._writing() as connection:
            if not self._is_open(connection, job_id, who, "job cancelled"):
                return False
            connection.execute(_freed(job.c.job_id == job_id))
            return bool(self._cancel(connection, job.c.job_id == job_id))

    def set_priority(self, job_id: str, priority: Priority, who: Who) -> bool:
        """Of one that waits or runs, counted from when it was asked for.  Returns whether it
        does."""
        urgent = priority is Priority.URGENT
        due_by = job.c.created + priority.allowance_s
        values = {"priority": priority, "urgent": urgent, "due_by": due_by}
        with self._writing() as connection:
            row = self._is_open(connection, job_id, who, f"priority {priority}")
            if row is not None:
                here = job.c.job_id == job_id, job.c.state.in_(_OPEN)
                connection.execute(update(job).where(*here).values(values))
                noted(connection, row, self.clock())
            return row is not None

    def again(self, job_id: str, who: Who | None = None) -> str | None:
        """The same once more, as a new job, of one that is over; its id.  ``None`` where there is
        no such job, or it still waits or runs."""
        with self._writing() as connection:
            found = select(job).where(job.c.job_id == job_id, job.c.state.not_in(_OPEN))
            row = connection.execute(found.with_for_update()).first()
            if row is None or not row.slide_uri or not row.models:
                return None
            connection.execute(_freed(job.c.job_id == job_id))
            fresh = row_of(Job.of(row).asked, self.clock()) | {"asked_sha256": row.asked_sha256}
            fresh["key"] = row.key.partition(_FREE)[0]
            connection.execute(_freed(job.c.trust == row.trust, job.c.key == fresh["key"]))
            if who is not None:
                self._act(connection, row, who, "job again")
            return self._insert(connection, fresh)

    def forget(self, before: float) -> int:
        """Whose slides they were, of jobs made before then that are over.  Returns of how many."""
        old = job.c.created < before, job.c.state.not_in(_OPEN), job.c.slide_uri != ""
        with self._writing() as connection:
            connection.execute(_freed(*old))
            gone = update(job).where(*old).values(case={}, slide_uri="", result_uri=None)
            return connection.execute(gone).rowcount

    def routed(self, job_id: str) -> bool:
        """Of a slide without a model: rules give it one now, and its jobs are there.  Returns
        whether it had none."""
        here = job.c.job_id == job_id, HAS_NO_MODEL
        return bool(self._end_unrouted("it has a model now", *here))

    def supersede(self, job_id: str) -> int:
        """What said of the same slide, before this job, that it has no model.  Returns how many
        jobs did."""
        earlier = earlier_of_same_slide(job_id)
        with reading(self.engine) as connection:
            if connection.execute(select(job.c.job_id).where(earlier).limit(1)).first() is None:
                return 0
        return self._end_unrouted("the slide came again", earlier)

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        with reading(self.engine) as connection:
            found = select(job.c.state, func.count().label("n")).group_by(job.c.state)
            return {row.state: row.n for row in connection.execute(found)}

    def lines(self, states: Sequence[JobState], most: int = 500) -> list[Any]:
        """The oldest of them."""
        with reading(self.engine) as connection:
            found = select(job).where(job.c.state.in_(states)).order_by(job.c.created)
            return list(connection.execute(found.limit(most)).all())

    def _is_open(self, connection: Connection, job_id: str, who: Who, what: str) -> Any:
        """The job, where it waits or runs; then it is written down who does what with it."""
        here = job.c.job_id == job_id, job.c.state.in_(_OPEN)
        row = connection.execute(select(job).where(*here).with_for_update()).first()
        if row is not None:
            self._act(connection, row, who, what)
        return row

    def _act(self, connection: Connection, row: Any, who: Who, what: str) -> None:
        acts.append(connection, who, what, {"job": row.job_id}, row.trust, self.clock())

    def _end_unrouted(self, why: str, *where: ColumnElement[bool]) -> int:
        with self._writing() as connection:
            rows = connection.execute(select(job).where(*where).with_for_update()).all()
            if rows:
                here = job.c.job_id.in_([row.job_id for row in rows])
                gone = {"state": JobState.CANCELLED, "reason": why}
                connection.execute(_freed(here))
                connection.execute(update(job).where(here).values(gone))
                count_unrouted(connection)
            for row in rows:
                noted(connection, row, self.clock())
            return len(rows)

    def _insert(self, connection: Connection, row: Mapping[str, Any]) -> str:
        connection.execute(insert(job).values(row))
        if row["state"] == JobState.UNROUTED:
            count_unrouted(connection)
        noted(connection, Noted(row["job_id"], row["trust"], row["network"]), row["created"])
        return str(row["job_id"])

    def _cancel(self, connection: Connection, *where: Any) -> int:
        found = select(job).where(*where, job.c.state.in_(_OPEN)).with_for_update()
        rows = connection.execute(found).all()
        gone = {**IDLE, "state": JobState.CANCELLED}
        here = job.c.job_id.in_([row.job_id for row in rows])
        connection.execute(update(job).where(here).values(gone))
        if any(row.state == JobState.UNROUTED for row in rows):
            count_unrouted(connection)
        for row in rows:
            noted(connection, row, self.clock())
        return len(rows)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._alone, translated(), self.engine.begin() as connection:
            yield connection


def _freed(*where: Any) -> Any:
    """Their keys are free: who asks the same gets a new job."""
    key = job.c.key.concat(_FREE).concat(job.c.job_id)
    return update(job).where(*where, ~job.c.key.contains(_FREE)).values(key=key)
