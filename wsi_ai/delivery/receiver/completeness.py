"""Whether the worklist may lack flags, by what its senders say, or no longer say.  Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from wsi_ai.core.wording import counted

_NOBODY = "no sender has said here that it lives: it sends no heartbeats, or none arrived"


def is_troubled(heartbeat: Mapping[str, Any]) -> bool:
    """Whether a heartbeat says itself that flags may be missing."""
    return next(reasons(heartbeat), None) is not None


def completeness(senders: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What stands beside a list of flags: ``complete``, why it is not, and a sentence for people.

    ``senders`` are as ``Inbox.senders`` shows them.  Where nobody says to live, nothing is known,
    and the list is not called complete.
    """
    if not senders:
        return _shown([_NOBODY], None)
    found = [(why, sender["incomplete_since"]) for sender in senders for why in _why(sender)]
    since = min((at for _, at in found), default=None)
    return _shown([why for why, _ in found], since)


def _shown(why: list[str], since: str | None) -> dict[str, Any]:
    when = f" since {since}" if since else ""
    note = f"This list may be incomplete{when}: {'; '.join(why)}." if why else None
    return {"complete": not why, "why": why, "note": note}


def _why(sender: Mapping[str, Any]) -> Iterator[str]:
    if sender["silent"]:
        yield f"{_whose(sender)} is silent: last heard {sender['heard']}"
    for reason in reasons(sender):
        yield f"{_whose(sender)}: {reason}"


def reasons(heartbeat: Mapping[str, Any]) -> Iterator[str]:
    """Why flags may be missing, as a heartbeat says itself."""
    if not_started := heartbeat.get("run_not_started"):
        count, reason = not_started["slides_waiting"], not_started["reason"]
        yield f"a run did not start ({reason}), number of slides that wait: {count}"
    if unrouted := _unrouted(heartbeat):
        yield f"{counted(unrouted, 'slide')}: no model"
    if elsewhere := heartbeat.get("waiting_elsewhere"):
        yield f"deliveries that wait for a sink that is not set up: {elsewhere}"
    if dead := heartbeat["dead"]:
        yield f"deliveries that need a person at the sender's: {dead}"


def _unrouted(heartbeat: Mapping[str, Any]) -> int:
    """Number of slides that no rule gives a model: they are not run, and no flag says so."""
    found = (heartbeat.get("extensions") or {}).get("unrouted")
    return found if isinstance(found, int) and found > 0 else 0


def _whose(sender: Mapping[str, Any]) -> str:
    name = str(sender["sender"] or "")[:8]
    trusts = ", ".join(sender["trusts"]) or "every trust"
    return f"the sender {name} of {trusts}" if name else f"the sender of {trusts}"
