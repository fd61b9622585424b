"""The page of a slide inside the service, and its notes for a page without a socket.

``/slides/{sid}`` is the viewer's page with people in it; ``/slides/viewer`` the viewer itself, with
the rights of whoever asks.  A slide of another trust is not there: 404.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from wsi_ai.delivery.outbox.outbox import Clock
from wsi_ai.delivery.receiver.body import body_within
from wsi_ai.errors import InputError, OutputError
from wsi_ai.service.access import shares
from wsi_ai.service.access.door import Door, NotKnown
from wsi_ai.service.access.who import Role, Who
from wsi_ai.service.pages.rendering import html_page
from wsi_ai.service.rooms import notes
from wsi_ai.service.rooms.geojson import as_geojson
from wsi_ai.service.rooms.notes import Conflict, Op
from wsi_ai.service.rooms.slides import Entries, FoundSlide, SlidesOf, may_annotate, me
from wsi_ai.service.static_common import file_of
from wsi_ai.service.viewer.app import HEADERS, viewer
from wsi_ai.service.viewer.cache import TileCache
from wsi_ai.service.viewer.page import templates
from wsi_ai.service.viewer.shelf import Shelf
from wsi_ai.slides.registry import open_slide

_STATIC = Path(__file__).with_name("static")
_TEMPLATES = Path(__file__).with_name("templates")
_MOST_BYTES = 1 << 17
_AT_ONCE = 500
_ASKED_ANEW = {"cache-control": "no-store"}
_T = TypeVar("_T")
_HEADERS = HEADERS | _ASKED_ANEW | {"referrer-policy": "same-origin"}
LOGIN = "/login"
_NOT_HERE = (
    "This slide is not on this service, or not open to you: it was judged elsewhere, it is another"
    " trust's, or an invitation to it is over"
)


@dataclass(frozen=True, slots=True)
class RoomParts:
    """What the pages of slides are made of."""

    engine: Engine
    door: Door
    slides: SlidesOf
    clock: Clock
    cache: TileCache
    shelf: Shelf = field(init=False)
    """Slides that are open; to be closed by whoever ends the service."""

    def __post_init__(self) -> None:
        shelf = Shelf(Entries(self.slides), self.cache, open_slide)
        object.__setattr__(self, "shelf", shelf)


def room_routes(parts: RoomParts) -> Sequence[BaseRoute]:
    """For the composition, beside ``static_common.common_route`` and the socket at ``/v1/live``."""
    pages = _Pages(parts)
    return [
        Route("/slides/static/{name}", lambda r: file_of(_STATIC, r.path_params["name"])),
        Mount("/slides/viewer", viewer(parts.shelf, pages.may_see)),
        Route("/slides/{sid}", pages.page),
        Route("/slides/{sid}/notes", pages.notes),
        Route("/slides/{sid}/notes", pages.write, methods=["POST"]),
        Route("/slides/{sid}/notes.geojson", pages.geojson),
        Route("/slides/{sid}/shares", pages.shares),
        Route("/slides/{sid}/shares", pages.share, methods=["POST"]),
        Route("/slides/{sid}/shares/{share}", pages.unshare, methods=["DELETE"]),
    ]


class _Pages:
    """What is behind the addresses."""

    def __init__(self, parts: RoomParts) -> None:
        self._parts = parts

    def may_see(self, request: Request, key: str | None) -> bool:
        """For the viewer, which asks at every tile; it lists nothing."""
        if key is None:
            return False
        who = self._who(request)
        found = self._asked(lambda: self._parts.slides.by_key(key))
        room = found.room if found else None
        return room is not None and who.sees(room.slide, room.trust, room.network)

    def page(self, request: Request) -> Response:
        try:
            who = self._who(request)
        except HTTPException as refused:
            if refused.status_code != HTTPStatus.UNAUTHORIZED:
                raise
            return RedirectResponse(f"{LOGIN}?next={quote(request.url.path)}", 303)
        sid = request.path_params["sid"]
        found = self._asked(lambda: self._parts.slides.seen_by(who, sid))
        if found is None:
            return html_page("problem.html", who, 404, why=_NOT_HERE, tab="")
        room = templates(_TEMPLATES).get_template("room.html")
        html = room.render(root="viewer/", asked_for=True, slide=found, who=who, me=me(who))
        return Response(html, media_type="text/html", headers=_HEADERS)

    def notes(self, request: Request) -> Response:
        """The log after ``since``; asked again while there is more."""
        found, who = self._slide(request)
        since = request.query_params.get("since", "0")
        if not since.isascii() or not since.isdigit() or len(since) > 15:
            raise HTTPException(400, "since is the number of an operation")
        arguments = self._parts.engine, found.room, int(since), _AT_ONCE
        written = self._asked(lambda: notes.since(*arguments))
        newest = self._asked(lambda: notes.newest(self._parts.engine, found.room))
        content = {
            "ops": [one.as_json() for one in written],
            "seq": newest,
            "sha256": found.room.slide,
            "me": me(who),
            "annotate": may_annotate(who, found.room),
        }
        return JSONResponse(content, headers=_ASKED_ANEW)

    async def write(self, request: Request) -> Response:
        """One operation: 200 with it as it was written, or 409 with both versions."""
        content = await _body(request)
        return await run_in_threadpool(self._write, request, content)

    def _write(self, request: Request, content: Any) -> Response:
        found, who = self._slide(request)
        if not may_annotate(who, found.room):
            raise HTTPException(403, "you may look at this slide's notes, and not write any")
        at = self._parts.clock()
        try:
            wanted = Op.of(content)
            answer = self._asked(
                lambda: notes.append(self._parts.engine, found.room, wanted, who, at)
            )
        except ValueError as error:
            raise HTTPException(422, str(error)) from None
        status = 409 if isinstance(answer, Conflict) else 200
        return JSONResponse(answer.as_json(), status, headers=_ASKED_ANEW)

    def geojson(self, request: Request) -> Response:
        """What stands now, for QuPath."""
        found, _ = self._slide(request)
        standing = self._asked(lambda: notes.current(self._parts.engine, found.room))
        content = as_geojson(standing, found.origin_px)
        name = f"notes-{found.sid[:8]}.geojson"
        disposition = {"content-disposition": f'attachment; filename="{name}"'}
        return JSONResponse(content, headers=disposition | _ASKED_ANEW)

    def shares(self, request: Request) -> Response:
        """Who is invited, for those who may invite."""
        found, _ = self._slide_to_share(request)
        now = self._parts.clock()
        standing = self._asked(lambda: shares.of_slide(self._parts.engine, _slide(found), now))
        listed = [{"id": one.share_id, "to": one.to, "until": one.until} for one in standing]
        return JSONResponse({"shares": listed}, headers=_ASKED_ANEW)

    async def share(self, request: Request) -> Response:
        content = await _body(request)
        return await run_in_threadpool(self._share, request, content)

    def _share(self, request: Request, content: Any) -> Response:
        found, who = self._slide_to_share(request)
        to, hours = _invitation(content)
        at = self._parts.clock()
        asked = self._parts.engine, who, _slide(found), (to, at + hours * 3600.0), at
        try:
            made = self._asked(lambda: shares.make(*asked))
        except InputError as error:
            raise HTTPException(422, str(error)) from None
        content = {"id": made.share_id, "to": made.to, "until": made.until}
        return JSONResponse(content, 201, headers=_ASKED_ANEW)

    def unshare(self, request: Request) -> Response:
        _, who = self._slide_to_share(request)
        asked = self._parts.engine, who, request.path_params["share"], self._parts.clock()
        if not self._asked(lambda: shares.end(*asked)):
            raise HTTPException(404, "there is no such invitation")
        return Response(status_code=204)

    def _slide_to_share(self, request: Request) -> tuple[FoundSlide, Who]:
        """Who sees it by an invitation alone invites nobody else."""
        found, who = self._slide(request)
        if not who.may(Role.ANNOTATE, found.room.trust, found.room.network):
            raise HTTPException(403, "to invite somebody takes the right to annotate this slide")
        return found, who

    def _slide(self, request: Request) -> tuple[FoundSlide, Who]:
        """404 where there is none, or none for this person."""
        who = self._who(request)
        sid = request.path_params["sid"]
        found = self._asked(lambda: self._parts.slides.seen_by(who, sid))
        if found is None:
            raise HTTPException(404, "there is no such slide")
        return found, who

    def _who(self, request: Request) -> Who:
        try:
            return self._asked(lambda: self._parts.door.who(request))
        except NotKnown as error:
            raise HTTPException(401, str(error)) from None

    @staticmethod
    def _asked(question: Callable[[], _T]) -> _T:
        """503 where the database refuses."""
        try:
            return question()
        except OutputError:
            raise HTTPException(503, "try again", {"retry-after": "5"}) from None


def _slide(found: FoundSlide) -> shares.Slide:
    return shares.Slide(found.room.slide, found.room.trust, found.room.network)


def _invitation(content: Any) -> tuple[str, float]:
    """Whom, and for how many hours.  422."""
    if not (isinstance(content, dict) and content.keys() == {"to", "hours"}):
        raise HTTPException(422, "an invitation has to and hours, and nothing else")
    to, hours = content["to"], content["hours"]
    if not isinstance(to, str) or type(hours) is not int:
        raise HTTPException(422, "an invitation is to somebody, for a number of hours")
    return to, float(min(max(hours, 0), 10_000))


async def _body(request: Request) -> Any:
    """415, which no form of another page can be; 413, 400."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise HTTPException(415, "what is sent is application/json")
    content = await body_within(request, _MOST_BYTES)
    if content is None:
        raise HTTPException(413, "what is sent is too large")
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise HTTPException(400, "what is sent is no JSON") from None
