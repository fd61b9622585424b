"""``wsi-ai flags`` and ``wsi-ai recall``."""

from pathlib import Path

from wsi_ai.cli.output import Exit, exit_on_error, say, say_content, say_json
from wsi_ai.core.flags import STATEMENT
from wsi_ai.delivery.events import kind_of
from wsi_ai.delivery.formats.event import event_for
from wsi_ai.delivery.formats.registry import FORMATS
from wsi_ai.delivery.messages import Retraction
from wsi_ai.delivery.posting import open_outbox
from wsi_ai.errors import OutputError


@exit_on_error
def list_flags(database: str) -> int:
    listed = 0
    with open_outbox(database) as outbox:
        for flag in outbox.flags():
            listed += 1
            level, model = flag["result"]["level"], flag["model"]
            state = f"{level}  {kind_of(flag).value}  {model['name']} {model['version']}"
            say(f"{flag['flag_id']}  r{flag['revision']}  {state}")
    say(f"{listed} flags. {STATEMENT}")
    return Exit.OK


@exit_on_error
def show(database: str, flag_id: str, name: str | None = None) -> int:
    """As it is kept, or in the format of that name."""
    with open_outbox(database) as outbox:
        flag = outbox.flag(flag_id)
    if flag is None:
        raise OutputError("no such flag, or it is purged; see: wsi-ai flags list")
    if name is None:
        say_json(flag)
    elif name in FORMATS:
        say_content(FORMATS[name].render(event_for(flag)))
    else:
        raise OutputError(f"no such format; there are {', '.join(FORMATS)}")
    return Exit.OK


@exit_on_error
def retract(database: str, flag_id: str, reason: str, audit: Path | None) -> int:
    if reason not in tuple(Retraction):
        raise OutputError(f"no such reason; there are {', '.join(Retraction)}")
    with open_outbox(database, audit) as outbox:
        taken = outbox.retract(flag_id, Retraction(reason))
    if taken is None:
        say("nothing to take back: there is no such flag, or it was taken back already")
        return Exit.SOME
    say(f"taken back as revision {taken['revision']}; the relay delivers it")
    return Exit.OK


@exit_on_error
def recall(database: str, model: str, version: str, audit: Path | None) -> int:
    taken = spoiled = 0
    with open_outbox(database, audit) as outbox:
        for batch in outbox.recall(model, version):
            taken, spoiled = taken + len(batch.event_ids), spoiled + batch.spoiled
        beyond = outbox.beyond_recall(model, version)
    say(f"{taken} flags of {model} {version} taken back; the relay delivers that")
    if beyond:
        say(f"{beyond} more are purged: tell their receivers that they no longer hold")
    if spoiled:
        say(f"{spoiled} more are spoiled, and are not taken back; see: wsi-ai outbox check")
    if not taken + beyond + spoiled:
        say("nothing to take back: is that the model's name and version? See: wsi-ai flags list")
    return Exit.OK if taken and not beyond + spoiled else Exit.SOME
