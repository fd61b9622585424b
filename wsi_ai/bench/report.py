"""A benchmark's result as a value, as JSON, and in words."""

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from wsi_ai import schemas
from wsi_ai.bench.measured import Times, share_of
from wsi_ai.bench.whole import ProcessRun, WholeRuns
from wsi_ai.core.wording import counted
from wsi_ai.errors import InputError
from wsi_ai.schemas.reading import TABLE_BYTES, Unreadable, content_of, from_json

SCHEMA = "bench-1"
Facts = Mapping[str, Any]
DISTURBED = 1.15
"""A share above this says that the limit was measured wrongly, and nothing of the stage."""
WHOLE, READ = "whole run", "read into batches"
FORWARD, DECODE, TILES = "forward, ", "decode, ", "read tiles of "
"""What the names of stages begin with that are measured at several settings."""


def forward_name(precision: str, batch: int) -> str:
    return f"{FORWARD}{precision}, batch {batch}"


def decode_name(threads: int) -> str:
    return f"{DECODE}{counted(threads, 'thread')}"


def tiles_name(size_px: int) -> str:
    return f"{TILES}{size_px} px"


def setting_of(name: str) -> int:
    """The batch, the number of threads or the pixels in a stage's name."""
    return int(re.findall(r"\d+", name)[-1])


@dataclass(frozen=True, slots=True)
class Limit:
    """What the same machine does at most, measured beside a stage."""

    name: str
    times: Times


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage alone; ``whole run`` is all of them together."""

    name: str
    unit: str
    amount: float
    """Number of units in one round."""
    slide_amount: float
    """Number of units in the whole slide."""
    own: Times
    limit: Limit | None = None

    @property
    def slide_s(self) -> float:
        """For the whole slide, were there nothing else to do."""
        return self.own.median_s * self.slide_amount / self.amount

    @property
    def share(self) -> float | None:
        """Of the limit: 1 is as fast as this machine can be."""
        return None if self.limit is None else share_of(self.limit.times, self.own)

    def as_json(self) -> dict[str, Any]:
        limit = self.limit
        return {
            "name": self.name,
            "unit": self.unit,
            "amount": self.amount,
            "slide_amount": self.slide_amount,
            "slide_s": float(f"{self.slide_s:.4g}"),
            **self.own.as_json(),
            "busy": self.own.is_busy,
            "share": None if self.share is None else round(self.share, 3),
            "limit": None if limit is None else {"name": limit.name, **limit.times.as_json()},
        }

    @classmethod
    def from_json(cls, table: dict[str, Any]) -> Self:
        limit = table["limit"]
        return cls(
            table["name"],
            table["unit"],
            table["amount"],
            table["slide_amount"],
            Times.from_json(table),
            None if limit is None else Limit(limit["name"], Times.from_json(limit)),
        )


@dataclass(frozen=True, slots=True)
class Bench:
    """All that one run of the benchmark found."""

    machine: Facts
    software: Facts
    work: Facts
    """The slide, by its size alone."""
    model: Facts
    settings: Facts
    rates: Facts
    """Of the machine: operations and bytes a second."""
    stages: Sequence[Stage]
    left_out: Sequence[str] = ()
    whole_runs: WholeRuns | None = None
    processes: Sequence[ProcessRun] = ()

    def stage(self, name: str) -> Stage | None:
        return next((stage for stage in self.stages if stage.name == name), None)

    @property
    def forward(self) -> Stage | None:
        """At the batch that the model runs fastest, in the precision of the whole run."""
        own = f"{FORWARD}{self.settings['precision']}, "
        found = [stage for stage in self.stages if stage.name.startswith(own)]
        return min(found, key=lambda stage: stage.slide_s, default=None)

    def as_json(self) -> dict[str, Any]:
        facts = ("machine", "software", "work", "model", "settings", "rates")
        return {
            "schema_version": "1",
            **{name: dict(getattr(self, name)) for name in facts},
            "stages": [stage.as_json() for stage in self.stages],
            "whole_runs": None if self.whole_runs is None else self.whole_runs.as_json(),
            "processes": [one.as_json() for one in self.processes],
            "left_out": list(self.left_out),
            "verdict": verdict(self),
        }

    @classmethod
    def from_json(cls, table: dict[str, Any]) -> Self:
        names = "machine", "software", "work", "model", "settings", "rates"
        facts = {name: table[name] for name in names}
        stages = [Stage.from_json(stage) for stage in table["stages"]]
        runs = table.get("whole_runs")
        return cls(
            **facts,
            stages=stages,
            left_out=table["left_out"],
            whole_runs=None if runs is None else WholeRuns.from_json(runs),
            processes=[ProcessRun.from_json(one) for one in table.get("processes", ())],
        )


def in_seconds(value: float) -> str:
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"


def load(path: Path) -> Bench:
    """Raises InputError."""
    return of_table(load_table(path), path.name)


def load_table(path: Path) -> Any:
    try:
        return from_json(content_of(path, TABLE_BYTES))
    except OSError as error:
        raise InputError(f"{path.name}: {error.strerror}") from None
    except Unreadable as error:
        raise InputError(f"{path.name} {error}") from None


def of_table(table: Any, named: str) -> Bench:
    if wrong := schemas.complaint(SCHEMA, table):
        raise InputError(f"{named} was not written by wsi-ai bench run: {wrong}")
    try:
        return Bench.from_json(table)
    except ValueError as error:
        raise InputError(f"{named}: {error}") from None


def verdict(bench: Bench) -> str:
    """Which part sets the pace, and how much there is to win."""
    parts = _parts(bench)
    if not parts["reading"] or not parts["inference"]:
        return "No verdict: reading and inference were not both measured."
    seconds = {name: sum(stage.slide_s for stage in stages) for name, stages in parts.items()}
    first, second = sorted(seconds, key=lambda name: -seconds[name])[:2]
    words = [
        f"{first.capitalize()} sets the pace: alone it takes {seconds[first]:.3g} s of this slide,"
        f" and {second}, which comes next, {seconds[second]:.3g} s."
    ]
    longest = max(parts[first], key=lambda stage: stage.slide_s)
    if longest.limit is not None:
        words.append(_limit_words(longest, longest.limit.name))
    if (whole := bench.stage(WHOLE)) is not None:
        words.append(_start_words(whole.slide_s, seconds))
    if bench.whole_runs is not None:
        words.append(_whole_words(bench.whole_runs))
    if busy := sum(stage.own.is_busy for stage in bench.stages):
        words.append(
            f"Others kept the machine busy in {busy} of {len(bench.stages)} stages: take seconds as"
            " upper bounds."
        )
    return " ".join(words)


def _parts(bench: Bench) -> dict[str, list[Stage]]:
    """A line of slides is as fast as the slowest of these: they work beside each other."""
    names = {
        "looking": ("open", "hash", "look", "plan"),
        "reading": (READ,),
        "inference": () if bench.forward is None else (bench.forward.name,),
        "writing": ("results",),
    }
    return {
        part: [stage for stage in bench.stages if stage.name in stages]
        for part, stages in names.items()
    }


def _limit_words(stage: Stage, limit: str) -> str:
    share = stage.share or 0.0
    if share > DISTURBED:
        return (
            f"Its limit ({limit}) was disturbed: nothing is faster than what it cannot do without."
        )
    return f"Its longest stage, {stage.name}, runs at {share:.2f} of its limit ({limit})."


def _whole_words(runs: WholeRuns) -> str:
    limit = statistics.mode(runs.limit)
    share, spread = statistics.median(runs.efficiency), max(runs.efficiency) - min(runs.efficiency)
    return (
        f"With all stages beside each other, {limit} was busy {share:.0%} of the time from the"
        f" slide's opening to its end (pipeline efficiency; {spread:.0%} from run to run)."
    )


def _start_words(whole_s: float, seconds: Mapping[str, float]) -> str:
    """Reading lies beside inference; looking and writing do not, in a run of one slide."""
    spent = seconds["looking"] + seconds["writing"]
    spent += max(seconds["reading"], seconds["inference"])
    words = f"The whole run of this one slide takes {whole_s:.3g} s; its stages alone add up to"
    if spent > whole_s:
        return f"{words} {spent:.3g} s: the machine was slower then."
    return (
        f"{words} {spent:.3g} s, and the rest is mostly the start of the runtime, once a command."
    )
