"""``wsi-ai outbox``."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from wsi_ai.cli.output import Exit, exit_on_error
from wsi_ai.delivery.audit import Audit
from wsi_ai.delivery.outbox import Line, Mismatch, Outbox, State
from wsi_ai.delivery.posting import open_audit, open_outbox, open_posting, open_relay
from wsi_ai.errors import OutputError

_DAY_S = 86400.0
_UNSETTLED = frozenset({State.PENDING, State.INFLIGHT, State.DEAD})


@exit_on_error
def list_lines(database: str, states: Sequence[str], since: str | None) -> int:
    wanted = tuple(State(_one_of(state)) for state in states) or tuple(State)
    with open_outbox(database) as outbox:
        lines = outbox.lines(wanted, _instant(since))
    for line in lines:
        print(_line(line))
    return Exit.SOME if any(line.state in _UNSETTLED for line in lines) else Exit.OK


@exit_on_error
def show(database: str, event_id: str) -> int:
    with open_outbox(database) as outbox:
        body = outbox.body(event_id)
    if not body:
        what = "no such event" if body is None else "its content is purged"
        raise OutputError(f"{what}; see: wsi-ai outbox list")
    print(body.decode())
    return Exit.OK


@exit_on_error
def replay(database: str, event_id: str, audit: Path | None) -> int:
    with open_outbox(database, audit) as outbox:
        done = outbox.replay(event_id)
    return _tell(done, "to be sent again", open_audit(database, audit), ("replay", event_id))


@exit_on_error
def replay_old(database: str, event_id: str, audit: Path | None) -> int:
    with open_outbox(database, audit) as outbox:
        done = outbox.replay_old(event_id)
    return _tell(done, "to be sent again", open_audit(database, audit), ("force", event_id))


@exit_on_error
def skip(database: str, event_id: str, audit: Path | None) -> int:
    with open_outbox(database, audit) as outbox:
        done = outbox.skip(event_id)
    return _tell(done, "skipped", open_audit(database, audit), ("skip", event_id))


@exit_on_error
def purge(database: str, days: float, audit: Path | None) -> int:
    with open_outbox(database, audit) as outbox:
        done = outbox.purge(time.time() - days * _DAY_S)
    entry = {"what": "operator", "did": "purge", "days": days, "events": done}
    open_audit(database, audit).append([entry])
    print(f"the content of {done} events is purged; ids, levels and hashes stay")
    return Exit.OK


@exit_on_error
def drain(
    database: str, send: Sequence[str], since: str | None, seconds: float, audit: Path | None
) -> int:
    with open_posting(send, database, audit) as posting:
        posting.relay.outbox.hurry(_instant(since))
        posting.relay.wake()
        left = posting.relay.wait_until_quiet(seconds)
    print(f"{left} deliveries still wait")
    return Exit.SOME if left else Exit.OK


@exit_on_error
def reconcile(database: str, send: Sequence[str]) -> int:
    with open_relay(send, database) as posting:
        lost = posting.relay.reconcile()
    return _tell_lost(lost)


@exit_on_error
def resend_lost(database: str, send: Sequence[str]) -> int:
    with open_relay(send, database) as posting:
        lost = posting.relay.reconcile()
        _send_again(posting.relay.outbox, lost)
    return _tell_lost(lost)


def _send_again(outbox: Outbox, lost: dict[str, list[Mismatch] | None]) -> None:
    for found in lost.values():
        for mismatch in found or ():
            try:
                outbox.replay(mismatch.event_id)
            except OutputError as error:
                print(f"  {mismatch.flag_id}: not sent again: {error}")


def _tell_lost(lost: dict[str, list[Mismatch] | None]) -> int:
    for sink, found in lost.items():
        if found is None:
            print(f"{sink}: cannot be asked what it holds")
            continue
        print(f"{sink}: {len(found)} flags are not as they were sent")
        for one in found:
            print(f"  {one.flag_id}: sent revision {one.sent}, holds {one.held or 'none'}")
    return Exit.SOME if any(lost.values()) else Exit.OK


def _line(line: Line) -> str:
    made = datetime.fromtimestamp(line.created, UTC).isoformat(timespec="seconds")
    words = (
        made.replace("+00:00", "Z"),
        line.event_id,
        f"r{line.revision}",
        line.kind.value,
        line.level,
        line.trust or "-",
        line.sink,
        line.state.value.upper(),
        f"{line.attempts} attempts",
        line.told or "",
    )
    return "  ".join(words).rstrip()


def _one_of(state: str) -> str:
    if state not in tuple(State):
        raise OutputError(f"no such state; there are {', '.join(State)}")
    return state


def _instant(text: str | None) -> float:
    """Seconds since 1970; a time without a zone is refused, since it could be summer time."""
    if text is None:
        return 0.0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise OutputError("--since is a time like 2026-11-24T08:00Z") from None
    if moment.tzinfo is None:
        raise OutputError("--since needs its zone: 2026-11-24T08:00Z")
    return moment.timestamp()


def _tell(done: int, what: str, audit: Audit, deed: tuple[str, str]) -> int:
    """What a person did is told, and written down if it changed something."""
    did, event_id = deed
    if done:
        audit.append([{"what": "operator", "did": did, "event_id": event_id, "deliveries": done}])
    print(f"{done} deliveries {what}")
    return Exit.OK if done else Exit.SOME
