"""One slide on its way through the steps of ``work``."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wsi_ai.core.contracts import Slide, Watcher
from wsi_ai.core.flags import Identity
from wsi_ai.core.timing import Stopwatch
from wsi_ai.results.assessment import Assessment
from wsi_ai.run.outcome import Outcome
from wsi_ai.run.pipeline import Prepared


@dataclass(slots=True)
class SlideJob:
    """What the steps hand on.  Once it is over, nothing is held."""

    path: Path
    held: ExitStack = field(default_factory=ExitStack)
    """The open slide, the claim on its place, the canvas."""
    clock: Stopwatch = field(default_factory=lambda: Stopwatch(time.perf_counter()))
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    slide: Slide | None = None
    identity: Identity | None = None
    folder: Path = field(default_factory=Path)
    asked: dict[str, Any] = field(default_factory=dict)
    generation: int = 0
    """Of the engine, in which it was prepared."""
    prepared: Prepared | None = None
    resumed: int | None = None
    """Tiles that an earlier run had passed, when this one began to infer."""
    changes: list[str] = field(default_factory=list)
    """What had to be done so that the device could go on."""
    assessment: Assessment | None = None
    early_s: float | None = None
    """When the flag was raised, on the run's clock, if that was before the slide was through."""
    outcome: Outcome | None = None
    over: bool = False
    """With an outcome; or without, where the run was stopped or another device takes the slide."""

    def end(self, outcome: Outcome | None = None) -> None:
        if outcome is not None:
            self.outcome = replace(outcome, timing=self.clock.timing())
        self.over = True
        self.held.close()


@dataclass(frozen=True, slots=True)
class Stoppable:
    """A watcher that ends the slide at hand once the run is to stop."""

    watch: Watcher
    go_on: Callable[[], None]

    def started(self, slide: Path) -> None:
        self.watch.started(slide)

    def planned(self, tiles: int, done: int) -> None:
        self.watch.planned(tiles, done)

    def passed(self, done: int) -> None:
        self.go_on()
        self.watch.passed(done)

    def beside(self) -> Watcher:
        return self.watch.beside()
