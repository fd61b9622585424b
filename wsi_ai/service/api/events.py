"""``/v1/jobs/{id}/events``: how far a job is, as server-sent events, for scripts.

Our own pages have one socket instead: a stream holds one of a browser's few connections.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from wsi_ai.errors import OutputError
from wsi_ai.service.access.door import NotKnown
from wsi_ai.service.api import job_rows
from wsi_ai.service.api.job_answers import with_place
from wsi_ai.service.api.parts import ApiParts, Asker, Parts
from wsi_ai.service.api.problems import NotThere, documented
from wsi_ai.service.api.texts import JobId
from wsi_ai.service.jobs import JobState

router = APIRouter(tags=["jobs"])
_EVERY_S = 1.0
_ALIVE_EVERY = 10
"""Looks without news, after which a line says that the stream is alive."""
_LONGEST_S = 3600.0
_OVER = JobState.DONE, JobState.DEAD, JobState.CANCELLED
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "A stream of jobs, until it is over", "content": {"text/event-stream": {}}}
}


@router.get(
    "/v1/jobs/{job_id}/events",
    operation_id="events",
    response_class=StreamingResponse,
    responses={**_STREAM, **documented()},
)
def events(parts: Parts, who: Asker, request: Request, job_id: JobId) -> StreamingResponse:
    """The job each time that it changed; the stream ends with it, or after an hour."""
    if job_rows.one(parts.engine, who, job_id) is None:
        raise NotThere("job")
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    stream = _lines(parts, request, job_id)
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


async def _lines(parts: ApiParts, request: Request, job_id: str) -> AsyncIterator[str]:
    """The asker's rights are read at each look: what ends, ends here too."""
    last, quiet = "", 0
    for _ in range(int(_LONGEST_S / _EVERY_S)):
        try:
            found = await run_in_threadpool(_look, parts, request, job_id)
        except NotKnown:
            return
        except OutputError:
            found = {}  # the database is away: it comes back, or the hour ends
        if found is None:
            return
        text = json.dumps(found, separators=(",", ":")) if found else last
        quiet = 0 if text != last else quiet + 1
        if text != last:
            yield f"event: job\ndata: {text}\n\n"
        elif quiet % _ALIVE_EVERY == 0:
            yield ": alive\n\n"
        last = text
        if found.get("state") in _OVER:
            return
        await asyncio.sleep(_EVERY_S)


def _look(parts: ApiParts, request: Request, job_id: str) -> dict[str, Any] | None:
    row = job_rows.one(parts.engine, parts.door.who(request), job_id)
    return with_place(parts, row) if row is not None else None
