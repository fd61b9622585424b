"""``/queue``: what waits, who works, how late it is, and what needs a person."""

from pathlib import PurePath
from urllib.parse import unquote

from sqlalchemy import select
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from wsi_ai.delivery.outbox.database import reading
from wsi_ai.service import workers
from wsi_ai.service.access.who import Role, Who
from wsi_ai.service.jobs import job
from wsi_ai.service.pages.parts import PageParts, back, form
from wsi_ai.service.pages.queue_figures import figures
from wsi_ai.service.pages.rendering import html_page
from wsi_ai.service.pages.worklist_page import band_html
from wsi_ai.service.worklist.band import band_of, facts


def queue(parts: PageParts, request: Request, who: Who) -> Response:
    if not (who.may_somewhere(Role.READ) or who.may_somewhere(Role.OPERATE)):
        raise HTTPException(404)
    now = parts.clock()
    found = figures(parts.engine, who, now)
    return html_page(
        "queue.html",
        who,
        tab="queue",
        signs_out=parts.signs_out,
        now=now,
        band=band_html(band_of(facts(parts.engine, now), who)),
        found=found,
        workers=workers.up(parts.engine, now),
        jobs={row.job_id: row for row in found.running},
        file_name=lambda address: PurePath(unquote(address)).name,
    )


def again(parts: PageParts, request: Request, who: Who) -> Response:
    """Of a job that died.  Of another trust's there is none."""
    job_id = form(request).get("job", "")
    found = select(job.c.trust, job.c.network).where(job.c.job_id == job_id)
    with reading(parts.engine, "queue") as opened:
        row = opened.execute(found).first()
    if row is None or not who.may(Role.OPERATE, row.trust, row.network):
        raise HTTPException(404)
    parts.queue.again(job_id, who)
    return back("/queue")


def drain(parts: PageParts, request: Request, who: Who) -> Response:
    """A worker serves every trust: it takes the right to all of them."""
    worker_id, gone = form(request).get("worker", ""), bool(form(request).get("gone"))
    if not who.may(Role.OPERATE, None):
        raise HTTPException(404)
    act = workers.forget if gone else workers.drain
    act(parts.engine, worker_id, who, parts.clock())
    return back("/admin" if form(request).get("to") == "admin" else "/queue")
