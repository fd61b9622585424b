"""When slides come in a day.  Assumed, and written out here; a site puts in its own."""

from collections.abc import Mapping

from wsi_ai.bench.region import Trust

SIZES = (12, 10, 9, 8, 8, 7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 1)
"""Of 17 trusts, in per cent."""
DAY_LAB: Mapping[int, float] = {
    8: 4, 9: 7, 10: 9, 11: 10, 12: 10, 13: 11, 14: 12, 15: 12, 16: 11, 17: 8, 18: 4, 19: 2,
}  # fmt: skip
ROUND_THE_CLOCK: Mapping[int, float] = {
    **dict.fromkeys(range(24), 2.0),
    **dict.fromkeys(range(10, 20), 7.2),
}
"""Scanners with large magazines go on through the night."""


def by_hour(weights: Mapping[int, float]) -> tuple[float, ...]:
    whole = sum(weights.values())
    return tuple(weights.get(hour, 0) / whole for hour in range(24))


def trusts() -> list[Trust]:
    """A region: every other trust scans by day alone."""
    kinds = by_hour(ROUND_THE_CLOCK), by_hour(DAY_LAB)
    return [Trust(size / sum(SIZES), kinds[n % 2]) for n, size in enumerate(SIZES)]


def one_lab() -> list[Trust]:
    return [Trust(1.0, by_hour(DAY_LAB))]


def evenly() -> list[Trust]:
    return [Trust(1.0, (1 / 24,) * 24)]
