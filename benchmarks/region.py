"""Minutes from scan to flag in a region, by simulation.

python benchmarks/region.py OUT/runs/….json

Stage costs are those of the run that is named; a GPU's are not measured here, so the table goes
over what a slide may cost one.  Who scans when is assumed, and written out below.
"""

import argparse
import json
from pathlib import Path

from wsi_ai.bench.region import Found, Region, Stages, Trust, simulate

DAYS, SEED, URGENT = 4, 20, 0.05
SIZES = (12, 10, 9, 8, 8, 7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 1)
"""Of 17 trusts, in per cent."""
DAY_LAB = {8: 4, 9: 7, 10: 9, 11: 10, 12: 10, 13: 11, 14: 12, 15: 12, 16: 11, 17: 8, 18: 4, 19: 2}
ROUND_THE_CLOCK = {**dict.fromkeys(range(24), 2), **dict.fromkeys(range(10, 20), 7.2)}
"""Scanners with large magazines go on through the night."""


def by_hour(weights: dict[int, float]) -> tuple[float, ...]:
    whole = sum(weights.values())
    return tuple(weights.get(hour, 0) / whole for hour in range(24))


def trusts() -> list[Trust]:
    kinds = by_hour(ROUND_THE_CLOCK), by_hour(DAY_LAB)
    return [Trust(size / sum(SIZES), kinds[n % 2]) for n, size in enumerate(SIZES)]


def line(slides: int, device_s: float, workers: int, found: Found) -> str:
    return (
        f"| {slides:,} | {device_s:g} | {workers} | {found.load:.0%}"
        f" | {found.urgent.p50:.1f} / {found.urgent.p95:.1f}"
        f" | {found.others.p50:.1f} / {found.others.p95:.1f} |"
    )


def main(record: Path) -> None:
    measured = Stages.of(json.loads(record.read_text()))
    mean = [sum(t) / len(t) for t in (measured.looking, measured.inference, measured.writing)]
    print(
        f"measured, {len(measured.looking)} slides: looking {mean[0]:.1f} s,"
        f" inference {mean[1]:.1f} s, writing {mean[2]:.1f} s"
    )
    print("| slides a day | s a slide | workers | busy | urgent p50 / p95 | others p50 / p95 |")
    print("|---|---|---|---|---|---|")
    for slides in (6_000, 12_000):
        region = Region(trusts(), slides, URGENT)
        for device_s in (10, 20, 30, 60):
            stages = measured.with_inference(device_s).with_looking(min(mean[0], device_s / 2))
            for workers in (2, 4, 6, 8, 12, 16):
                if 0.2 < slides * device_s / 86_400 / workers < 0.95:
                    print(
                        line(
                            slides, device_s, workers, simulate(region, stages, workers, DAYS, SEED)
                        )
                    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("record", type=Path)
    main(parser.parse_args().record)
