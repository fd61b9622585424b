"""Results of the benchmark, made up."""

from collections.abc import Sequence

from wsi_ai.bench.measured import Times
from wsi_ai.bench.report import READ, Bench, Limit, Stage, forward_name


def times(seconds: Sequence[float], others: float = 0.0) -> Times:
    """Of one thread that only reckons."""
    return Times(tuple(seconds), tuple(seconds), (others,) * len(seconds))


def stage(name: str, own: Times, amount: float = 1.0, slide_amount: float = 1.0) -> Stage:
    return Stage(name, "tiles", amount, slide_amount, own, Limit("codec alone", own))


def bench(*stages: Stage, side_px: int = 10_000, tiles: int = 1000, threads: int = 2) -> Bench:
    return Bench(
        machine={"processor": "one", "processors": threads},
        software={"wsi_ai": "0.1.0"},
        work={
            "width_px": side_px,
            "height_px": side_px,
            "tissue_share": 0.25,
            "tiles": tiles,
            "bytes": tiles * 20_000,
            "size_px": 224,
        },
        model={"name": "m-1", "operations_a_tile": 3.6e9, "weights_bytes": 45_000_000},
        settings={"threads": threads, "device": "auto", "precision": "fp32", "runtime": "x/cpu"},
        rates={"matrix_products_per_s": 2e11, "copied_bytes_per_s": 1e10},
        stages=stages,
    )


def slide(side_px: int, tiles: int, tile_s: float = 0.02, threads: int = 2) -> Bench:
    """It looks 1 s + 5 s a gigapixel, and writes 0.5 s + 1 ms a tile."""
    giga = side_px**2 / 1e9

    def once(name: str, seconds: float) -> Stage:
        return stage(name, times([seconds] * 6))

    return bench(
        once("look", 1 + 5 * giga),
        stage(READ, times([0.001] * 6), 1, tiles),
        stage(forward_name("fp32", 1), times([tile_s] * 6), 1, tiles),
        once("results", 0.5 + 0.001 * tiles),
        side_px=side_px,
        tiles=tiles,
        threads=threads,
    )
