"""How many lines there are of each kind: counted again after a change, and no sooner."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from wsi_ai.delivery.outbox.database import reading
from wsi_ai.delivery.receiver.tables import change, newest
from wsi_ai.service.access.who import Role, Scope, Who
from wsi_ai.service.worklist.lines import seen_by

_BY = (
    newest.c.trust, newest.c.network, newest.c.level, newest.c.acknowledged, newest.c.model,
    newest.c.stain,
)  # fmt: skip
_MOST_KEPT = 256
Numbers = Sequence[tuple[Any, int]]
"""Trust, network, level, acknowledged or not, model and stain of lines, and their number."""


@dataclass(slots=True)
class Counts:
    """Of one process.  Whoever may read the same trusts is told the same."""

    engine: Engine
    _known: dict[frozenset[Scope], tuple[int, Numbers]] = field(default_factory=dict)
    _alone: threading.Lock = field(default_factory=threading.Lock)

    def of(self, who: Who) -> Numbers:
        """Raises OutputError."""
        scopes = who.scopes(Role.READ)
        with reading(self.engine, "worklist") as connection:
            seq = connection.scalar(select(func.max(change.c.seq))) or 0
            known = self._known.get(scopes)
            if known is not None and known[0] == seq:
                return known[1]
            found = _counted(connection, who)
        with self._alone:
            if len(self._known) >= _MOST_KEPT:
                self._known.clear()
            self._known[scopes] = seq, found
        return found


def _counted(connection: Connection, who: Who) -> Numbers:
    found = select(*_BY, func.count().label("n")).where(newest.c.listed.is_(True), seen_by(who))
    return [(row, row.n) for row in connection.execute(found.group_by(*_BY))]
