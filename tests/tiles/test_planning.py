import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from wsi_ai.core.cards import TileSpec
from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.core.values import SlideInfo
from wsi_ai.tiles.planning import likely_first, plan_tiles, spread_out

MASKS = npst.arrays(bool, npst.array_shapes(min_dims=2, max_dims=2, max_side=40))


def info(width: int, height: int, mpp: float, downsamples: tuple[float, ...] = (1.0,)) -> SlideInfo:
    return SlideInfo("s", Size(width, height), Spacing(mpp, mpp), downsamples, "f")


@given(
    data=st.data(),
    w=st.integers(1, 5000),
    h=st.integers(1, 5000),
    mpp=st.floats(0.1, 2.0),
    mask=MASKS,
)
@settings(max_examples=300)
def test_wherever_there_is_tissue_a_tile_is_planned(
    data: st.DataObject, w: int, h: int, mpp: float, mask: np.ndarray
) -> None:
    plan = plan_tiles(info(w, h, mpp), mask, TileSpec(64, 0.5, 64))
    y, x = data.draw(st.integers(0, h - 1)), data.draw(st.integers(0, w - 1))
    if mask[y * mask.shape[0] // h, x * mask.shape[1] // w]:
        assert (int(y / plan.step.y), int(x / plan.step.x)) in set(map(tuple, plan.cells.tolist()))


def test_no_tissue_no_tiles() -> None:
    assert (
        len(plan_tiles(info(5000, 5000, 0.5), np.zeros((9, 9), bool), TileSpec(64, 0.5, 64))) == 0
    )


def test_a_cell_without_tissue_is_not_planned() -> None:
    mask = np.zeros((10, 10), bool)
    mask[0, 0] = True
    plan = plan_tiles(info(640, 640, 0.5), mask, TileSpec(64, 0.5, 64))
    assert plan.cells.tolist() == [[0, 0]]


def test_the_level_read_is_the_coarsest_that_loses_nothing() -> None:
    slide = info(40_000, 40_000, 0.25, (1.0, 4.0, 16.003))
    mask = np.ones((4, 4), bool)
    levels = {
        mpp: plan_tiles(slide, mask, TileSpec(64, mpp, 64)).level for mpp in (0.25, 0.5, 1, 4)
    }
    assert levels == {0.25: 0, 0.5: 0, 1: 1, 4: 2}


def test_tile_and_step_come_from_micrometres_of_each_axis() -> None:
    slide = SlideInfo("s", Size(10_000, 10_000), Spacing(0.25, 0.26), (1.0,), "f")
    plan = plan_tiles(slide, np.ones((4, 4), bool), TileSpec(100, 0.5, 50))
    assert (plan.read_px.width, plan.read_px.height) == (200, 192)
    assert plan.step.x * 0.25 == plan.step.y * 0.26 == 25.0
    assert plan.origin(int(np.flatnonzero((plan.cells == (3, 2)).all(axis=1))[0])) == (200, 288)


@given(npst.arrays(bool, (70, 90)))
@settings(max_examples=25)
def test_spreading_out_loses_and_doubles_no_cell(touched: np.ndarray) -> None:
    cells = np.argwhere(touched).astype(np.int32)
    assert sorted(spread_out(cells, 8).tolist()) == cells.tolist()


def test_every_beginning_of_the_order_covers_the_slide() -> None:
    """An eighth of a 128 x 128 grid is within reach of every place on it."""
    cells = spread_out(np.argwhere(np.ones((128, 128), bool)).astype(np.int32), 8)
    seen = cells[: len(cells) // 8].astype(int)
    gaps = [np.abs(seen - place).max(axis=1).min() for place in np.argwhere(np.ones((16, 16))) * 8]
    assert max(gaps) <= 24


GUESSES = npst.arrays(np.float64, (40, 50), elements=st.floats(-1, 2))


def blocks_of(cells: np.ndarray) -> list[tuple[int, int]]:
    """The blocks of 8 x 8 cells in the order of their first visit."""
    return list(dict.fromkeys(map(tuple, (cells // 8).tolist())))


def some_cells(touched: np.ndarray, guess: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    cells = np.argwhere(touched).astype(np.int32)
    return cells, guess[cells[:, 0], cells[:, 1]]


@given(npst.arrays(bool, (40, 50)), GUESSES)
def test_a_guess_loses_and_doubles_no_cell_and_leaves_no_block_half_done(
    touched: np.ndarray, guess: np.ndarray
) -> None:
    cells, likely = some_cells(touched, guess)
    ordered = likely_first(cells, likely, 8)
    assert sorted(ordered.tolist()) == cells.tolist()
    changes = int((np.diff(ordered // 8, axis=0) != 0).any(axis=1).sum())
    assert changes == max(0, len(blocks_of(ordered)) - 1)


@given(npst.arrays(bool, (40, 50)), GUESSES, st.integers(0, 35))
def test_no_guess_delays_a_block_beyond_twice_its_turn(
    touched: np.ndarray, guess: np.ndarray, n: int
) -> None:
    cells, likely = some_cells(touched, guess)
    ordered = blocks_of(likely_first(cells, likely, 8))
    assert set(blocks_of(spread_out(cells, 8))[:n]) <= set(ordered[: 2 * n])
    means = {b: likely[(cells // 8 == b).all(axis=1)].mean() for b in ordered}
    best = sorted(means.values(), reverse=True)[:n]
    found = sorted((means[b] for b in ordered[: 2 * n]), reverse=True)[:n]
    np.testing.assert_allclose(found, best)


def test_a_plan_begins_where_evidence_is_likely_whatever_the_pictures_size() -> None:
    """Cells of 64 px on 4096 px; the likely place is the block of rows 40-47 and columns 8-15."""
    likely = np.zeros((256, 512), np.float32)
    likely[160:192, 64:128] = 0.5
    plan = plan_tiles(info(4096, 4096, 0.5), np.ones((9, 9), bool), TileSpec(64, 0.5, 64), likely)
    assert set(map(tuple, (plan.cells[:64] // 8).tolist())) == {(5, 1)}
    assert len(plan) == 64 * 64
