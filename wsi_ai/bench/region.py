"""A region's slides through one queue: minutes from scan to flag.  Opens nothing, asks no clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from wsi_ai.bench.line import Arrival, waits_s

HOUR_S, DAY_S = 3_600, 86_400


@dataclass(frozen=True, slots=True)
class Trust:
    """Where slides are scanned."""

    share: float
    """Of the region's slides."""
    by_hour: tuple[float, ...]
    """Of its own slides, in each hour of the day."""

    def __post_init__(self) -> None:
        fits = len(self.by_hour) == 24 and min(self.by_hour) >= 0 and 0 < self.share <= 1
        if not fits or abs(sum(self.by_hour) - 1) > 1e-9:
            raise ValueError("a trust has a share of the slides, and a share of its own each hour")


@dataclass(frozen=True, slots=True)
class Stages:
    """Seconds of slides, by stage, as a run measured them: one entry a slide in each."""

    looking: tuple[float, ...]
    inference: tuple[float, ...]
    writing: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.looking) == len(self.inference) == len(self.writing) > 0:
            raise ValueError("each slide has a time in each stage")

    @classmethod
    def of(cls, record: Mapping[str, object]) -> "Stages":
        """Of ``OUT/runs/….json``: of its slides that were inferred.  Raises ValueError."""
        found = [_seconds(slide) for slide in _slides(record)]
        times = [one for one in found if one is not None]
        if not times:
            raise ValueError("the run inferred no slide")
        looking, inference, writing = zip(*times, strict=True)
        return cls(looking, inference, writing)

    def with_inference(self, mean_s: float) -> "Stages":
        """The same slides on another device: that takes this long on average."""
        factor = mean_s / float(np.mean(self.inference))
        return Stages(self.looking, tuple(s * factor for s in self.inference), self.writing)

    def with_looking(self, mean_s: float) -> "Stages":
        """The same slides on another host."""
        factor = mean_s / float(np.mean(self.looking))
        scaled = [tuple(s * factor for s in times) for times in (self.looking, self.writing)]
        return Stages(scaled[0], self.inference, scaled[1])

    def busy_s(self) -> list[float]:
        """What a slide costs a worker whose line is full: its longest stage."""
        each = zip(self.looking, self.inference, self.writing, strict=True)
        return [max(stages) for stages in each]

    def through_s(self) -> list[float]:
        """From a worker's taking a slide to its flag."""
        return [sum(each) for each in zip(self.looking, self.inference, self.writing, strict=True)]


@dataclass(frozen=True, slots=True)
class Region:
    """What comes, and what is promised."""

    trusts: Sequence[Trust]
    slides_a_day: int
    urgent: float
    """Share of slides that go first."""
    allowance_s: float = HOUR_S
    """How long the others may wait; see ``service.jobs``."""
    before_s: float = 60.0
    """From the scanner's last byte to the queue: the file is left alone, seen and copied."""
    after_s: float = 5.0
    """From the outbox to the receiver."""

    def __post_init__(self) -> None:
        if abs(sum(trust.share for trust in self.trusts) - 1) > 1e-9 or not 0 <= self.urgent <= 1:
            raise ValueError("the trusts have all of the slides between them")


@dataclass(frozen=True, slots=True)
class Minutes:
    """From scan to flag."""

    p50: float
    p95: float
    slides: int = field(compare=False, default=0)
    in_time: float = field(compare=False, default=1.0)
    """Share that took no longer than was promised; 1 where there were none."""


@dataclass(frozen=True, slots=True)
class Found:
    urgent: Minutes
    others: Minutes
    load: float
    """Share of the workers' time that slides take, over all days."""


def simulate(
    region: Region,
    stages: Stages,
    workers: int,
    days: int,
    seed: int,
    promised_minutes: float = float("inf"),
) -> Found:
    """Days like each other; the first one, in which the queue fills, does not count where there are
    more."""
    rng = np.random.default_rng(seed)
    at_s, urgent = _drawn(region, days, rng)
    kind = rng.integers(0, len(stages.looking), len(at_s))
    busy, through = np.array(stages.busy_s())[kind], np.array(stages.through_s())[kind]
    allowance = np.where(urgent, 0.0, region.allowance_s)
    arrivals = [
        Arrival(float(t), float(t + a), float(b), bool(u))
        for t, a, b, u in zip(at_s, allowance, busy, urgent, strict=True)
    ]
    waits = np.array(waits_s(arrivals, workers))
    minutes = (region.before_s + waits + through + region.after_s) / 60
    counted = at_s >= (DAY_S if days > 1 else 0)
    load = float(busy.sum()) / (workers * days * DAY_S)
    first, others = (
        _minutes(minutes[counted & those], promised_minutes) for those in (urgent, ~urgent)
    )
    return Found(first, others, load)


def _drawn(
    region: Region, days: int, rng: np.random.Generator
) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], np.ndarray[tuple[int], np.dtype[np.bool]]]:
    """When slides come, in order, and which are urgent: by chance in each trust and hour."""
    times = []
    for trust in region.trusts:
        expected = region.slides_a_day * trust.share * np.tile(trust.by_hour, days)
        for hour, count in enumerate(rng.poisson(expected)):
            times.append(hour * HOUR_S + HOUR_S * rng.random(count))
    at_s = np.sort(np.concatenate(times))
    return at_s, rng.random(len(at_s)) < region.urgent


def _minutes(found: np.ndarray[tuple[int], np.dtype[np.float64]], promised: float) -> Minutes:
    if not len(found):
        return Minutes(float("nan"), float("nan"))
    p50, p95 = np.percentile(found, (50, 95))
    return Minutes(float(p50), float(p95), len(found), float((found <= promised).mean()))


def _slides(record: Mapping[str, object]) -> list[Mapping[str, object]]:
    found = record.get("slides")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _seconds(slide: Mapping[str, object]) -> tuple[float, float, float] | None:
    """Looking, inference and writing of a slide that had all three."""
    spent = dict.fromkeys(("looking", "inference", "writing"), 0.0)
    spans = slide.get("spans")
    for span in spans if isinstance(spans, list) else []:
        if span["stage"] != "queue":
            stage = span["stage"] if span["stage"] in spent else "looking"
            spent[stage] += span["end_s"] - span["start_s"]
    values = spent["looking"], spent["inference"], spent["writing"]
    return values if min(values) > 0 else None
