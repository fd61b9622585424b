"""One slide on its way through the steps of ``steps``."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic

from wsi_ai.core.contracts import Slide, Watcher
from wsi_ai.core.flags import Identity
from wsi_ai.core.timing import Stopwatch
from wsi_ai.core.values import Recolour, SlideInfo
from wsi_ai.heatmaps import VectorCanvas
from wsi_ai.results.assessment import Assessment
from wsi_ai.results.slide import Inferred
from wsi_ai.run.outcome import Out
from wsi_ai.run.pipeline import Prepared
from wsi_ai.slides.readers.fingerprint import FileState
from wsi_ai.tissue.overview import Overview


@dataclass(frozen=True, slots=True, eq=False)
class Collected:
    """A slide's vectors, and what they were made from."""

    look: Overview
    recolour: Recolour | None
    canvas: VectorCanvas
    resumed: int
    """Planned tiles that an earlier, unfinished run had passed."""


def _nothing() -> None:
    """Of a slide that was not opened."""


@dataclass(slots=True)
class Placing:
    """Of the folder that a slide's results go to, which its digest names."""

    locate: Callable[[], None] = _nothing
    """Say which it is, and what is asked.  Waits for the digest; raises SlideError."""
    unplaced: ExitStack = field(default_factory=ExitStack)
    """Holds the slide's name until the folder is claimed."""
    claim: ExitStack = field(default_factory=ExitStack)
    is_claimed: bool = False
    """Nothing is written before."""


@dataclass(slots=True)
class SlideJob(Generic[Out]):
    """What the steps hand on.  Once it is over, nothing is held."""

    path: Path
    identity: Identity | None = None
    held: ExitStack = field(default_factory=ExitStack)
    """The open slide, the claim on its place, the canvas."""
    clock: Stopwatch = field(default_factory=lambda: Stopwatch(time.perf_counter()))
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    files: Mapping[Path, FileState] = field(default_factory=dict)
    """As they were before the slide was opened."""
    slide: Slide | None = None
    place: Placing = field(default_factory=Placing)
    folder: Path = field(default_factory=Path)
    """Known, as what is asked, once the slide's digest is."""
    asked: dict[str, Any] = field(default_factory=dict)
    refuse_changed: Callable[[], None] = _nothing
    """Raises SlideChanged where the digest is not of the bytes that were read."""
    generation: int = 0
    """Of the engine, in which it was prepared."""
    prepared: Prepared | None = None
    resumed: int | None = None
    """Tiles that an earlier run had passed, when this one began to infer."""
    changes: list[str] = field(default_factory=list)
    """What had to be done so that the device could go on."""
    device_choice: Mapping[str, Any] | None = None
    """How ``auto`` came to the device; ``None`` where there was nothing to choose."""
    result: Assessment | Collected | None = None
    """``None`` until the slide is inferred, or stopped by a gate."""
    inferred: Inferred | None = None
    """Where the scores come from; an earlier run's are judged again."""
    early_s: float | None = None
    """When the flag was raised, on the run's clock, if that was before the slide was through."""
    outcome: Out | None = None
    over: bool = False
    """With an outcome; or without, where the run was stopped or another device takes the slide."""

    @property
    def info(self) -> SlideInfo | None:
        """``None`` where the slide was not opened."""
        return self.slide.info if self.slide else None

    def known_info(self) -> SlideInfo:
        """Of a slide that was opened."""
        if self.slide is None:
            raise ValueError("a slide came to a step unopened")
        return self.slide.info

    def end(self, outcome: Out | None = None) -> None:
        if outcome is not None:
            self.outcome = replace(outcome, timing=self.clock.timing())
        self.over = True
        self.held.close()
        self.prepared = self.result = None


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
