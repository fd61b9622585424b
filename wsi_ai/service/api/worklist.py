"""``/v1/worklist`` and acknowledgements."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from fastapi.exceptions import HTTPException
from pydantic import Field

from wsi_ai.core.flags import STATEMENT, Level
from wsi_ai.core.timing import timestamp_of
from wsi_ai.errors import InputError
from wsi_ai.service.access.who import Role
from wsi_ai.service.api.parts import Asker, Parts
from wsi_ai.service.api.problems import documented
from wsi_ai.service.api.texts import Body, FlagId, Limit, Line, Next, opaque, plain
from wsi_ai.service.worklist import acknowledging, band, lines
from wsi_ai.service.worklist.acknowledging import Looked
from wsi_ai.service.worklist.filters import Filters

router = APIRouter(tags=["worklist"])
Revision = Annotated[int, Path(ge=1, le=(1 << 31) - 1)]
_COLUMNS = (
    "flag_id", "revision", "level", "retracted", "issued", "trust", "network", "accession", "slide",
    "image_sha256", "stain", "model", "score", "threshold", "analysed_fraction", "quality",
    "explanation", "statement", "acknowledged",
)  # fmt: skip


class LinesQuery(Body):
    network: Line | None = None
    trust: Line | None = None
    level: Level | None = None
    model: Line | None = None
    stain: Line | None = None
    acknowledged: Literal["yes", "no"] | None = None
    limit: Limit = 100
    next: Next | None = None


class Note(Body):
    note: Annotated[Line, Field(max_length=500)] | None = None


@router.get("/v1/worklist", operation_id="worklist", responses=documented())
def worklist(parts: Parts, who: Asker, asked: Annotated[LinesQuery, Query()]) -> dict[str, Any]:
    """The most urgent first.  ``incomplete`` says since when, and why, lines may be missing."""
    if not who.may_somewhere(Role.READ):
        raise HTTPException(403, "that takes the right to read")
    key = plain(asked.next, str)[0] if asked.next is not None else ""
    try:
        filters = Filters.of(asked.model_dump(exclude_none=True))
        page = lines.page(parts.engine, who, filters, key, asked.limit)
    except ValueError as error:
        raise InputError(str(error)) from None
    found = band.band_of(band.facts(parts.engine, parts.clock()), who)
    return {
        "statement": STATEMENT,
        "incomplete": {"since": found.since, "why": list(found.why)} if found.why else None,
        "lines": [_line(one) for one in page.lines],
        "seq": page.seq,
        "next": opaque([page.lines[-1].key]) if page.more else None,
    }


@router.post(
    "/v1/flags/{flag_id}/{revision}/acknowledgement",
    operation_id="acknowledge",
    responses=documented(409),
)
def acknowledge(
    parts: Parts, who: Asker, flag_id: FlagId, revision: Revision, said: Note | None = None
) -> dict[str, Any]:
    """They looked at it.  409 with the revision that it has by now, where that says otherwise."""
    looked = _looked(flag_id, revision, said.note if said else None)
    acknowledging.acknowledge(parts.engine, who, looked, parts.clock())
    return {"flag_id": flag_id, "revision": revision, "acknowledged": True}


@router.delete(
    "/v1/flags/{flag_id}/{revision}/acknowledgement",
    operation_id="acknowledge_not",
    responses=documented(),
)
def undo(parts: Parts, who: Asker, flag_id: FlagId, revision: Revision) -> dict[str, Any]:
    """Their own is taken back."""
    acknowledging.undo(parts.engine, who, _looked(flag_id, revision, None), parts.clock())
    return {"flag_id": flag_id, "revision": revision, "acknowledged": False}


def _looked(flag_id: str, revision: int, note: str | None) -> Looked:
    """Raises InputError."""
    try:
        return Looked(flag_id, revision, note)
    except ValueError as error:
        raise InputError(str(error)) from None


def _line(one: lines.Line) -> Mapping[str, Any]:
    by = [
        {
            "revision": each.revision,
            "name": each.name,
            "at": timestamp_of(each.at),
            "note": each.note,
            "stands": each.stands,
        }
        for each in one.by
    ]
    return {**{name: getattr(one.row, name) for name in _COLUMNS}, "by": by}
