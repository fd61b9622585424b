"""Tokens of programs: shown once, when they are made; kept as their SHA-256."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, insert, select, update

from wsi_ai.core.timing import DAY_S
from wsi_ai.delivery.outbox.database import alone, reading, translated
from wsi_ai.delivery.outbox.states import SKEW_S
from wsi_ai.errors import InputError
from wsi_ai.service.access import acts
from wsi_ai.service.access.names import TOKEN_NAME, digest, new_secret
from wsi_ai.service.access.rights import NotAllowed, check_may_administer
from wsi_ai.service.access.rights import held_by as rights_of
from wsi_ai.service.access.who import Right, Role, Who
from wsi_ai.service.database.tables import token

PREFIX = "wsi_"
LONGEST_S = 3660 * DAY_S
_TOKEN = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")
_NAME = re.compile(TOKEN_NAME)


@dataclass(frozen=True, slots=True)
class Token:
    name: str
    made: float
    until: float | None
    revoked: float | None

    @property
    def subject(self) -> str:
        return f"token:{self.name}"

    def holds(self, now: float) -> bool:
        """A token of the future means that the clock was set back: it is not taken."""
        ended = self.revoked is not None or (self.until is not None and self.until <= now)
        return not ended and self.made <= now + SKEW_S


def make(engine: Engine, by: Who, name: str, until: float | None, at: float) -> str:
    """The token, which nobody can read again.  It has no rights yet: ``rights.grant``.

    A name is used once: whatever was written down of it is about one program.  Raises InputError
    where it was used, NotAllowed, OutputError.
    """
    if not _NAME.fullmatch(name):
        raise InputError("a token's name has letters, digits, '.', '_' and '-', 64 at most")
    if until is not None and not at < until <= at + LONGEST_S:
        raise InputError("a token ends after it is made, and within ten years")
    if not by.may_somewhere(Role.ADMIN):
        raise NotAllowed("an administrator makes tokens")
    text = PREFIX + new_secret()
    row = {"sha256": digest(text), "name": name, "made": at, "until": until}
    with translated(), engine.begin() as connection:
        alone(connection, "token")
        if connection.execute(select(token.c.name).where(token.c.name == name)).first():
            raise InputError("a token had this name already: take another one")
        connection.execute(insert(token).values(row))
        acts.append(connection, by, "token made", {"token": name}, None, at)
    return text


def revoke(engine: Engine, by: Who, name: str, at: float) -> bool:
    """From the next request on it opens nothing; open sockets of it are closed within seconds.

    Returns whether it did until now.  Raises NotAllowed where it has rights that ``by`` does not
    administer, OutputError.
    """
    held = token.c.name == name, token.c.revoked.is_(None)
    with translated(), engine.begin() as connection:
        if connection.execute(select(token.c.name).where(*held)).first() is None:
            return False
        for right in rights_of(connection, [f"token:{name}"]):
            check_may_administer(by, right.scope)
        if not by.may_somewhere(Role.ADMIN):
            raise NotAllowed("an administrator revokes tokens")
        done = connection.execute(update(token).where(*held).values(revoked=at)).rowcount
        if done:
            acts.append(connection, by, "token revoked", {"token": name}, None, at)
    return bool(done)


def listed(engine: Engine) -> Sequence[tuple[Token, frozenset[Right]]]:
    """All that were ever made, by name, with their rights.  Raises OutputError."""
    with reading(engine) as connection:
        found = [_token(row) for row in connection.execute(select(token).order_by(token.c.name))]
        return [(one, rights_of(connection, [one.subject])) for one in found]


def known(connection: Connection, text: str, now: float) -> Token | None:
    """Whose token it is, where it opens anything."""
    if not _TOKEN.fullmatch(text):
        return None
    return _held(connection, token.c.sha256 == digest(text), now)


def named(connection: Connection, name: str, now: float) -> Token | None:
    return _held(connection, token.c.name == name, now)


def _held(connection: Connection, where: Any, now: float) -> Token | None:
    row = connection.execute(select(token).where(where)).first()
    found = _token(row) if row is not None else None
    return found if found is not None and found.holds(now) else None


def _token(row: Any) -> Token:
    return Token(row.name, row.made, row.until, row.revoked)
