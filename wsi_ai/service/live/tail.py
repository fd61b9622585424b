"""Follows what is written down, by this process or another, and tells whoever waits for it."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool

from wsi_ai.errors import OutputError
from wsi_ai.service import changes
from wsi_ai.service.changes import Change

log = logging.getLogger(__name__)


class Follower(Protocol):
    async def changed(self, changes: Sequence[Change]) -> None: ...


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
                seq = found[-1].seq
                await self.follower.changed(found)
            else:
                await asyncio.sleep(self.every_s)
