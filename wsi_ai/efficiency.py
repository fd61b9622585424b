"""Which stage is the limit, and how much of the time was it at work?

Four stages pass slides on: looking (open, thumbnail, tissue, quality, plan), reading (tiles),
inference, writing.  A stage is busy while it has a slide and neither waits for the stage before
nor stands still because the stage after does not take what is ready.  The limit is the stage that
was busy longest; the efficiency is the share of the wall time in which it was.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from wsi_ai.stopwatch import Timing


class Stage(StrEnum):
    LOOKING = "looking"
    READING = "reading"
    INFERENCE = "inference"
    WRITING = "writing"


STAGE_OF: Mapping[str, Stage] = {
    **dict.fromkeys(("opening", "thumbnail", "tissue", "quality", "plan"), Stage.LOOKING),
    "inference": Stage.INFERENCE,
    "writing": Stage.WRITING,
}
"""Of a span; the others are waits and changes of device."""


@dataclass(frozen=True, slots=True)
class Efficiency:
    """Of one device, or of one slide's inference."""

    wall_s: float
    busy_s: Mapping[Stage, float]

    @property
    def limit(self) -> Stage:
        return max(self.busy_s, key=lambda stage: self.busy_s[stage])

    @property
    def share(self) -> float:
        """Of the wall time, in which the limit was busy; 0 where nothing ran."""
        return min(1.0, self.busy_s[self.limit] / self.wall_s) if self.wall_s > 0 else 0.0


def of_run(timings: Sequence[Timing]) -> Efficiency:
    """From the first slide's opening to the last one's end, on one device."""
    busy = dict.fromkeys(Stage, 0.0)
    for timing in timings:
        for stage, seconds in busy_s(timing).items():
            busy[stage] += seconds
    return Efficiency(_wall_s(timings), busy)


def of_slide(timing: Timing) -> Efficiency | None:
    """Of reading and inference, while the slide was inferred; ``None`` where it was not."""
    flow, inferred = timing.tiles, _spans_s(timing, Stage.INFERENCE)
    if flow is None or flow.asked_s is None or inferred <= 0:
        return None
    reading = max(0.0, flow.busy_s - flow.busy_before_s)
    return Efficiency(inferred, {Stage.READING: reading, Stage.INFERENCE: inferred - flow.waited_s})


def busy_s(timing: Timing) -> dict[Stage, float]:
    """How long each stage was busy with one slide."""
    flow = timing.tiles
    busy = {stage: _spans_s(timing, stage) for stage in Stage}
    if flow is not None:
        busy[Stage.READING] = flow.busy_s
        busy[Stage.INFERENCE] = max(0.0, busy[Stage.INFERENCE] - flow.waited_s)
    return busy


def _spans_s(timing: Timing, stage: Stage) -> float:
    return sum(end - start for name, start, end in timing.spans if STAGE_OF.get(name) is stage)


def _wall_s(timings: Iterable[Timing]) -> float:
    moments = [moment for t in timings for _, start, end in t.spans for moment in (start, end)]
    return max(moments) - min(moments) if moments else 0.0
