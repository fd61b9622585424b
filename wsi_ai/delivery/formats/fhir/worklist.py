"""A Task is on other people's worklist: what they did with it stays when the flag changes."""

from collections.abc import Mapping
from typing import Any

from wsi_ai.core.flags import Level
from wsi_ai.delivery.formats.fhir.codes import PRIORITIES

Resource = dict[str, Any]

_THEIRS = (
    "contained", "extension", "groupIdentifier", "partOf", "for", "encounter", "executionPeriod",
    "performerType", "owner", "insurance", "relevantHistory", "restriction", "output",
)  # fmt: skip
_URGENT = PRIORITIES[Level.EXPEDITE]
_OVER = frozenset({"rejected", "failed", "completed"})
_TAKEN_UP = _OVER | {"received", "accepted", "ready", "in-progress", "on-hold"}
_ENDED = frozenset({"cancelled", "entered-in-error"})


def with_theirs(
    ours: Resource, theirs: Mapping[str, Any], *, now_retracted: bool, was_retracted: bool
) -> Resource:
    """Our Task in place of the server's.  Level, priority, reasons and inputs are ours; who took it
    up, how far that is, and what was written to it are theirs.  What is taken back is cancelled,
    unless it is over already; what becomes urgent is asked for again, though it was over."""
    stays = {name: theirs[name] for name in _THEIRS if name in theirs}
    keeps = _OVER if now_retracted else _TAKEN_UP
    if not now_retracted and not was_retracted:
        keeps |= _ENDED  # by one of them
    if ours["priority"] == _URGENT != theirs.get("priority"):
        keeps -= _OVER | _ENDED
    status = theirs.get("status")
    notes = theirs.get("note")
    added = [one for one in notes if one not in ours["note"]] if isinstance(notes, list) else []
    return {
        **ours,
        **stays,
        "status": status if status in keeps else ours["status"],
        "note": [*ours["note"], *added],
    }
