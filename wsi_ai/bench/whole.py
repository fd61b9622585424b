"""Whole runs, in which all stages go on beside each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

STAGES = "looking", "reading", "inference", "writing"


@dataclass(frozen=True, slots=True)
class WholeRuns:
    """Of one slide, as the runs' own records have it: one entry a run."""

    efficiency: tuple[float, ...]
    """Share of the time in which the limiting stage was busy."""
    limit: tuple[str, ...]
    """The stage that was busy longest."""
    wall_s: tuple[float, ...]
    """From the slide's opening to its end, without the start of the runtime."""
    busy_s: Mapping[str, tuple[float, ...]]
    """By stage."""
    timeline: Mapping[str, Any]
    """Spans and tiles of the last run, as a run's record has them."""

    @classmethod
    def of(cls, records: Sequence[Mapping[str, Any]]) -> Self:
        """Of runs of one slide each; see ``run.run_record``."""
        last = records[-1]["slides"][0]
        return cls(
            tuple(record["efficiency"] for record in records),
            tuple(record["limit"] for record in records),
            tuple(record["wall_s"] for record in records),
            {name: tuple(record["busy_s"][name] for record in records) for name in STAGES},
            {"spans": last["spans"], "tiles": last["tiles"]},
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "efficiency": list(self.efficiency),
            "limit": list(self.limit),
            "wall_s": list(self.wall_s),
            "busy_s": {name: list(seconds) for name, seconds in self.busy_s.items()},
            "timeline": dict(self.timeline),
        }

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Self:
        return cls(
            tuple(table["efficiency"]),
            tuple(table["limit"]),
            tuple(table["wall_s"]),
            {name: tuple(seconds) for name, seconds in table["busy_s"].items()},
            table["timeline"],
        )

    def last_record(self) -> dict[str, Any]:
        """The last run as ``results.timeline`` draws it: a record without names."""
        return {
            "limit": self.limit[-1],
            "efficiency": self.efficiency[-1],
            "wall_s": self.wall_s[-1],
            "by_device": [{"device": ""}],
            "slides": [{"device": "", "level": "", **self.timeline}],
        }


@dataclass(frozen=True, slots=True)
class ProcessRun:
    """A whole run of one or more slides in a process of its own, from the command to its end."""

    slides: int
    tiles: int
    wall_s: float
    cpu_s: float
    peak_mib: float
    """Resident memory of the largest process."""
    others: float
    """Processors that others kept busy meanwhile, on average."""
    efficiency: float

    def as_json(self) -> dict[str, Any]:
        return {
            "slides": self.slides,
            "tiles": self.tiles,
            "wall_s": float(f"{self.wall_s:.6g}"),
            "cpu_s": float(f"{self.cpu_s:.6g}"),
            "peak_mib": round(self.peak_mib, 1),
            "others": float(f"{self.others:.6g}"),
            "efficiency": self.efficiency,
        }

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Self:
        return cls(**table)
