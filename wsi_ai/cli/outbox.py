"""``wsi-ai outbox``."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from wsi_ai.cli.output import Exit, exit_on_error, say
from wsi_ai.core.timing import DAY_S
from wsi_ai.core.wording import counted, verb
from wsi_ai.delivery.audit import Audit
from wsi_ai.delivery.outbox import Line, Mismatch, Outbox, State, adoption
from wsi_ai.delivery.outbox.check import all_wrong
from wsi_ai.delivery.outbox.retention import copy_to
from wsi_ai.delivery.posting import make_outbox, open_audit, open_outbox, open_relay
from wsi_ai.errors import OutputError

_UNSETTLED = frozenset({State.PENDING, State.INFLIGHT, State.DEAD})


@exit_on_error
def list_lines(database: str, states: Sequence[str], since: str | None) -> int:
    wanted = tuple(State(_one_of(state)) for state in states) or tuple(State)
    unsettled = False
    with open_outbox(database) as outbox:
        for line in outbox.all_lines(wanted, instant(since)):
            say(_line(line))
            unsettled = unsettled or line.state in _UNSETTLED
    return Exit.SOME if unsettled else Exit.OK


@exit_on_error
def init(database: str, audit: Path | None) -> int:
    with make_outbox(database, audit):
        say("the outbox is there")
    return Exit.OK


@exit_on_error
def check(database: str) -> int:
    found = 0
    with open_outbox(database) as outbox:
        for wrong in all_wrong(outbox):
            found += 1
            say(wrong)
    say(f"{counted(found, 'thing')} {verb(found, 'is', 'are')} not what was written")
    return Exit.SOME if found else Exit.OK


@exit_on_error
def adopt(database: str, sink: str, send: Sequence[str], audit: Path | None) -> int:
    with open_relay(send, database, audit) as posting:
        outbox = posting.relay.outbox
        with outbox.writing() as connection:
            done = adoption.adopt(connection, sink, posting.endpoints, outbox.clock())
    return _tell(done, "adopted", open_audit(database, audit), ("adopt", sink))


@exit_on_error
def backup(database: str, to: Path) -> int:
    with open_outbox(database) as outbox:
        copy_to(outbox.engine, to)
    say("copied; after a restore, wsi-ai outbox reconcile says what it missed")
    return Exit.OK


@exit_on_error
def show(database: str, event_id: str) -> int:
    with open_outbox(database) as outbox:
        body = outbox.body(event_id)
    if not body:
        what = "no such event" if body is None else "its content is purged"
        raise OutputError(f"{what}; see: wsi-ai outbox list")
    say(body.decode())
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
        done = outbox.purge(time.time() - days * DAY_S)
    entry = {"what": "operator", "did": "purge", "days": days, "events": done}
    open_audit(database, audit).append([entry])
    say(f"the content of {counted(done, 'event')} is purged; ids, levels and hashes stay")
    return Exit.OK


@exit_on_error
def drain(
    database: str, send: Sequence[str], since: str | None, seconds: float, audit: Path | None
) -> int:
    with open_relay(send, database, audit) as posting, posting.relay.running():
        posting.relay.outbox.hurry(instant(since))
        posting.relay.wake()
        left = posting.relay.wait_until_quiet(seconds)
    say(f"{counted(left, 'delivery')} still {verb(left, 'waits', 'wait')}")
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
            if mismatch.elsewhere:
                continue
            try:
                outbox.replay(mismatch.event_id)
            except OutputError as error:
                say(f"  {mismatch.flag_id}: not sent again: {error}")


def _tell_lost(lost: dict[str, list[Mismatch] | None]) -> int:
    for sink, found in lost.items():
        if found is None:
            say(f"{sink}: cannot be asked what it holds (no read_back)")
            continue
        say(f"{sink}: {counted(len(found), 'flag')} not as sent")
        for one in found:
            held = f"revision {one.held}" if one.held else "none"
            holds = f"{held} of another outbox, with another answer" if one.elsewhere else held
            say(f"  {one.flag_id}: sent revision {one.sent}, holds {holds}")
    return Exit.SOME if any(lost.values()) else Exit.OK


def _line(line: Line) -> str:
    made = datetime.fromtimestamp(line.created, UTC).isoformat(timespec="seconds")
    words = (
        made.replace("+00:00", "Z"),
        line.event_id,
        f"r{line.revision}",
        line.kind,
        line.level,
        line.trust or "-",
        line.sink,
        line.state.value.upper(),
        counted(line.attempts, "attempt"),
        line.told or "",
    )
    return "  ".join(words).rstrip()


def _one_of(state: str) -> str:
    if state not in tuple(State):
        raise OutputError(f"no such state; there are {', '.join(State)}")
    return state


def instant(text: str | None) -> float:
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
    say(f"{counted(done, 'delivery')} {what}")
    return Exit.OK if done else Exit.SOME
