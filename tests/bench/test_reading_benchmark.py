"""What reading is measured against."""

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_ai.bench import rounds
from wsi_ai.slides.readers.tiff.reader import open_slide

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def read() -> Any:
    """``benchmarks/read.py``, whose folder is not a package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import read

        yield read
        for name in ("read", "rounds", "peers"):
            sys.modules.pop(name, None)


def test_the_bound_decodes_each_stored_tile_of_the_limit_once(read: Any, cmu: Path) -> None:
    with open_slide(cmu) as slide:
        for pattern in read.PATTERNS:
            plan = read.plan(slide.info, cmu, pattern, 12)
            fetched: list[tuple[int, int]] = []
            stored = slide.encoded_level(plan.level)
            seen = Counted(stored, fetched)
            tiles = read.decoding_once(seen, plan, 2)()
            of_limit, fetched[:] = sorted(fetched), []
            assert read.bound(seen, plan)() == tiles == len(of_limit)
            assert sorted(fetched) == of_limit == sorted(set(of_limit)), pattern.name


def test_a_plan_that_is_resampled_is_resampled_in_the_bound_once_for_each_tile(
    read: Any, cmu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resized: list[tuple[int, int]] = []
    make = read.shrinker

    def counting(size: Any, wanted: Any) -> Any:
        shrink = make(size, wanted)
        return lambda source, out: (resized.append(source.shape[:2]), shrink(source, out))

    monkeypatch.setattr(read, "shrinker", counting)
    broken = next(p for p in read.PATTERNS if p.scale == 1.87)
    with open_slide(cmu) as slide:
        plan = read.plan(slide.info, cmu, broken, 5)
        read.bound(slide, plan)()
    assert resized == [(plan.read_px.height, plan.read_px.width)] * len(plan)


@given(st.lists(st.tuples(*[st.floats(0.01, 100)] * 2), min_size=1, max_size=9))
def test_the_median_share_lies_within_the_spread(times: list[Any]) -> None:
    found = rounds.Ratios()
    for limit, own in times:
        cost = rounds.Timed(limit, limit, 0.0)
        found.add(cost, rounds.Timed(own, own, 0.0), cost)
    least, most = found.spread_cpu
    assert least <= found.of_limit_cpu <= most
    assert {least, most} <= {limit / own for limit, own in times}


class Counted:
    """A slide that notes which stored tiles were fetched."""

    def __init__(self, level: Any, fetched: list[tuple[int, int]]) -> None:
        self._level, self._fetched = level, fetched
        self.size, self.corner, self.encoding = level.size, level.corner, level.encoding

    def encoded_level(self, level: int) -> "Counted":
        return self

    def encoded(self, col: int, row: int) -> bytes | None:
        self._fetched.append((col, row))
        data: bytes | None = self._level.encoded(col, row)
        return data
