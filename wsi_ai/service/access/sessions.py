"""Sessions of people at browsers: kept here, so that one can be ended; the browser has a secret.

A session begins with a new secret, whatever the browser had before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, delete, insert, select, update

from wsi_ai.delivery.outbox.database import reading, translated
from wsi_ai.delivery.outbox.states import SKEW_S
from wsi_ai.service.access import acts
from wsi_ai.service.access.names import digest, new_secret
from wsi_ai.service.access.who import Who
from wsi_ai.service.database.tables import session

IDLE_S = 1800.0
WHOLE_S = 12 * 3600.0
_NOTED_EVERY_S = 60.0
"""How often it is written down that a session is in use: not at each tile of a slide."""


@dataclass(frozen=True, slots=True)
class Person:
    """As who logged them in knows them."""

    subject: str
    name: str
    trust: str | None = None
    claims: Sequence[str] = ()
    """``NAME=VALUE``, of those claims only that rights may be given to."""

    @property
    def names(self) -> list[str]:
        """What rights may be given to."""
        return [self.subject, *(f"claim:{claim}" for claim in self.claims)]


@dataclass(frozen=True, slots=True)
class Session:
    person: Person
    sha256: str
    used: float

    def needs_noting(self, now: float) -> bool:
        return abs(now - self.used) >= _NOTED_EVERY_S


def begin(engine: Engine, person: Person, at: float) -> str:
    """The secret for the browser.  Sessions that are over are swept out.  Raises OutputError."""
    secret = new_secret()
    row = {
        "sha256": digest(secret),
        "subject": person.subject,
        "name": person.name,
        "trust": person.trust,
        "claims": list(person.claims),
        "made": at,
        "used": at,
        "until": at + WHOLE_S,
    }
    who = Who(person.subject, person.name, frozenset())
    with translated(), engine.begin() as connection:
        connection.execute(delete(session).where(~_open(at)))
        connection.execute(insert(session).values(row))
        acts.append(connection, who, "logged in", {}, person.trust, at)
    return secret


def known(connection: Connection, secret: str, now: float) -> Session | None:
    found = select(session).where(session.c.sha256 == digest(secret), _open(now))
    row = connection.execute(found).first()
    if row is None:
        return None
    person = Person(row.subject, row.name, row.trust, tuple(row.claims))
    return Session(person, row.sha256, row.used)


def note_use(engine: Engine, one: Session, now: float) -> None:
    """Raises OutputError."""
    with translated(), engine.begin() as connection:
        connection.execute(update(session).where(session.c.sha256 == one.sha256).values(used=now))


def end(engine: Engine, secret: str, at: float) -> bool:
    """Returns whether there was one.  Raises OutputError."""
    with translated(), engine.begin() as connection:
        one = known(connection, secret, at)
        if one is None:
            return False
        who = Who(one.person.subject, one.person.name, frozenset())
        connection.execute(delete(session).where(session.c.sha256 == one.sha256))
        acts.append(connection, who, "logged out", {}, one.person.trust, at)
    return True


def purge(engine: Engine, now: float) -> int:
    """Forget those that are over.  Raises OutputError."""
    with translated(), engine.begin() as connection:
        return connection.execute(delete(session).where(~_open(now))).rowcount


def count(engine: Engine, now: float) -> int:
    """Of those that hold.  Raises OutputError."""
    with reading(engine) as connection:
        found = select(session.c.sha256).where(_open(now))
        return len(connection.execute(found).all())


def _open(now: float) -> ColumnElement[Any]:
    """What was used in the future was so before the clock was set back: it does not hold."""
    used = session.c.used
    return and_(session.c.until > now, used > now - IDLE_S, used <= now + SKEW_S)
