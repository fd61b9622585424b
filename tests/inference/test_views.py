"""Test-time views: each is undone exactly, and a score is the mean over them."""

import numpy as np
import pytest

from wsi_ai.core.cards import Tta
from wsi_ai.inference.views import Orientation, mean_over, views_of


@pytest.mark.parametrize(("tta", "count"), [(Tta.NONE, 1), (Tta.FLIPS, 4), (Tta.D4, 8)])
def test_the_views_are_all_different_and_the_first_is_the_tile(tta: Tta, count: int) -> None:
    tile = np.arange(2 * 5 * 5 * 3).reshape(2, 5, 5, 3)
    seen = [view.of(tile, np) for view in views_of(tta)]
    assert np.array_equal(seen[0], tile)
    assert len({view.tobytes() for view in seen}) == count


@pytest.mark.parametrize("view", views_of(Tta.D4))
def test_a_map_of_a_view_is_put_back_onto_the_tile(view: Orientation) -> None:
    tiles = np.random.default_rng(3).random((2, 6, 6, 3)).astype(np.float32)
    shown = view.of(tiles, np).transpose(0, 3, 1, 2)
    assert np.array_equal(view.back(shown), tiles.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("view", views_of(Tta.D4))
def test_torch_shows_the_same_views(view: Orientation) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    tiles = np.random.default_rng(4).integers(0, 256, (2, 6, 6, 3), np.uint8)
    there = view.of(torch.from_numpy(tiles), torch)
    assert np.array_equal(there.numpy(), view.of(tiles, np))


def test_a_tile_without_a_number_in_one_view_has_none() -> None:
    views = views_of(Tta.FLIPS)
    parts = [np.full((2, 1), k, np.float32) for k in range(4)]
    parts[2][1] = np.nan
    mean = mean_over(views, parts)
    assert mean[0, 0] == 1.5
    assert np.isnan(mean[1, 0])
