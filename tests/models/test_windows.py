"""The window of a network that takes any size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_ai.models.windows import LARGEST_PX, OVERLAP_COST, FreeSize, fitted


@given(
    multiple=st.integers(1, 64),
    margin=st.integers(0, 48),
    scale=st.sampled_from([1.0, 0.5, 0.25, 0.125, 2.0]),
)
def test_overlap_costs_under_15_percent_and_holds_both_margins(
    multiple: int, margin: int, scale: float
) -> None:
    window = fitted(FreeSize(multiple, margin, scale))
    overlap = window.size_px - window.stride_px
    assert window.cost <= OVERLAP_COST
    assert overlap > 2 * margin
    assert window.size_px % multiple == 0
    for px in (window.size_px, window.stride_px, overlap / 2):
        assert px * scale == int(px * scale)
    assert window.size_px <= LARGEST_PX


def test_it_is_no_larger_than_that_takes() -> None:
    small, large = fitted(FreeSize(32, 8, 1.0)), fitted(FreeSize(32, 24, 1.0))
    assert (small.size_px, small.stride_px) == (512, 480)
    assert (large.size_px, large.stride_px) == (960, 896)
    assert OVERLAP_COST < ((960 - 32) / (960 - 32 - 64)) ** 2


def test_where_the_largest_allowed_costs_more_it_is_taken_all_the_same() -> None:
    window = fitted(FreeSize(16, 40, 1.0, largest_px=600))
    assert window.size_px == 592
    assert window.cost > OVERLAP_COST


def test_margins_that_leave_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="does not hold its margins"):
        fitted(FreeSize(32, 300, 1.0, largest_px=512))
