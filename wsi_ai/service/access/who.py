"""Who asks, what they may do, and which rows they see.  Pure.

Every question about rights goes through ``Who.may`` (one thing) or ``visible`` (a query): a slide
of another trust is not forbidden, it is not there.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, false, or_, true

_REGION = "region"


class Role(StrEnum):
    SUBMIT = "submit"
    READ = "read"
    ACKNOWLEDGE = "acknowledge"
    ANNOTATE = "annotate"
    OPERATE = "operate"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Scope:
    """``trust:RXX``, ``network:N1``, or ``region``: all of them."""

    kind: str
    name: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if (self.kind == _REGION) != (not self.name) or self.kind not in _KINDS:
            raise ValueError("a scope is trust:CODE, network:NAME or region")

    @classmethod
    def of(cls, text: str) -> "Scope":
        """Raises ValueError."""
        kind, _, name = text.partition(":")
        return cls(kind, name)

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind

    def covers(self, trust: str | None, network: str | None) -> bool:
        """What belongs to nobody that is known is the region's alone."""
        return self.kind == _REGION or self.name == (trust if self.kind == "trust" else network)


_KINDS = frozenset({"trust", "network", _REGION})
REGION = Scope(_REGION)


@dataclass(frozen=True, slots=True)
class Right:
    role: Role
    scope: Scope


@dataclass(frozen=True, slots=True)
class Who:
    """A person or a program, as the request proved."""

    subject: str
    """``subject:…`` of a person, ``token:…`` of a program: unique, and written down."""
    name: str
    """As people know them; it may be personal data, and is shown to colleagues only."""
    rights: frozenset[Right]
    trust: str | None = None
    """Where they work, where that is known."""
    opened: frozenset[tuple[str, str]] = frozenset()
    """Slides of other trusts that are shared with them now: fingerprint, and whose it is."""

    def may(self, role: Role, trust: str | None, network: str | None = None) -> bool:
        return any(r.role is role and r.scope.covers(trust, network) for r in self.rights)

    def sees(self, slide: str, trust: str, network: str | None = None) -> bool:
        """Whether the slide is there for them: by right, or because somebody shares it."""
        return self.may(Role.READ, trust, network) or (slide, trust) in self.opened

    def may_somewhere(self, role: Role) -> bool:
        return any(r.role is role for r in self.rights)

    def scopes(self, role: Role) -> frozenset[Scope]:
        return frozenset(r.scope for r in self.rights if r.role is role)


def visible(
    who: Who, role: Role, trust: ColumnElement[Any], network: ColumnElement[Any]
) -> ColumnElement[bool]:
    """Of a query: the rows for which they have the role."""
    scopes = who.scopes(role)
    if REGION in scopes:
        return true()
    trusts = _names(scopes, "trust")
    networks = _names(scopes, "network")
    return or_(false(), trust.in_(trusts), network.in_(networks))


def _names(scopes: Iterable[Scope], kind: str) -> list[str]:
    return sorted(scope.name for scope in scopes if scope.kind == kind)


ONE_PERSON = Who("subject:here", "you", frozenset(Right(role, REGION) for role in Role), trust=None)
"""On one machine, with one person, nobody else is kept out."""


def account(name: str) -> Who:
    """Whoever types commands here, under the name of their account: the database is theirs."""
    return Who(f"account:{name}", name, frozenset(Right(role, REGION) for role in Role))
