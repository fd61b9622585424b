"""Who was given which right: rows, read anew for every request."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select

from wsi_ai.delivery.outbox.database import alone, reading, translated
from wsi_ai.errors import WsiAiError
from wsi_ai.service.access import acts
from wsi_ai.service.access.names import check_to
from wsi_ai.service.access.who import Right, Role, Scope, Who
from wsi_ai.service.database.tables import right


class NotAllowed(WsiAiError):
    """They have no right to do this; says which is needed, and nothing of what is there."""


@dataclass(frozen=True, slots=True)
class Given:
    """A right, and to whom."""

    right_id: str
    to: str
    right: Right
    by: str
    at: float


def check_may_administer(by: Who, scope: Scope) -> None:
    """An administrator of a trust looks after that trust, and gives no more than they have.
    Raises NotAllowed."""
    held = by.scopes(Role.ADMIN)
    if scope not in held and Scope("region") not in held:
        raise NotAllowed("that takes an administrator of the same scope, or of the region")


def grant(engine: Engine, by: Who, to: str, what: Right, at: float) -> bool:
    """From the next request on.  Returns whether it is new.  Raises InputError, NotAllowed,
    OutputError."""
    check_to(to)
    check_may_administer(by, what.scope)
    row = {"to": to, "role": what.role, "scope": str(what.scope)}
    with translated(), engine.begin() as connection:
        alone(connection, "right")
        if connection.execute(select(right.c.right_id).where(*_is(to, what))).first():
            return False
        more = {"right_id": uuid.uuid4().hex, "by": by.subject, "at": at}
        connection.execute(insert(right).values(row | more))
        acts.append(connection, by, "right granted", row, _trust(what), at)
    return True


def withdraw(engine: Engine, by: Who, to: str, what: Right, at: float) -> bool:
    """From the next request on; what is open is closed within seconds.  Returns whether it was
    there.  Raises NotAllowed, OutputError."""
    check_may_administer(by, what.scope)
    with translated(), engine.begin() as connection:
        gone = connection.execute(delete(right).where(*_is(to, what))).rowcount
        if gone:
            ids = {"to": to, "role": what.role, "scope": str(what.scope)}
            acts.append(connection, by, "right withdrawn", ids, _trust(what), at)
    return bool(gone)


def listed(engine: Engine, seen_by: Who) -> Sequence[Given]:
    """Those that ``seen_by`` administers.  Raises OutputError."""
    scopes = {str(scope) for scope in seen_by.scopes(Role.ADMIN)}
    found = select(right).order_by(right.c.to, right.c.role, right.c.scope)
    if "region" not in scopes:
        found = found.where(right.c.scope.in_(scopes))
    with reading(engine) as connection:
        rows = connection.execute(found)
        return [Given(row.right_id, row.to, _right(row), row.by, row.at) for row in rows]


def held_by(connection: Connection, names: Iterable[str]) -> frozenset[Right]:
    """What those names have together: a person's subject and claims, or a token's name."""
    found = select(right.c.role, right.c.scope).where(right.c.to.in_(list(names)))
    return frozenset(map(_right, connection.execute(found)))


def _right(row: Any) -> Right:
    return Right(Role(row.role), Scope.of(row.scope))


def _is(to: str, what: Right) -> tuple[Any, ...]:
    return right.c.to == to, right.c.role == what.role, right.c.scope == str(what.scope)


def _trust(what: Right) -> str | None:
    return what.scope.name if what.scope.kind == "trust" else None
