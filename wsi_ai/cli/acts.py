"""``wsi-ai acts``."""

import json

from wsi_ai.cli.account import account_here
from wsi_ai.cli.outbox import instant
from wsi_ai.cli.output import Exit, exit_on_error, say
from wsi_ai.core.timing import timestamp_of
from wsi_ai.core.wording import counted, verb
from wsi_ai.delivery.audit import AuditBroken
from wsi_ai.service.access import acts
from wsi_ai.service.access.acts import Act, Wanted
from wsi_ai.service.database.opening import existing_service_database


@exit_on_error
def list_acts(database: str, who: str | None, what: str | None, since: str | None) -> int:
    """The oldest first."""
    earliest = instant(since) if since is not None else None
    found = list[Act]()
    with existing_service_database(database) as engine:
        while page := acts.search(
            engine, account_here(), Wanted(who, what, earliest, found[-1].n if found else None)
        ):
            found += page
    for one in reversed(found):
        say(_line(one))
    return Exit.OK


@exit_on_error
def check(database: str, head: str | None) -> int:
    with existing_service_database(database) as engine:
        try:
            found = acts.check(engine, head)
        except AuditBroken as error:
            say(f"BROKEN: {error}")
            return Exit.SOME
    say(f"{counted(found.lines, 'line')} {verb(found.lines, 'holds', 'hold')}; the head is {found}")
    return Exit.OK


def _line(one: Act) -> str:
    at = timestamp_of(one.at)
    ids = json.dumps(one.ids, separators=(",", ":"))
    return f"{one.n}  {at}  {one.who}  {one.what}  {ids}  {one.trust or '-'}"
