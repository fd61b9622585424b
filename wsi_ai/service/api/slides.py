"""``/v1/slides``: slides that were judged, notes on them, and who else may look."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.exceptions import HTTPException
from fastapi.responses import JSONResponse
from pydantic import Field, StringConstraints

from wsi_ai.core.timing import timestamp_of
from wsi_ai.errors import InputError
from wsi_ai.service.access import shares
from wsi_ai.service.access.shares import Share, Slide
from wsi_ai.service.access.who import Role, Who
from wsi_ai.service.api.parts import ApiParts, Asker, Parts
from wsi_ai.service.api.problems import NotThere, documented
from wsi_ai.service.api.texts import Body, Limit, Moment, Sid
from wsi_ai.service.rooms import notes
from wsi_ai.service.rooms.geojson import as_geojson
from wsi_ai.service.rooms.notes import Conflict, Op
from wsi_ai.service.rooms.slides import FoundSlide, may_annotate

router = APIRouter(tags=["slides"])
Uuid = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
ShareId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]


class NotesQuery(Body):
    since: Annotated[int, Field(ge=0, le=(1 << 31) - 1)] = 0
    limit: Limit = 500


class Operation(Body):
    """What becomes of a note; ``body`` null removes it."""

    op_id: Uuid
    note_id: Uuid
    base: Annotated[int, Field(ge=0, lt=1 << 30, strict=True)]
    body: dict[str, Any] | None


class NewShare(Body):
    to: Annotated[
        str,
        StringConstraints(
            pattern=r"^(subject:[^\u0000-\u001f\u007f-\u009f]{1,200}|trust:[A-Za-z0-9._-]{1,64})$"
        ),
    ]
    until: Moment


@router.get("/v1/slides/{sid}", operation_id="slide", responses=documented())
def slide(parts: Parts, who: Asker, sid: Sid) -> dict[str, Any]:
    found = _found(parts, who, sid)
    return {
        "sha256": found.room.slide,
        "trust": found.room.trust,
        "network": found.room.network,
        "viewer": f"/slides/{found.sid}",
        "annotate": may_annotate(who, found.room),
    }


@router.get("/v1/slides/{sid}/notes", operation_id="notes", responses=documented())
def read_notes(
    parts: Parts, who: Asker, sid: Sid, asked: Annotated[NotesQuery, Query()]
) -> dict[str, Any]:
    """The log of operations after ``since``; asked again while there is more."""
    room = _found(parts, who, sid).room
    written = notes.since(parts.engine, room, asked.since, asked.limit)
    return {
        "ops": [one.as_json() for one in written],
        "seq": notes.newest(parts.engine, room),
        "sha256": room.slide,
    }


@router.post("/v1/slides/{sid}/notes", operation_id="note", responses=documented(409))
def write_note(parts: Parts, who: Asker, sid: Sid, wanted: Operation) -> Any:
    """One operation; 409 with both versions, where somebody changed the note since."""
    room = _found(parts, who, sid).room
    if not may_annotate(who, room):
        raise HTTPException(403, "that takes the right to annotate")
    try:
        op = Op.of(wanted.model_dump())
        answer = notes.append(parts.engine, room, op, who, parts.clock())
    except ValueError as error:
        raise InputError(str(error)) from None
    if isinstance(answer, Conflict):
        return JSONResponse(answer.as_json(), 409)
    return answer.as_json()


@router.get("/v1/slides/{sid}/notes.geojson", operation_id="notes_geojson", responses=documented())
def geojson(parts: Parts, who: Asker, sid: Sid) -> dict[str, Any]:
    """What stands now, for QuPath."""
    found = _found(parts, who, sid)
    return as_geojson(notes.current(parts.engine, found.room), found.origin_px)


@router.get("/v1/slides/{sid}/shares", operation_id="shares", responses=documented())
def read_shares(parts: Parts, who: Asker, sid: Sid) -> dict[str, Any]:
    """Those that hold."""
    here = _shared(parts, who, sid)
    return {"shares": [_shown(one) for one in shares.of_slide(parts.engine, here, parts.clock())]}


@router.post(
    "/v1/slides/{sid}/shares", status_code=201, operation_id="share", responses=documented()
)
def share(parts: Parts, who: Asker, sid: Sid, wanted: NewShare) -> dict[str, Any]:
    """Open the slide to a person or a trust, until a time, and nothing else of its case."""
    here, to = _shared(parts, who, sid), (wanted.to, wanted.until.timestamp())
    return _shown(shares.make(parts.engine, who, here, to, parts.clock()))


@router.delete(
    "/v1/slides/{sid}/shares/{share_id}", operation_id="share_not", responses=documented()
)
def unshare(parts: Parts, who: Asker, sid: Sid, share_id: ShareId) -> dict[str, Any]:
    """From the next request on; what is open is closed within seconds."""
    here, now = _shared(parts, who, sid), parts.clock()
    known = [one.share_id for one in shares.of_slide(parts.engine, here, now)]
    if share_id not in known or not shares.end(parts.engine, who, share_id, now):
        raise NotThere("share")
    return {"share_id": share_id, "ended": True}


def _found(parts: ApiParts, who: Who, sid: str) -> FoundSlide:
    found = parts.slides.seen_by(who, sid)
    if found is None:
        raise NotThere("slide")
    return found


def _shared(parts: ApiParts, who: Who, sid: str) -> Slide:
    """Whom it was shared with does not share it further."""
    room = _found(parts, who, sid).room
    if not who.may(Role.ANNOTATE, room.trust, room.network):
        raise HTTPException(403, "that takes the right to annotate slides of its trust")
    return Slide(room.slide, room.trust, room.network)


def _shown(one: Share) -> dict[str, Any]:
    return {
        "share_id": one.share_id,
        "to": one.to,
        "by": one.by,
        "made": timestamp_of(one.made),
        "until": timestamp_of(one.until),
    }
