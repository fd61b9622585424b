"""What was received: every event once, and of each flag the newest revision."""

import itertools
import json
import re
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from wsi_ai.core.timing import timestamp
from wsi_ai.delivery import trial_event
from wsi_ai.delivery.events import answer_digest
from wsi_ai.delivery.flag_types import Heartbeat, TriageFlag
from wsi_ai.delivery.messages import Held
from wsi_ai.delivery.receiver.completeness import is_troubled
from wsi_ai.delivery.succession import Standing, as_json, held_of, standing
from wsi_ai.schemas.reading import from_json

_TABLES = """
CREATE TABLE IF NOT EXISTS arrival (
  n INTEGER PRIMARY KEY, event_id TEXT, flag_id TEXT, revision INTEGER, at REAL, became TEXT);
CREATE TABLE IF NOT EXISTS newest (
  flag_id TEXT PRIMARY KEY, revision INTEGER, event_id TEXT, at REAL, flag TEXT, answer TEXT);
CREATE TABLE IF NOT EXISTS heard (
  sender TEXT PRIMARY KEY, at REAL, told TEXT, since REAL);
CREATE TABLE IF NOT EXISTS audit_head (
  n INTEGER PRIMARY KEY, sender TEXT, at REAL, lines INTEGER, sha256 TEXT);
CREATE INDEX IF NOT EXISTS audit_head_sender ON audit_head (sender, n);
CREATE INDEX IF NOT EXISTS arrival_event ON arrival (event_id);
"""
_HEAD = re.compile(r"[0-9]{1,15}:[0-9a-f]{64}")
HEARTBEAT = "org.wsi_ai.heartbeat.v1"
_MISSED = 3
"""So many heartbeats in a row, and the sender is silent."""
_URGENCY = {"expedite": 0, "not_assessed": 1, "standard": 2}


class Became(StrEnum):
    """What an event did to the worklist."""

    NEWEST = "newest"
    DUPLICATE = "duplicate"
    OUTDATED = "outdated"
    CONFLICT = "conflict"
    """Another answer than the one that is held, by someone who does not know of it: refused."""


_BECAME = {
    Standing.FOLLOWS: Became.NEWEST,
    Standing.KNOWN: Became.OUTDATED,
    Standing.CONFLICTS: Became.CONFLICT,
}


@dataclass(frozen=True, slots=True)
class Event:
    """A CloudEvent whose data is a flag that satisfies the schema."""

    event_id: str
    flag: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Beat:
    """A CloudEvent that says that the sender is alive."""

    event_id: str
    heartbeat: Heartbeat
    audit_head: str | None = None
    """``LINES:SHA256``: the end of the sender's audit, to be kept where the sender cannot reach."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A CloudEvent that tries the connection: nothing is kept of it, and it is shown nobody."""

    event_id: str


def parse(body: bytes) -> Event | Beat | Trial:
    """Raises ValueError, whose text quotes nothing of the flag."""
    try:
        event = from_json(body)
        event_id, data, kind = event["id"], event["data"], event["type"]
        head = event.get("audithead")
        known = event["specversion"] == "1.0" and isinstance(event_id, str)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError("not a CloudEvent in structured mode") from None
    if not known:
        raise ValueError("not a CloudEvent of version 1.0")
    if kind == trial_event.TYPE:
        return Trial(event_id)
    if kind == HEARTBEAT:
        if head is not None and not (isinstance(head, str) and _HEAD.fullmatch(head)):
            raise ValueError("the head of an audit is LINES:SHA256")
        return Beat(event_id, Heartbeat.model_validate(data), head)
    TriageFlag.model_validate(data)
    return Event(event_id, data)


_HELD = (
    "SELECT flag_id, revision, event_id, answer, json_extract(flag, '$.action') = 'retract'"
    " FROM newest"
)


def _held(row: Sequence[Any]) -> Held:
    revision, event_id, answer, retracted = row
    return Held(revision, event_id, answer, bool(retracted))


class Inbox:
    """Kept in one SQLite file; an event that was answered for is on the disk."""

    def __init__(self, path: Path | str) -> None:
        self._lock = threading.Lock()
        if path != ":memory:":
            Path(path).touch(0o600)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_TABLES)
        self._take_over()

    def take(self, event: Event, at: float) -> Became:
        """Keep an event.  The worklist changes where it follows the one that is held: so
        duplicates, late arrivals and replays do no harm, and nobody overrules an answer unseen."""
        flag, flag_id = event.flag, event.flag["flag_id"]
        with self._lock, self._db:
            self._db.execute("BEGIN IMMEDIATE")
            became = self._became(event)
            self._db.execute(
                "INSERT INTO arrival (event_id, flag_id, revision, at, became)"
                " VALUES (?, ?, ?, ?, ?)",
                (event.event_id, flag_id, flag["revision"], at, became),
            )
            if became is Became.NEWEST:
                held = held_of(flag, event.event_id)
                row = (flag_id, held.revision, held.event_id, at, json.dumps(flag), held.answer)
                self._db.execute("INSERT OR REPLACE INTO newest VALUES (?, ?, ?, ?, ?, ?)", row)
        return became

    def hear(self, beat: Beat, at: float) -> None:
        """Of each sender the last one; one of version 1.0 is known by whose flags it sends."""
        heartbeat = beat.heartbeat
        sender = heartbeat.sender or json.dumps(heartbeat.trusts)
        row = (sender, at, heartbeat.model_dump_json(exclude_unset=True))
        with self._lock, self._db:
            since = self._troubled_since(sender, at) if is_troubled(json.loads(row[2])) else None
            self._db.execute("INSERT OR REPLACE INTO heard VALUES (?, ?, ?, ?)", (*row, since))
            if beat.audit_head is not None:
                self._keep_head(row[0], at, beat.audit_head)

    def senders(self, now: float) -> list[dict[str, Any]]:
        """Who says to be alive, and who no longer does: then nothing that is shown is complete."""
        with self._lock:
            rows = self._db.execute(
                "SELECT sender, at, told, since FROM heard ORDER BY sender"
            ).fetchall()
            heads = {name: self._heads(name) for name, *_ in rows}
        return [
            _sender(at, json.loads(told), since, now) | _audit(heads[name])
            for name, at, told, since in rows
        ]

    def _troubled_since(self, sender: str, at: float) -> float:
        """When it first said so, of all the heartbeats since that said so too."""
        row = self._db.execute("SELECT since FROM heard WHERE sender = ?", (sender,)).fetchone()
        return at if row is None or row[0] is None else float(row[0])

    def _keep_head(self, sender: str, at: float, head: str) -> None:
        """Where it is another than the last."""
        lines, _, sha256 = head.partition(":")
        if self._heads(sender)[-1:] != [(int(lines), sha256)]:
            self._db.execute(
                "INSERT INTO audit_head (sender, at, lines, sha256) VALUES (?, ?, ?, ?)",
                (sender, at, int(lines), sha256),
            )

    def _heads(self, sender: str) -> list[tuple[int, str]]:
        rows = self._db.execute(
            "SELECT lines, sha256 FROM audit_head WHERE sender = ? ORDER BY n", (sender,)
        )
        return list(rows)

    def worklist(self) -> list[dict[str, Any]]:
        """Flags that hold, the most urgent first; one that was taken back is not among them."""
        live = [flag for flag in self._flags() if flag["action"] != "retract"]
        order = sorted(
            live, key=lambda f: (_URGENCY[f["result"]["level"]], f["timestamps"]["issued"])
        )
        return [_line(flag) for flag in order]

    def held(self) -> list[dict[str, Any]]:
        """The newest revision of every flag, taken back or not: for the sender to compare."""
        with self._lock:
            rows = self._db.execute(f"{_HELD} ORDER BY flag_id").fetchall()
        return [{"flag_id": flag_id, **as_json(_held(row))} for flag_id, *row in rows]

    def holds(self, flag_id: str) -> Held | None:
        with self._lock:
            return self._holds(flag_id)

    def arrivals(self) -> list[tuple[str, str, int, str]]:
        """Event id, flag id, revision and what it became, in the order of arrival."""
        with self._lock:
            rows = self._db.execute(
                "SELECT event_id, flag_id, revision, became FROM arrival ORDER BY n"
            )
            return list(rows)

    def close(self) -> None:
        self._db.close()

    def _take_over(self) -> None:
        """What an earlier version kept."""
        with suppress(sqlite3.OperationalError):  # it is there
            self._db.execute("ALTER TABLE newest ADD COLUMN answer TEXT")
        with suppress(sqlite3.OperationalError):  # it is there
            self._db.execute("ALTER TABLE heard ADD COLUMN since REAL")
        with suppress(sqlite3.OperationalError):  # there is none
            self._db.execute(
                "INSERT OR IGNORE INTO heard SELECT trusts, at, told, NULL FROM sender"
            )
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            lacking = "SELECT flag_id, flag FROM newest WHERE answer IS NULL"
            for flag_id, text in self._db.execute(lacking).fetchall():
                row = (answer_digest(json.loads(text)), flag_id)
                self._db.execute("UPDATE newest SET answer = ? WHERE flag_id = ?", row)

    def _became(self, event: Event) -> Became:
        seen = self._db.execute(
            "SELECT 1 FROM arrival WHERE event_id = ? AND became != ?",
            (event.event_id, Became.CONFLICT),
        )
        if seen.fetchone():
            return Became.DUPLICATE
        return _BECAME[standing(event.flag, self._holds(event.flag["flag_id"]))]

    def _holds(self, flag_id: str) -> Held | None:
        row = self._db.execute(f"{_HELD} WHERE flag_id = ?", (flag_id,)).fetchone()
        return _held(row[1:]) if row else None

    def _flags(self) -> list[dict[str, Any]]:
        with self._lock:
            return [json.loads(text) for (text,) in self._db.execute("SELECT flag FROM newest")]


def _line(flag: dict[str, Any]) -> dict[str, Any]:
    """What a person at the worklist is shown: the level never stands without its statement."""
    case, result = flag["case"], flag["result"]
    return {
        "flag_id": flag["flag_id"],
        "revision": flag["revision"],
        "trust": flag["tenant"]["trust_ods"] if flag["tenant"] else None,
        "accession": case["accession"]["value"] if case else None,
        "slide": flag["slide"]["slide_id"]["value"],
        "level": result["level"],
        "explanation": result["explanation"],
        "score": result["score"],
        "threshold": result["threshold"]["value"],
        "analysed_fraction": flag["qc"]["analysed_fraction"],
        "model": f"{flag['model']['name']} {flag['model']['version']}",
        "issued": flag["timestamps"]["issued"],
        "statement": flag["regulatory"]["statement"],
    }


def _audit(heads: list[tuple[int, str]]) -> dict[str, Any]:
    """The last head, and whether the audit ever became shorter, or another, than it had been."""
    grew = all(a[0] < b[0] for a, b in itertools.pairwise(heads))
    last = f"{heads[-1][0]}:{heads[-1][1]}" if heads else None
    return {"audit_head": last, "audit_holds": grew if heads else None}


def _sender(at: float, told: dict[str, Any], since: float | None, now: float) -> dict[str, Any]:
    shown = ("trusts", "waiting", "dead", "oldest_waiting", "newest_flag")
    newer = ("sender", "waiting_elsewhere", "run_not_started", "extensions")
    silent = now - at > _MISSED * told["every_s"]
    troubled = at if is_troubled(told) and since is None else since
    return {
        "silent": silent,
        "heard": _time(at),
        "incomplete_since": _time(at if silent and troubled is None else troubled),
        **{name: told[name] for name in shown},
        **{name: told.get(name) for name in newer},
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else timestamp(datetime.fromtimestamp(seconds, UTC))
