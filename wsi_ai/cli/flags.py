"""``wsi-ai flags`` and ``wsi-ai recall``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsi_ai.cli.output import Exit, exit_on_error, say, say_content, say_json
from wsi_ai.core.flags import STATEMENT
from wsi_ai.core.wording import counted, verb
from wsi_ai.delivery.events import kind_of
from wsi_ai.delivery.formats.event import event_for
from wsi_ai.delivery.formats.registry import FORMATS
from wsi_ai.delivery.messages import Kind, Retraction
from wsi_ai.delivery.outbox.listing import ListedFlag, listed, steps_of, whole_id
from wsi_ai.delivery.posting import open_outbox, open_relay
from wsi_ai.errors import OutputError

_SHORT = 8
_COLUMNS = "{:<8}  {:<20}  {:<14}  {:<13}  {:<24}  {:<3}  {}"
_HEAD = "id", "slide", "accession", "level", "model", "rev", "delivery"
_SEND_S = 10.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which flags a person asks for; empty is any."""

    slide: str = ""
    accession: str = ""

    def takes(self, flag: dict[str, Any]) -> bool:
        return self.slide in ("", _slide(flag)) and self.accession in ("", _accession(flag))


@exit_on_error
def list_flags(database: str, wanted: Wanted) -> int:
    """A line for each: which slide, which level, and how far it has come."""
    shown = 0
    with open_outbox(database) as outbox:
        for one in listed(outbox):
            if not wanted.takes(dict(one.flag)):
                continue
            if not shown:
                say(_COLUMNS.format(*_HEAD))
            shown += 1
            say(_row(one))
    say(f"{counted(shown, 'flag')}. {STATEMENT}")
    return Exit.OK if shown or wanted == Wanted() else Exit.SOME


def _row(one: ListedFlag) -> str:
    flag = dict(one.flag)
    level = str(flag["result"]["level"]).replace("_", " ")
    retracted = kind_of(flag) is Kind.RETRACTED
    row = (
        flag["flag_id"][:_SHORT],
        _slide(flag),
        _accession(flag) or "-",
        "TAKEN BACK" if retracted else level.upper(),
        f"{flag['model']['name']} {flag['model']['version']}",
        f"r{flag['revision']}",
        "; ".join(map(str, one.steps)) or "-",
    )
    return _COLUMNS.format(*row)


def _slide(flag: dict[str, Any]) -> str:
    return str(flag["slide"]["slide_id"]["value"])


def _accession(flag: dict[str, Any]) -> str:
    return str(flag["case"]["accession"]["value"]) if flag["case"] else ""


@exit_on_error
def show(database: str, flag_id: str, name: str | None = None) -> int:
    """As it is kept, or in the format of that name."""
    with open_outbox(database) as outbox:
        flag = outbox.flag(whole_id(outbox, flag_id))
    if flag is None:
        raise OutputError("the flag's content is purged; see: wsi-ai flags list")
    if name is None:
        say_json(flag)
    elif name in FORMATS:
        say_content(FORMATS[name].render(event_for(flag)))
    else:
        raise OutputError(f"no such format; there are {', '.join(FORMATS)}")
    return Exit.OK


@exit_on_error
def retract(
    database: str, flag_id: str, reason: str, send: Sequence[str], audit: Path | None
) -> int:
    """Take a flag back; with ``send``, deliver that now."""
    if reason not in tuple(Retraction):
        raise OutputError(f"no such reason; there are {', '.join(Retraction)}")
    with open_outbox(database, audit) as outbox:
        name = whole_id(outbox, flag_id)
        taken = outbox.retract(name, Retraction(reason))
    if taken is None:
        say("it was taken back already")
    else:
        say(f"taken back, as revision {taken['revision']}")
    waits = _tell_steps(database, name, send, audit)
    if waits and send:
        return Exit.WAITING
    return Exit.SOME if taken is None and not send else Exit.OK


def _tell_steps(database: str, flag_id: str, send: Sequence[str], audit: Path | None) -> bool:
    """Whether a receiver still does not know."""
    if send:
        with open_relay(send, database, audit) as posting, posting.relay.running():
            posting.relay.outbox.hurry()
            posting.relay.wait_until_quiet(_SEND_S)
    with open_outbox(database, audit) as outbox:
        steps = steps_of(outbox, [flag_id]).get(flag_id, [])
    waits = any(step.is_open for step in steps)
    if waits and not send:
        say("waiting: not delivered yet; wsi-ai relay delivers it, or this command with --send")
        return True
    for step in steps:
        say(str(step))
    return waits


@exit_on_error
def recall(database: str, model: str, version: str, audit: Path | None) -> int:
    taken = spoiled = 0
    with open_outbox(database, audit) as outbox:
        for batch in outbox.recall(model, version):
            taken, spoiled = taken + len(batch.event_ids), spoiled + batch.spoiled
        beyond = outbox.beyond_recall(model, version)
    what = f"{counted(taken, 'flag')} of {model} {version} taken back"
    say(f"{what}; waiting: wsi-ai relay delivers that" if taken else what)
    if beyond:
        what = f"{beyond} more {verb(beyond, 'is', 'are')} purged"
        say(f"{what}: tell their receivers that they no longer hold")
    if spoiled:
        what = f"{spoiled} more {verb(spoiled, 'is', 'are')} damaged, and not taken back"
        say(f"{what}; see: wsi-ai outbox check")
    if not taken + beyond + spoiled:
        say("nothing to take back: is that the model's name and version? See: wsi-ai flags list")
    return Exit.OK if taken and not beyond + spoiled else Exit.SOME
