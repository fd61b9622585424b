"""The door of a service with people in it: a token or a session, and the rights that they have
now."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, Engine
from starlette.requests import HTTPConnection

from wsi_ai.delivery.outbox.database import reading
from wsi_ai.service.access import rights, sessions, shares, tokens
from wsi_ai.service.access.door import NotKnown
from wsi_ai.service.access.loopback import PERSON
from wsi_ai.service.access.site import Site
from wsi_ai.service.access.who import ONE_PERSON, Who

SESSION = "wsi-ai"
_BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class AccessDoor:
    """Three small queries a request; nothing is remembered, so that what ends, ends."""

    engine: Engine
    clock: Callable[[], float]
    site: Site

    def who(self, connection: HTTPConnection) -> Who:
        """See ``Door.who``.  A token that is given counts, and then no cookie does."""
        given = bearer_of(connection)
        if given is not None:
            return self._program(given)
        return self._person(connection)

    def _program(self, given: str) -> Who:
        now = self.clock()
        with reading(self.engine) as found:
            token = tokens.known(found, given, now)
            if token is None:
                raise NotKnown("the token is unknown, has ended or was revoked")
            return _who(found, sessions.Person(token.subject, token.name), now)

    def _person(self, connection: HTTPConnection) -> Who:
        now, secret = self.clock(), session_of(connection, self.site)
        if secret is None:
            raise NotKnown("a token, or a session, is needed")
        with reading(self.engine) as found:
            session = sessions.known(found, secret, now)
            if session is None:
                raise NotKnown("the session is over: log in again")
            who = _who(found, session.person, now)
        # An open tab alone keeps no session: its socket asks every few seconds.
        if connection.scope["type"] == "http" and session.needs_noting(now):
            sessions.note_use(self.engine, session, now)
        return who


@dataclass(frozen=True, slots=True)
class OnePersonDoor:
    """For one person on this machine, whom ``OnePersonGuard`` has let in; programs have tokens."""

    access: AccessDoor

    def who(self, connection: HTTPConnection) -> Who:
        if bearer_of(connection) is not None:
            return self.access.who(connection)
        if not connection.scope.get(PERSON, False):
            raise NotKnown("a token is needed")
        return ONE_PERSON


def bearer_of(connection: HTTPConnection) -> str | None:
    """``None`` where there is none.  Raises NotKnown where it is not clear which."""
    given = connection.headers.getlist("authorization")
    if not given:
        return None
    if len(given) > 1 or not given[0].lower().startswith(_BEARER):
        raise NotKnown("one Authorization: Bearer wsi_… is needed")
    return given[0][len(_BEARER) :].strip()


def session_of(connection: HTTPConnection, site: Site) -> str | None:
    """The session's secret, where the browser has one, and one only."""
    return cookie_of(connection, site.cookie(SESSION))


def cookie_of(connection: HTTPConnection, name: str) -> str | None:
    lines = connection.headers.getlist("cookie")
    pairs = [pair.strip().partition("=") for line in lines for pair in line.split(";")]
    found = [value for key, _, value in pairs if key == name]
    return found[0] if len(found) == 1 else None


def _who(reading: Connection, person: sessions.Person, now: float) -> Who:
    return Who(
        person.subject,
        person.name,
        rights.held_by(reading, person.names),
        person.trust,
        shares.opened_to(reading, person.subject, person.trust, now),
    )
