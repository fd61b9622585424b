"""How many slides have no model, from the table of jobs, for every receiver's list."""

from sqlalchemy import ColumnElement, Connection, and_, func, select

from wsi_ai.delivery.outbox.database import alone
from wsi_ai.delivery.outbox.unrouted import note_unrouted
from wsi_ai.service.jobs import JobState, job

HAS_NO_MODEL: ColumnElement[bool] = job.c.state == JobState.UNROUTED


def count_unrouted(connection: Connection) -> None:
    """Behind what made or ended a job without a model, in the same transaction; heartbeats say it
    from then on."""
    alone(connection, "unrouted")
    found = select(func.count()).select_from(job).where(HAS_NO_MODEL)
    note_unrouted(connection, connection.scalar(found) or 0)


def earlier_of_same_slide(job_id: str) -> ColumnElement[bool]:
    """Of jobs without a model: their slide came once more since, and that job knows better.  Never
    of the last one, so of several none is lost."""
    last = job.alias("last")
    same = and_(last.c.trust == job.c.trust, last.c.slide_uri == job.c.slide_uri)
    later = select(last.c.job_id).where(
        last.c.job_id == job_id, same, last.c.created > job.c.created
    )
    return and_(HAS_NO_MODEL, later.exists())
