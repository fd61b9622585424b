"""Lines as they change, to the tabs that look at them: a part of ``/v1/live``.

``{"type": "watch", "after": SEQ, …filters}`` asks for all that changed since a page was made, and
for what changes from then on.  ``lines`` has each line as the page shows it, or nothing where it
has left that list; ``stale`` asks to load the page anew.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool

from wsi_ai.delivery.outbox.outbox import Clock
from wsi_ai.errors import OutputError
from wsi_ai.service.access.who import Who
from wsi_ai.service.changes import Change, What
from wsi_ai.service.live.tabs import Message, Tab
from wsi_ai.service.worklist import lines
from wsi_ai.service.worklist.band import Band, band_of, facts
from wsi_ai.service.worklist.filters import Filters
from wsi_ai.service.worklist.lines import Changed, Line

log = logging.getLogger(__name__)

_BAND_EVERY_S = 5.0
"""A sender that falls silent says nothing: somebody has to look."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """How a page shows what is sent to it."""

    line: Callable[[Line, Who], str]
    band: Callable[[Band], str]


@dataclass(slots=True, eq=False)
class LinesPart:
    """See ``live.tabs.Part``."""

    engine: Engine
    rendered: Rendered
    clock: Clock
    band_every_s: float = _BAND_EVERY_S
    _watching: dict[Tab, Filters] = field(default_factory=dict)
    _bands: dict[Tab, str] = field(default_factory=dict)
    _looking: asyncio.Task[None] | None = None

    @property
    def takes(self) -> frozenset[str]:
        return frozenset({"watch"})

    async def said(self, tab: Tab, message: Message) -> None:
        """Raises ValueError, OutputError."""
        after = message.get("after")
        if not isinstance(after, int) or isinstance(after, bool) or not 0 <= after < 1 << 53:
            raise ValueError("after: the number of a change")
        filters = Filters.of(message)
        self._watching[tab] = filters
        found = await run_in_threadpool(lines.since, self.engine, tab.who, filters, after)
        self._tell(tab, found)
        await self._tell_bands([tab])
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_at_bands())

    async def changed(self, changes: Sequence[Change]) -> None:
        theirs = {tab: lines.concerning(tab.who, changes) for tab in self._watching}
        wanted = {name for names in theirs.values() for name in names}
        if wanted:
            try:
                found = await run_in_threadpool(lines.by_id, self.engine, wanted)
            except OutputError:
                self._all_stale()
                return
            for tab, names in theirs.items():
                if tab in self._watching and names:
                    among = lines.among(found, names, tab.who, self._watching[tab])
                    self._tell(tab, Changed(changes[-1].seq, among))
        if any(one.what is What.SENDER for one in changes):
            await self._tell_bands(list(self._watching))

    async def left(self, tab: Tab) -> None:
        self._watching.pop(tab, None)
        self._bands.pop(tab, None)

    def _all_stale(self) -> None:
        for tab in self._watching:
            tab.send({"type": "stale"})

    def _tell(self, tab: Tab, found: Changed) -> None:
        if found.too_many:
            tab.send({"type": "stale"})
        elif found.lines:
            tab.send(as_message(found, tab.who, self.rendered))

    async def _look_at_bands(self) -> None:
        while self._watching:
            await asyncio.sleep(self.band_every_s)
            await self._tell_bands(list(self._watching))

    async def _tell_bands(self, tabs: Sequence[Tab]) -> None:
        """Those of whose list it is another one than they were told."""
        try:
            found = await run_in_threadpool(facts, self.engine, self.clock())
        except OutputError as error:
            log.error("%s", error)  # noqa: TRY400
            return
        for tab in tabs:
            band = self.rendered.band(band_of(found, tab.who))
            if tab in self._watching and self._bands.get(tab) != band:
                self._bands[tab] = band
                tab.send({"type": "band", "html": band}, instead_of="band")


def as_message(found: Changed, who: Who, rendered: Rendered) -> dict[str, Any]:
    """For a page that knows where each line belongs: ``key`` says it."""
    told = [
        {"id": name, "html": None}
        if line is None
        else {
            "id": name,
            "html": rendered.line(line, who),
            "key": line.key,
            "urgent": line.row.urgency == 0 and not line.row.acknowledged,
        }
        for name, line in found.lines.items()
    ]
    return {"type": "lines", "seq": found.seq, "lines": told}
