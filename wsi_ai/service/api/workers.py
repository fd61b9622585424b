"""``/v1/workers``: who runs jobs."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.exceptions import HTTPException

from wsi_ai.core.timing import timestamp_of
from wsi_ai.service import workers
from wsi_ai.service.access.who import REGION, Role
from wsi_ai.service.api.parts import Asker, Parts
from wsi_ai.service.api.problems import NotThere, documented

router = APIRouter(tags=["workers"])
WorkerId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]


@router.get("/v1/workers", operation_id="workers", responses=documented())
def listed(parts: Parts, who: Asker) -> dict[str, Any]:
    """Each with when it was heard of last.  Which slide it is at is not said: it may be any
    trust's."""
    if not who.may_somewhere(Role.OPERATE):
        raise HTTPException(403, "that takes the right to operate")
    found = workers.up(parts.engine, parts.clock())
    return {
        "workers": [
            {
                "worker_id": one.worker_id,
                "host": one.host,
                "device": one.device,
                "software": one.software,
                "started": timestamp_of(one.started),
                "heard": timestamp_of(one.beat),
                "at_work": one.job_id is not None,
                "draining": one.draining,
                "gone": one.gone,
            }
            for one in found
        ]
    }


@router.post(
    "/v1/workers/{worker_id}/drain", status_code=202, operation_id="drain", responses=documented()
)
def drain(parts: Parts, who: Asker, worker_id: WorkerId) -> dict[str, Any]:
    """It claims nothing more, gives back what it has, and ends.  A worker is every trust's."""
    if REGION not in who.scopes(Role.OPERATE):
        raise HTTPException(403, "that takes the right to operate the region")
    if not workers.drain(parts.engine, worker_id, who, parts.clock()):
        raise NotThere("worker")
    return {"worker_id": worker_id, "draining": True}
