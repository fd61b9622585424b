"""``/v1/jobs``: what becomes of what was asked."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.exceptions import HTTPException

from wsi_ai.service.access.who import Role, Who
from wsi_ai.service.api import job_rows
from wsi_ai.service.api.job_answers import shown, with_place
from wsi_ai.service.api.job_rows import Wanted
from wsi_ai.service.api.parts import ApiParts, Asker, Parts
from wsi_ai.service.api.problems import NotThere, documented
from wsi_ai.service.api.texts import Body, JobId, Limit, Moment, Next, Trust, opaque, plain
from wsi_ai.service.jobs import JobState, Priority

router = APIRouter(tags=["jobs"])


class JobsQuery(Body):
    state: JobState | None = None
    trust: Trust | None = None
    priority: Priority | None = None
    since: Moment | None = None
    limit: Limit = 100
    next: Next | None = None


class NewPriority(Body):
    priority: Priority


@router.get("/v1/jobs", operation_id="jobs", responses=documented())
def jobs(parts: Parts, who: Asker, asked: Annotated[JobsQuery, Query()]) -> dict[str, Any]:
    """The newest first; ``next`` leads to the page after it, where there is one."""
    if not who.may_somewhere(Role.READ):
        raise HTTPException(403, "that takes the right to read")
    before = None
    if asked.next is not None:
        created, job_id = plain(asked.next, float, str)
        before = created, job_id
    at = asked.since.timestamp() if asked.since is not None else None
    wanted = Wanted(asked.state, asked.trust, asked.priority, at, before)
    rows = job_rows.page(parts.engine, who, wanted, asked.limit + 1)
    last = rows[asked.limit - 1] if len(rows) > asked.limit else None
    return {
        "jobs": [shown(parts, row) for row in rows[: asked.limit]],
        "next": opaque([last.created, last.job_id]) if last is not None else None,
    }


@router.get("/v1/jobs/{job_id}", operation_id="job", responses=documented())
def job(parts: Parts, who: Asker, job_id: JobId) -> dict[str, Any]:
    """With its place in the queue, and about how long until its answer."""
    return with_place(parts, _row(parts, who, job_id))


@router.post(
    "/v1/jobs/{job_id}/cancel",
    status_code=202,
    operation_id="cancel",
    responses=documented(409),
)
def cancel(parts: Parts, who: Asker, job_id: JobId) -> dict[str, Any]:
    """Run it no further."""
    _operated(parts, who, job_id)
    if not parts.jobs.cancel_job(job_id, who):
        raise HTTPException(409, "it is over")
    return with_place(parts, _row(parts, who, job_id))


@router.post(
    "/v1/jobs/{job_id}/again",
    status_code=202,
    operation_id="again",
    responses=documented(409),
)
def again(parts: Parts, who: Asker, job_id: JobId, response: Response) -> dict[str, Any]:
    """The same once more, as a new job."""
    _operated(parts, who, job_id)
    new = parts.jobs.again(job_id, who)
    if new is None:
        raise HTTPException(409, "it still waits or runs, has no model, or is forgotten")
    response.headers["location"] = f"/v1/jobs/{new}"
    return {"job_id": new, "new": True, "jobs": [new]}


@router.post(
    "/v1/jobs/{job_id}/priority",
    status_code=202,
    operation_id="priority",
    responses=documented(409),
)
def priority(parts: Parts, who: Asker, job_id: JobId, wanted: NewPriority) -> dict[str, Any]:
    """Of one that waits or runs, counted from when it was asked for."""
    _operated(parts, who, job_id)
    if not parts.jobs.set_priority(job_id, wanted.priority, who):
        raise HTTPException(409, "it is over")
    return with_place(parts, _row(parts, who, job_id))


def _row(parts: ApiParts, who: Who, job_id: str) -> Any:
    row = job_rows.one(parts.engine, who, job_id)
    if row is None:
        raise NotThere("job")
    return row


def _operated(parts: ApiParts, who: Who, job_id: str) -> None:
    row = _row(parts, who, job_id)
    if not who.may(Role.OPERATE, row.trust, row.network):
        raise HTTPException(403, "that takes the right to operate")
