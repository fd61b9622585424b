"""One more model on a slide of the list, because a person asks for it."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, select

from wsi_ai.delivery.outbox.database import reading, translated
from wsi_ai.errors import InputError
from wsi_ai.service.access import acts
from wsi_ai.service.access.rights import NotAllowed
from wsi_ai.service.access.who import Role, Who
from wsi_ai.service.jobs import Asked, Priority, job
from wsi_ai.service.queue import Queue
from wsi_ai.service.worklist import lines
from wsi_ai.service.worklist.acknowledging import NoSuchLine

_MOST_JOBS = 1000


def models_run(engine: Engine) -> list[str]:
    """That jobs were asked for with, by name.  Raises OutputError."""
    found = select(job.c.models).order_by(job.c.created.desc()).limit(_MOST_JOBS)
    with reading(engine, "worklist") as opened:
        rows = opened.execute(found).all()
    return sorted({str(name) for row in rows for name in row.models})


def ask(queue: Queue, who: Who, flag_id: str, model: str, known: Sequence[str]) -> str:
    """The job's id; who asks twice asks once.  Raises NoSuchLine, NotAllowed, InputError,
    OutputError."""
    row = _job_of(queue.engine, who, flag_id)
    if model not in known:
        raise InputError("there is no such model here")
    job_id, is_new = queue.submit(
        Asked(
            trust=row.trust,
            network=row.network,
            slide_uri=row.slide_uri,
            models=(model,),
            submitted_by=who.subject,
            case=row.case,
            mpp=row.mpp,
            priority=Priority.ROUTINE,
        )
    )
    if is_new:
        with translated("queue"), queue.engine.begin() as connection:
            ids = {"flag": flag_id, "job": job_id, "model": model}
            acts.append(connection, who, "model asked for", ids, row.trust, queue.clock())
    return job_id


def _job_of(engine: Engine, who: Who, flag_id: str) -> Any:
    """The last one of the line's slide.  Raises NoSuchLine, NotAllowed, InputError."""
    line = lines.by_id(engine, [flag_id]).get(flag_id)
    if line is None or not who.may(Role.READ, line.row.trust, line.row.network):
        raise NoSuchLine("there is no such line")
    if not who.may(Role.SUBMIT, line.row.trust, line.row.network):
        raise NotAllowed("that takes the right to submit")
    here = job.c.trust == line.row.trust, job.c.case["slide_id"].as_string() == line.row.slide
    found = select(job).where(*here, job.c.slide_uri != "").order_by(job.c.created.desc()).limit(1)
    with reading(engine, "worklist") as opened:
        row = opened.execute(found).first()
    if row is None:
        raise InputError("this service did not run the slide: ask where it was run")
    return row
