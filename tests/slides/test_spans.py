"""Two tiles cannot share bytes of the file, unless both are the same plain glass."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_ai.errors import TileUnreadable
from wsi_ai.slides.readers.source import FileBytes
from wsi_ai.slides.readers.spans import doubtful_tiles

_PIXELS = 256 * 256
_LARGE, _PLAIN = 20_000, 900


@given(counts=st.lists(st.integers(1, 50_000), min_size=1, max_size=40))
def test_tiles_one_after_the_other_are_never_in_doubt(counts: list[int]) -> None:
    offsets = [1000 + sum(counts[:n]) for n in range(len(counts))]
    assert doubtful_tiles([(offsets, counts, _PIXELS)]) == [frozenset()]


@given(
    counts=st.lists(st.integers(2000, 50_000), min_size=2, max_size=30),
    data=st.data(),
)
def test_a_tile_that_begins_inside_another_puts_both_in_doubt(
    counts: list[int], data: st.DataObject
) -> None:
    offsets = [1000 + sum(counts[:n]) for n in range(len(counts))]
    moved, into = data.draw(st.lists(st.integers(0, len(counts) - 1), min_size=2, max_size=2,
                                     unique=True))  # fmt: skip
    offsets[moved] = offsets[into] + 1
    (found,) = doubtful_tiles([(offsets, counts, _PIXELS)])
    assert {moved, into} <= found


def test_a_repeated_tile_is_in_doubt_unless_it_is_plain_glass() -> None:
    levels = [([10, 30_000, 30_000], [_LARGE, _LARGE, _LARGE], _PIXELS)]
    assert doubtful_tiles(levels) == [frozenset({1, 2})]
    assert doubtful_tiles([([10, 3000, 3000], [_PLAIN] * 3, _PIXELS)]) == [frozenset()]


def test_a_tile_of_one_level_inside_one_of_another_is_in_doubt() -> None:
    fine, coarse = ([100, 30_000], [_LARGE, _LARGE], _PIXELS), ([100], [_LARGE], _PIXELS)
    assert doubtful_tiles([fine, coarse]) == [frozenset({0}), frozenset({0})]


def test_tiles_of_no_bytes_are_left_aside() -> None:
    assert doubtful_tiles([([0, 0, 50], [0, 0, 10], _PIXELS)]) == [frozenset()]


@pytest.mark.parametrize("offset", [-1, 2**63, 2**64 - 1])
def test_a_place_that_no_file_has_cannot_be_read(tmp_path: Path, offset: int) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    fd = os.open(tmp_path / "a", os.O_RDONLY)
    try:
        assert FileBytes(fd).read(1, 5) == b"bc"
        with pytest.raises(TileUnreadable):
            FileBytes(fd).read(offset, 5)
    finally:
        os.close(fd)
