"""What people did: a table that only grows, each line bound to the one before it by its hash.

A line that was changed, taken out or put in is found by ``check``; what was cut off at the end, by
comparing with a head that was kept elsewhere.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Select, insert, literal, select

from wsi_ai.core.printable import printable
from wsi_ai.delivery.audit import START, AuditBroken, Head, kept_head
from wsi_ai.delivery.outbox.database import alone, reading
from wsi_ai.service.access.who import Role, Who, visible
from wsi_ai.service.database.tables import act

_WHAT = re.compile(r"(?=.{1,60}\Z)[a-z]+( [a-z]+)*")
_LONGEST = 500
_AT_ONCE = 1000

Ids = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Act:
    n: int
    at: float
    who: str
    what: str
    ids: Ids
    trust: str | None

    @classmethod
    def of(cls, row: Any) -> "Act":
        return cls(row.n, row.at, row.who, row.what, row.ids, row.trust)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Of a search: what is left out is not asked for."""

    who: str | None = None
    what: str | None = None
    since: float | None = None
    before: int | None = None
    """Older than this line: where the last page ended."""


def append(
    connection: Connection, who: Who, what: str, ids: Ids, trust: str | None, at: float
) -> int:
    """Inside the transaction that does it: what is written is done, and what is done is written.

    Before ``changes.note``, where that is in it too: both wait for others, always in this order.
    ``what`` is a few words (``token made``); ``ids`` name things by their ids, and no person, case
    or file.  Returns its number.  Raises ValueError for signs that no database keeps.
    """
    if not _WHAT.fullmatch(what):
        raise ValueError("an act is a few words in small letters")
    if not all(map(_is_plain, (who.subject, trust or "", *map(str, ids.values())))):
        raise ValueError("an id of an act is a line of text")
    alone(connection, "act")
    last = connection.execute(select(act.c.n, act.c.sha256).order_by(act.c.n.desc()).limit(1))
    n, before = last.one_or_none() or (0, START)
    row = {"n": n + 1, "at": at, "who": who.subject, "what": what, "ids": dict(ids)}
    row |= {"trust": trust, "before": before}
    connection.execute(insert(act).values({**row, "sha256": _digest(row)}))
    return n + 1


def check(engine: Engine, kept: str | None = None) -> Head:
    """Walk the chain; ``kept`` is a head that it had once, ``LINES:SHA256`` or the hash alone.

    Raises AuditBroken, which says at which line, or OutputError.
    """
    lines, sha256 = kept_head(kept) if kept is not None else (0, START)
    head, seen = Head(0, START), (lines, sha256) == (0, START)
    for row in _lines(engine):
        head = _next(head, row)
        seen = seen or (head.sha256 == sha256 and lines in (None, head.lines))
    if not seen:
        raise AuditBroken(
            f"its {head.lines} lines hold together, but it never had the head that was kept:"
            " lines were cut off, or the chain was made anew"
        )
    return head


def search(engine: Engine, seen_by: Who, wanted: Wanted, most: int = 500) -> Sequence[Act]:
    """The newest first: those of the trusts that an administrator is one of.  Raises
    OutputError."""
    if not all(map(_is_plain, (wanted.who or "", wanted.what or ""))):
        return []  # nobody is called so, and PostgreSQL would not even look
    with reading(engine) as connection:
        found = _found(seen_by, wanted).order_by(act.c.n.desc()).limit(most)
        return [Act.of(row) for row in connection.execute(found)]


def _found(seen_by: Who, wanted: Wanted) -> Select[Any]:
    found = select(act).where(visible(seen_by, Role.ADMIN, act.c.trust, literal(None)))
    if wanted.who is not None:
        found = found.where(act.c.who == wanted.who)
    if wanted.what is not None:
        found = found.where(act.c.what == wanted.what)
    if wanted.since is not None:
        found = found.where(act.c.at >= wanted.since)
    if wanted.before is not None:
        found = found.where(act.c.n < wanted.before)
    return found


def _lines(engine: Engine) -> Iterator[Mapping[str, Any]]:
    """In order, some at a time: the table is longer than memory may be."""
    after = -1
    while True:
        found = select(act).where(act.c.n > after).order_by(act.c.n).limit(_AT_ONCE)
        with reading(engine) as connection:
            rows = [dict(row) for row in connection.execute(found).mappings()]
        yield from rows
        if len(rows) < _AT_ONCE:
            return
        after = rows[-1]["n"]


def _next(head: Head, row: Mapping[str, Any]) -> Head:
    number = head.lines + 1
    if row["n"] != number or row["before"] != head.sha256:
        raise AuditBroken(f"line {number} does not follow the one before it")
    if row["sha256"] != _digest(row):
        raise AuditBroken(f"line {number} is not what was written")
    return Head(number, row["sha256"])


def _digest(row: Mapping[str, Any]) -> str:
    bound = [row[name] for name in ("n", "at", "who", "what", "ids", "trust", "before")]
    text = json.dumps(bound, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _is_plain(text: str) -> bool:
    return len(text) <= _LONGEST and printable(text) == text
