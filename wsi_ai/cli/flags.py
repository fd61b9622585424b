"""``wsi-ai flags`` and ``wsi-ai recall``."""

import json
from pathlib import Path

from wsi_ai.cli.output import Exit, exit_on_error
from wsi_ai.core.flags import STATEMENT
from wsi_ai.delivery.events import kind_of
from wsi_ai.delivery.messages import Retraction
from wsi_ai.delivery.posting import open_outbox
from wsi_ai.errors import OutputError


@exit_on_error
def list_flags(database: str) -> int:
    with open_outbox(database) as outbox:
        flags = outbox.flags()
    for flag in flags:
        level, model = flag["result"]["level"], flag["model"]
        state = f"{level}  {kind_of(flag).value}  {model['name']} {model['version']}"
        print(f"{flag['flag_id']}  r{flag['revision']}  {state}")
    print(f"{len(flags)} flags. {STATEMENT}")
    return Exit.OK


@exit_on_error
def show(database: str, flag_id: str) -> int:
    with open_outbox(database) as outbox:
        flag = outbox.flag(flag_id)
    if flag is None:
        raise OutputError("no such flag, or it is purged; see: wsi-ai flags list")
    print(json.dumps(flag, indent=2, ensure_ascii=False))
    return Exit.OK


@exit_on_error
def retract(database: str, flag_id: str, reason: str, audit: Path | None) -> int:
    if reason not in tuple(Retraction):
        raise OutputError(f"no such reason; there are {', '.join(Retraction)}")
    with open_outbox(database, audit) as outbox:
        taken = outbox.retract(flag_id, Retraction(reason))
    if taken is None:
        print("nothing to take back: there is no such flag, or it was taken back already")
        return Exit.SOME
    print(f"taken back as revision {taken['revision']}; the relay delivers it")
    return Exit.OK


@exit_on_error
def recall(database: str, model: str, version: str, audit: Path | None) -> int:
    with open_outbox(database, audit) as outbox:
        taken, beyond = outbox.recall(model, version), outbox.beyond_recall(model, version)
    print(f"{len(taken)} flags of {model} {version} taken back; the relay delivers that")
    if beyond:
        print(f"{beyond} more are purged: tell their receivers that they no longer hold")
    return Exit.SOME if beyond else Exit.OK
