"""``wsi-ai tokens``."""

import time
from collections.abc import Sequence

from wsi_ai.cli.account import account_here
from wsi_ai.cli.output import Exit, exit_on_error, say
from wsi_ai.core.timing import DAY_S, timestamp_of
from wsi_ai.errors import InputError
from wsi_ai.service.access import rights, tokens
from wsi_ai.service.access.tokens import Token
from wsi_ai.service.access.who import REGION, Right, Role, Scope
from wsi_ai.service.database.opening import existing_service_database


@exit_on_error
def make(database: str, name: str, days: float, given: Sequence[str]) -> int:
    """``given`` are rights, each ``ROLE@SCOPE``.  The token alone goes to standard output."""
    wanted = [right_of(*_halves(text)) for text in given]
    by, now = account_here(), time.time()
    with existing_service_database(database) as engine:
        made = tokens.make(engine, by, name, now + days * DAY_S, now)
        for right in wanted:
            rights.grant(engine, by, f"token:{name}", right, now)
    say(made)
    return Exit.OK


def administrator() -> list[str]:
    """The rights of the first one."""
    return [f"{role}@{REGION}" for role in Role]


@exit_on_error
def revoke(database: str, name: str) -> int:
    with existing_service_database(database) as engine:
        if not tokens.revoke(engine, account_here(), name, time.time()):
            raise InputError("no such token, or it is revoked already; see: wsi-ai tokens list")
    say("revoked: from the next request on it opens nothing")
    return Exit.OK


@exit_on_error
def list_tokens(database: str) -> int:
    now = time.time()
    with existing_service_database(database) as engine:
        for one, held in tokens.listed(engine):
            shown = sorted(f"{right.role}@{right.scope}" for right in held) or ["no rights"]
            say(f"{one.name}  {_state(one, now)}  {', '.join(shown)}")
    return Exit.OK


def right_of(role: str, scope: str) -> Right:
    """Raises InputError."""
    try:
        return Right(Role(role), Scope.of(scope))
    except ValueError:
        raise InputError(
            f"a right is one of {', '.join(Role)}, for trust:CODE, network:NAME or region"
        ) from None


def _halves(text: str) -> tuple[str, str]:
    role, _, scope = text.partition("@")
    return role, scope


def _state(one: Token, now: float) -> str:
    if one.revoked is not None:
        return f"revoked {_day(one.revoked)}"
    if not one.holds(now):
        return "has ended"
    return f"until {_day(one.until)}" if one.until is not None else "without end"


def _day(at: float) -> str:
    return timestamp_of(at)[:10]
