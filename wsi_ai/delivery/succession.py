"""What an event means to whoever holds a revision of the same flag.  Pure."""

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any

from wsi_ai.delivery.events import answer_digest
from wsi_ai.delivery.messages import Held
from wsi_ai.errors import Conflict


class Standing(StrEnum):
    FOLLOWS = "follows"
    """It is the next one: it holds from now on."""
    KNOWN = "known"
    """It says nothing that is not held already."""
    CONFLICTS = "conflicts"
    """It is another answer by someone who does not know what is held."""


def standing(flag: Mapping[str, Any], held: Held | None) -> Standing:
    """Of an event that never arrived before.

    Two senders who do not know of each other may both ask the same question, as a machine that was
    set up anew does.  So a number alone says nothing: what follows names what it follows.
    """
    if held is None:
        return Standing.FOLLOWS
    if flag["revision"] > held.revision:
        follows = flag["supersedes"] == held.event_id
        return Standing.FOLLOWS if follows else Standing.CONFLICTS
    known = held.says(answer_digest(flag), retracted=flag["action"] == "retract")
    return Standing.KNOWN if known else Standing.CONFLICTS


def is_known(
    flag: Mapping[str, Any], name: str, held: Held | None, arrived: Collection[str], holder: str
) -> bool:
    """Whether nothing of an event is to be written.  ``name`` is its id as the holder keeps it, and
    ``arrived`` are those of the events that it took; ``holder`` is a word for it.  Raises
    Conflict."""
    if name in arrived:
        return True
    match standing(flag, held):
        case Standing.FOLLOWS:
            return False
        case Standing.KNOWN:
            return True
        case Standing.CONFLICTS:
            raise Conflict(f"the {holder} holds another answer", None, held)


def held_of(flag: Mapping[str, Any], event_id: str) -> Held:
    """What is held once this flag is taken."""
    retracted = flag["action"] == "retract"
    return Held(flag["revision"], event_id, answer_digest(flag), retracted)


def as_json(held: Held) -> dict[str, Any]:
    """As a receiver says what it holds, in a list or beside a 409."""
    return {
        "revision": held.revision,
        "event_id": held.event_id,
        "answer_digest": held.answer,
        "retracted": held.retracted,
    }


def from_json(told: Mapping[str, Any]) -> Held:
    """The same, read.  A list of an earlier version has revisions only.  Raises ValueError."""
    revision: Any = told.get("revision")
    event_id: Any = told.get("event_id", "")
    answer: Any = told.get("answer_digest")
    retracted: Any = told.get("retracted", False)
    numbered = type(revision) is int and 0 < revision < 1 << 31
    named = isinstance(event_id, str) and isinstance(answer, str | None)
    if not (numbered and named and isinstance(retracted, bool)):
        raise ValueError("not what a receiver holds")
    return Held(revision, event_id, answer, retracted)
