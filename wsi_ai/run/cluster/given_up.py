"""Slides that had their tries: each gets its ``not_assessed`` flag, now or as soon as that goes."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic

from wsi_ai.core.contracts import Post
from wsi_ai.run.assembly import Assembly
from wsi_ai.run.outcome import Out


@dataclass(frozen=True, slots=True)
class _Slide:
    path: Path
    reason: str
    worker: str
    until: float


@dataclass(slots=True)
class GivenUp(Generic[Out]):
    """A process that is taken for dead may hold a slide's place for a moment: then no flag can be
    written yet, and it is not left out."""

    assembly: Assembly[Out]
    post: Post
    patience_s: float
    """So long a place is waited for."""
    _waiting: list[_Slide] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, slide: Path, reason: str, worker: str) -> None:
        self._waiting.append(_Slide(slide, reason, worker, time.monotonic() + self.patience_s))

    def outcomes(self) -> Iterator[Out]:
        """Of those that can be written now, or were waited for long enough."""
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            found = [
                self.assembly.failed(card, one.path, one.reason, self.post)
                for card in self.assembly.cards
            ]
            if all(outcome.judged for outcome in found) or time.monotonic() > one.until:
                yield from (replace(outcome, device=one.worker) for outcome in found)
            else:
                self._waiting.append(one)
