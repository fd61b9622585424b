"""Minutes from scan to flag in a region, by simulation.

python benchmarks/region.py OUT/runs/….json

Stage costs are those of the run that is named; a GPU's are not measured here, so the table goes
over what a slide may cost one.  Who scans when is assumed: see ``wsi_ai.bench.hours``.
"""

import argparse
import json
from pathlib import Path

from wsi_ai.bench.hours import trusts
from wsi_ai.bench.region import Found, Region, Stages, simulate

DAYS, SEED, URGENT = 4, 20, 0.05


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
