"""``wsi-ai rights``."""

import time
from collections.abc import Sequence

from wsi_ai.cli.account import account_here
from wsi_ai.cli.output import Exit, exit_on_error, say
from wsi_ai.cli.tokens import right_of
from wsi_ai.core.timing import timestamp_of
from wsi_ai.errors import InputError
from wsi_ai.service.access import rights
from wsi_ai.service.database.opening import existing_service_database


@exit_on_error
def grant(database: str, to: str, roles: Sequence[str], scope: str) -> int:
    wanted = [right_of(role, scope) for role in roles]
    with existing_service_database(database) as engine:
        new = [rights.grant(engine, account_here(), to, one, time.time()) for one in wanted]
    say(f"{sum(new)} granted, {len(new) - sum(new)} were there already")
    return Exit.OK


@exit_on_error
def withdraw(database: str, to: str, roles: Sequence[str], scope: str) -> int:
    wanted = [right_of(role, scope) for role in roles]
    with existing_service_database(database) as engine:
        gone = [rights.withdraw(engine, account_here(), to, one, time.time()) for one in wanted]
    if not any(gone):
        raise InputError("no such right; see: wsi-ai rights list")
    say(f"{sum(gone)} withdrawn: open pages lose it within seconds")
    return Exit.OK


@exit_on_error
def list_rights(database: str) -> int:
    with existing_service_database(database) as engine:
        for one in rights.listed(engine, account_here()):
            at = timestamp_of(one.at)
            say(f"{one.to}  {one.right.role}  {one.right.scope}  {at}  by {one.by}")
    return Exit.OK
