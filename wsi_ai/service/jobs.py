"""The table of jobs, in the outbox's database: what is asked, and how far it has come."""

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
    inspect,
    update,
)
from sqlalchemy.schema import CreateColumn

from wsi_ai.core.timing import DAY_S
from wsi_ai.delivery.outbox.database import alone, translated
from wsi_ai.errors import OutputError

_META = MetaData()


class JobState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    """It has an answer, ``not_assessed`` among them."""
    DEAD = "dead"
    """Its workers died of it; a ``not_assessed`` flag says so, where no answer stands."""
    CANCELLED = "cancelled"
    UNROUTED = "unrouted"
    """No rule gives the slide a model: it is not run, and every receiver is told."""


class Priority(StrEnum):
    """Urgent ones go first, whatever else waits; of the others the one that is due first."""

    URGENT = "urgent"
    ROUTINE = "routine"
    BATCH = "batch"

    @property
    def allowance_s(self) -> float:
        """How long it may wait."""
        return _ALLOWANCES_S[self]


_ALLOWANCES_S = {Priority.URGENT: 0.0, Priority.ROUTINE: 3600.0, Priority.BATCH: DAY_S}


job = Table(
    "job",
    _META,
    Column("job_id", Text, primary_key=True),
    Column("trust", Text, nullable=False),
    Column("network", Text),
    Column("key", Text, nullable=False),
    Column("asked_sha256", Text, nullable=False),
    Column("slide_uri", Text, nullable=False),
    Column("models", JSON, nullable=False),
    Column("mpp", Float),
    Column("case", JSON, nullable=False),
    Column("urgent", Boolean, nullable=False),
    Column("due_by", Float, nullable=False),
    Column("state", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("given_back", Integer, nullable=False),
    Column("worker", Text),
    Column("lease_until", Float),
    Column("next_at", Float, nullable=False),
    Column("planned", Integer),
    Column("passed", Integer),
    Column("level", Text),
    Column("reason", Text),
    Column("result_uri", Text),
    Column("flag_ids", JSON, nullable=False),
    Column("seconds", JSON, nullable=False),
    Column("submitted_by", Text, nullable=False),
    Column("priority", Text, nullable=False, server_default=Priority.ROUTINE),
    Column("preempted", Integer, nullable=False, server_default="0"),
    Column("silent", Boolean, nullable=False, server_default=false()),
    Column("facts", JSON),
    UniqueConstraint("trust", "key"),
)
Index("job_due", job.c.state, job.c.urgent.desc(), job.c.due_by)
Index("job_of_trust", job.c.trust, job.c.created)
"""``attempt`` numbers the claims and is the fence; those of them that ``given_back`` counts did not
fail; and of those ``preempted`` counts the ones that made room for an urgent slide.  ``case`` is a
row of ``--cases``; of a job that is not known yet whose slide it is, empty."""
_ADDED = job.c.priority, job.c.preempted, job.c.silent, job.c.facts
"""Columns that the tables of earlier versions lack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be run."""

    trust: str
    slide_uri: str
    models: tuple[str, ...]
    submitted_by: str
    """A program or a person of the trust's; never a token."""
    case: Mapping[str, str]
    """A row of ``--cases``, without its file."""
    same: tuple[str, ...] = ()
    """What makes it another question where the address is the same: the series, size and time."""
    network: str | None = None
    mpp: float | None = None
    priority: Priority = Priority.ROUTINE
    allowance_s: float | None = None
    """How long it may wait; ``None``: as long as its priority may."""
    name: str | None = None
    """The asker's own name of the question (``Idempotency-Key``), in place of the natural key."""
    silent: bool = False
    """Of models on trial: what comes out is kept, and neither shown nor sent."""
    facts: Mapping[str, list[str]] | None = None
    """What a rule is chosen by, of a slide that has no model yet."""

    @property
    def urgent(self) -> bool:
        return self.priority is Priority.URGENT

    @property
    def key(self) -> str:
        """Who asks the same of the same slide gets the same job."""
        if self.name is not None:
            return digest(["named", self.name])
        return self.natural_key

    @property
    def natural_key(self) -> str:
        silent = ["silent"] if self.silent else []
        return digest([self.slide_uri, sorted(self.models), *self.same, *silent])

    @property
    def sha256(self) -> str:
        return digest([self.natural_key, self.mpp, dict(self.case), self.priority])


@dataclass(frozen=True, slots=True)
class Job:
    """One that was claimed."""

    job_id: str
    attempt: int
    failures: int
    """Attempts before this one that ended with their worker."""
    given_back: int
    """Those that were none of the slide's fault."""
    asked: Asked
    created: float
    preempted: int = 0
    """Those of them that made room for an urgent slide."""

    @property
    def claim(self) -> tuple[str, int]:
        """This very claim: a worker that stood still may claim its own job once more."""
        return self.job_id, self.attempt

    @classmethod
    def of(cls, row: Any) -> "Job":
        asked = Asked(
            trust=row.trust,
            slide_uri=row.slide_uri,
            models=tuple(row.models),
            submitted_by=row.submitted_by,
            case=row.case,
            network=row.network,
            mpp=row.mpp,
            priority=Priority(row.priority),
            silent=row.silent,
            facts=row.facts,
        )
        return cls(
            row.job_id,
            row.attempt,
            row.attempt - 1 - row.given_back,
            row.given_back,
            asked,
            row.created,
            row.preempted,
        )


def digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def row_of(asked: Asked, now: float) -> dict[str, Any]:
    """Of a new job."""
    allowance_s = asked.allowance_s
    return {
        "job_id": uuid.uuid4().hex,
        "trust": asked.trust,
        "network": asked.network,
        "key": asked.key,
        "asked_sha256": asked.sha256,
        "slide_uri": asked.slide_uri,
        "models": list(asked.models),
        "mpp": asked.mpp,
        "case": dict(asked.case),
        "priority": asked.priority,
        "urgent": asked.urgent,
        "due_by": now + (asked.priority.allowance_s if allowance_s is None else allowance_s),
        "state": JobState.WAITING if asked.models else JobState.UNROUTED,
        "silent": asked.silent,
        "facts": asked.facts,
        "created": now,
        "attempt": 0,
        "given_back": 0,
        "preempted": 0,
        "next_at": now,
        "flag_ids": [],
        "seconds": {},
        "submitted_by": asked.submitted_by,
    }


def make_job_table(engine: Engine) -> None:
    """Where it is not there; what one of an earlier version lacks is added.  Raises OutputError
    also where another program has one of its name."""
    with translated(), engine.begin() as connection:
        alone(connection, "tables")
        _META.create_all(connection)
        there = {column["name"] for column in inspect(connection).get_columns(job.name)}
        missing = [column for column in job.columns if column.name not in there]
        if foreign := [column.name for column in missing if column not in _ADDED]:
            raise OutputError(
                f"the database has a table job that is not ours: it lacks {foreign[0]};"
                " give wsi_ai a database or schema of its own"
            )
        for column in missing:
            connection.exec_driver_sql(
                f"ALTER TABLE job ADD COLUMN {_declared(connection, column)}"
            )
        if missing:
            urgent = update(job).where(job.c.urgent).values(priority=Priority.URGENT)
            connection.execute(urgent)


def _declared(connection: Connection, column: Column[Any]) -> str:
    return str(CreateColumn(column).compile(dialect=connection.dialect))
