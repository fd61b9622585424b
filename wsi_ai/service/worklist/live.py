"""Lines as they change, to the tabs that look at them: a part of ``/v1/live``.

``{"type": "watch", "after": SEQ, "lines": [FLAG, …], …filters}`` asks for all that changed since a
page with these lines was made, and for what changes from then on.  ``lines`` has each line as the
page shows it, or nothing where it has left that list; ``stale`` asks to load the page anew;
``looking`` says how many people have a slide of these lines open.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool

from wsi_ai.delivery.outbox.outbox import Clock
from wsi_ai.errors import OutputError
from wsi_ai.service.access.who import Role, Who
from wsi_ai.service.changes import Change, What
from wsi_ai.service.live.tabs import Message, Tab
from wsi_ai.service.worklist import lines
from wsi_ai.service.worklist.band import Band, band_of, facts
from wsi_ai.service.worklist.filters import Filters
from wsi_ai.service.worklist.lines import Changed, Line

log = logging.getLogger(__name__)

_EVERY_S = 5.0
"""A sender that falls silent says nothing: somebody has to look."""
_MOST_LINES = 500
PeopleAt = Callable[[Sequence[str]], Mapping[str, int]]
"""How many people look at each of these slides, where anybody does."""


def _nobody(slides: Sequence[str]) -> Mapping[str, int]:
    return {}


@dataclass(frozen=True, slots=True)
class Rendered:
    """How a page shows what is sent to it."""

    line: Callable[[Line, Who], str]
    band: Callable[[Band], str]


@dataclass(slots=True)
class _Watch:
    """What a tab looks at, and was told last."""

    filters: Filters
    slides: set[str]
    people: dict[str, int] = field(default_factory=dict)
    band: str | None = None


@dataclass(slots=True, eq=False)
class LinesPart:
    """See ``live.tabs.Part``."""

    engine: Engine
    rendered: Rendered
    clock: Clock
    every_s: float = _EVERY_S
    people_at: PeopleAt = _nobody
    _watching: dict[Tab, "_Watch"] = field(default_factory=dict)
    _again: asyncio.Task[None] | None = None

    @property
    def takes(self) -> frozenset[str]:
        return frozenset({"watch"})

    async def receive(self, tab: Tab, message: Message) -> None:
        """Raises ValueError, OutputError."""
        after, shown = message.get("after"), message.get("lines", [])
        if not isinstance(after, int) or isinstance(after, bool) or not 0 <= after < 1 << 53:
            raise ValueError("after: the number of a change")
        if not isinstance(shown, list) or not all(isinstance(name, str) for name in shown):
            raise ValueError("lines: names of flags")
        filters = Filters.of(message)
        slides = await run_in_threadpool(self._slides, tab, shown[:_MOST_LINES])
        self._watching[tab] = _Watch(filters, slides)
        found = await run_in_threadpool(lines.since, self.engine, tab.who, filters, after)
        self._tell(tab, found)
        await self._tell_more([tab])
        if self._again is None or self._again.done():
            self._again = asyncio.create_task(self._look_again())

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
                    among = lines.among(found, names, tab.who, self._watching[tab].filters)
                    self._tell(tab, Changed(changes[-1].seq, among))
        if any(one.what is What.SENDER for one in changes):
            await self._tell_more(list(self._watching))

    async def left(self, tab: Tab) -> None:
        self._watching.pop(tab, None)

    def _slides(self, tab: Tab, flag_ids: Sequence[str]) -> set[str]:
        """Of the lines that they may read."""
        found = lines.by_id(self.engine, flag_ids).values()
        may = [one.row for one in found if tab.who.may(Role.READ, one.row.trust, one.row.network)]
        return {row.image_sha256 for row in may}

    def _all_stale(self) -> None:
        for tab in self._watching:
            tab.send({"type": "stale"})

    def _tell(self, tab: Tab, found: Changed) -> None:
        if found.too_many:
            tab.send({"type": "stale"})
        elif found.lines and (watch := self._watching.get(tab)) is not None:
            tab.send(as_message(found, tab.who, self.rendered))
            for line in filter(None, found.lines.values()):
                watch.slides.add(line.row.image_sha256)
                watch.people.pop(line.row.image_sha256, None)  # it was made without

    async def _look_again(self) -> None:
        while self._watching:
            await asyncio.sleep(self.every_s)
            await self._tell_more(list(self._watching))

    async def _tell_more(self, tabs: Sequence[Tab]) -> None:
        """The band, and who looks, where that is another than a tab was told."""
        for tab in tabs:
            if (watch := self._watching.get(tab)) is not None:
                self._tell_people(tab, watch)
        try:
            found = await run_in_threadpool(facts, self.engine, self.clock())
        except OutputError as error:
            log.error("%s", error)  # noqa: TRY400
            return
        for tab in tabs:
            band = self.rendered.band(band_of(found, tab.who))
            watch = self._watching.get(tab)
            if watch is not None and watch.band != band:
                watch.band = band
                tab.send({"type": "band", "html": band}, instead_of="band")

    def _tell_people(self, tab: Tab, watch: _Watch) -> None:
        now = dict(self.people_at(sorted(watch.slides)))
        gone = dict.fromkeys(watch.people.keys() - now.keys(), 0)
        if news := gone | dict(now.items() - watch.people.items()):
            tab.send({"type": "looking", "slides": news})
        watch.people = now


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
