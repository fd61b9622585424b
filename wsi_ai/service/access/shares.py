"""One slide, opened to somebody of elsewhere for one consult, until a time."""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, delete, insert, select

from wsi_ai.core.timing import DAY_S
from wsi_ai.delivery.outbox.database import reading, translated
from wsi_ai.errors import InputError
from wsi_ai.service import changes
from wsi_ai.service.access import acts
from wsi_ai.service.access.names import is_line
from wsi_ai.service.access.rights import NotAllowed
from wsi_ai.service.access.who import Role, Who
from wsi_ai.service.changes import What
from wsi_ai.service.database.tables import share

LONGEST_S = 90 * DAY_S
TO = r"subject:.+|trust:[A-Za-z0-9._-]+"
_TO = re.compile(TO)


@dataclass(frozen=True, slots=True)
class Slide:
    """One trust's: the same bytes at another trust are another one."""

    sha256: str
    trust: str
    network: str | None = None


@dataclass(frozen=True, slots=True)
class Share:
    share_id: str
    slide: str
    to: str
    trust: str
    """Whose slide it is."""
    by: str
    made: float
    until: float


def make(engine: Engine, by: Who, slide: Slide, to: tuple[str, float], at: float) -> Share:
    """``to`` is whom (``subject:ID`` or ``trust:CODE``), and until when.  It opens that slide and
    nothing else, from the next request on.  Raises InputError, NotAllowed, OutputError."""
    whom, until = to
    if not (_TO.fullmatch(whom) and is_line(whom)):
        raise InputError("a slide is shared with subject:ID or trust:CODE")
    if not at < until <= at + LONGEST_S:
        raise InputError("a share ends, after it begins and within 90 days")
    if not by.may(Role.ANNOTATE, slide.trust, slide.network):
        raise NotAllowed("to share a slide takes the right to annotate it")
    made = Share(uuid.uuid4().hex, slide.sha256, whom, slide.trust, by.subject, at, until)
    with translated(), engine.begin() as connection:
        connection.execute(delete(share).where(share.c.until <= at))
        connection.execute(insert(share).values(_row(made)))
        ids = {"share": made.share_id, "slide": slide.sha256, "to": whom}
        acts.append(connection, by, "share made", ids, slide.trust, at)
        changes.note(connection, What.ROOM, slide.sha256, at, (slide.trust, slide.network))
    return made


def end(engine: Engine, by: Who, share_id: str, at: float) -> bool:
    """Whoever made it ends it, or whoever may annotate that trust's slides.  Returns whether there
    was one that they may end.  Raises OutputError."""
    with translated(), engine.begin() as connection:
        row = connection.execute(select(share).where(share.c.share_id == share_id)).first()
        if row is None or not (row.by == by.subject or by.may(Role.ANNOTATE, row.trust)):
            return False
        connection.execute(delete(share).where(share.c.share_id == share_id))
        ids = {"share": share_id, "slide": row.slide, "to": row.to}
        acts.append(connection, by, "share ended", ids, row.trust, at)
        changes.note(connection, What.ROOM, row.slide, at, (row.trust, None))
    return True


def of_slide(engine: Engine, slide: Slide, now: float) -> Sequence[Share]:
    """Those that hold, the newest first.  That the asker may see them is the caller's to know.
    Raises OutputError."""
    here = share.c.slide == slide.sha256, share.c.trust == slide.trust
    found = select(share).where(*here, _holds(now)).order_by(share.c.made.desc())
    with reading(engine) as connection:
        rows = connection.execute(found)
        return [Share(**row) for row in rows.mappings()]


def opened_to(
    connection: Connection, subject: str, trust: str | None, now: float
) -> frozenset[tuple[str, str]]:
    """Slides that are shared with them now."""
    to = [subject] if trust is None else [subject, f"trust:{trust}"]
    found = select(share.c.slide, share.c.trust).where(share.c.to.in_(to), _holds(now))
    return frozenset((row.slide, row.trust) for row in connection.execute(found))


def _holds(now: float) -> ColumnElement[Any]:
    """What was made in the future was so before the clock was set back, and would hold too long."""
    return and_(share.c.until > now, share.c.until <= now + LONGEST_S)


def _row(one: Share) -> dict[str, Any]:
    return {
        "share_id": one.share_id, "slide": one.slide, "to": one.to, "trust": one.trust,
        "by": one.by, "made": one.made, "until": one.until,
    }  # fmt: skip
