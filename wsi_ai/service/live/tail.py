"""Follows what is written down, by this process or another, and tells whoever waits for it."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool

from wsi_ai.core.timing import DAY_S
from wsi_ai.delivery.outbox.outbox import Clock
from wsi_ai.errors import OutputError
from wsi_ai.service import changes
from wsi_ai.service.changes import Change

log = logging.getLogger(__name__)

_KEPT_S = 2 * DAY_S


class Follower(Protocol):
    async def changed(self, changes: Sequence[Change]) -> None: ...

    def missed(self) -> None:
        """Some changes were forgotten before they could be told."""
        ...


@dataclass(frozen=True, slots=True)
class Tail:
    engine: Engine
    follower: Follower
    every_s: float = 0.25
    away_s: float = 5.0
    """Until the next look at a database that is away."""

    async def run(self) -> None:
        """Until it is cancelled."""
        seq: int | None = None
        while True:
            try:
                if seq is None:
                    seq = await run_in_threadpool(changes.newest, self.engine)
                found = list(await run_in_threadpool(changes.since, self.engine, seq))
            except OutputError as error:
                log.error("changes cannot be followed: %s", error)  # noqa: TRY400
                await asyncio.sleep(self.away_s)
                continue
            if found:
                if found[0].seq > seq + 1:
                    self.follower.missed()
                seq = found[-1].seq
                await self.follower.changed(found)
            else:
                await asyncio.sleep(self.every_s)


async def forget_old(engine: Engine, clock: Clock, every_s: float = 600.0) -> None:
    """What every page has read long since.  Until it is cancelled."""
    while True:
        try:
            more = await run_in_threadpool(changes.forget, engine, clock() - _KEPT_S)
        except OutputError as error:
            log.warning("old changes are not forgotten now: %s", error)
            more = False
        await asyncio.sleep(0.1 if more else every_s)
