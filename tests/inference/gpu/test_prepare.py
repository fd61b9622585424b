"""A network's input made of RGB tiles by a library of arrays, as CuPy is one: that of the host."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_ai.core.cards import InputSpec, Layout, MacenkoTarget, ModelCard, Tta
from wsi_ai.inference.gpu.cutting import form_for
from wsi_ai.inference.gpu.kernel import Placed, open_prepare, shrinking
from wsi_ai.inference.scoring import prepare, resized_all
from wsi_ai.testing.stand_ins import MEAN_CARD


def card(
    network_px: int | None = None, layout: Layout = Layout.NCHW, dtype: str = "float32"
) -> Any:
    plain = dtype == "uint8"
    mean, std = ((0.0,) * 3, (1.0,) * 3) if plain else ((0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
    spec = InputSpec(layout, dtype, mean, std, network_px=network_px)
    return replace(MEAN_CARD, input=spec)


def tiles(seed: int, side: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (3, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_without_another_size_it_is_the_hosts_input_bit_for_bit(layout: Layout, dtype: str) -> None:
    model = card(None, layout, dtype)
    got = open_prepare(model, Placed(np))(tiles(1))
    np.testing.assert_array_equal(got, prepare(tiles(1), model))
    assert got.flags.c_contiguous


@given(seed=st.integers(0, 99), side=st.integers(16, 150))
def test_another_size_is_a_grey_level_from_pillows_at_most(seed: int, side: int) -> None:
    model = card(side, Layout.NHWC, "uint8")
    got = open_prepare(model, Placed(np))(tiles(seed)).astype(int)
    assert np.abs(got - resized_all(tiles(seed), side)).max() <= 1


@given(length=st.integers(1, 400), wanted=st.integers(1, 400))
def test_a_resized_side_weighs_each_of_its_pixels_once(length: int, wanted: int) -> None:
    weights = shrinking(length, wanted)
    assert weights.shape == (wanted, length)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    assert weights.min() >= 0


def changed(**fields: Any) -> ModelCard:
    return replace(card(), input=replace(card().input, **fields))


@pytest.mark.parametrize(
    ("model", "rgb"),
    [
        (card(), False),
        (card(None, Layout.NHWC, "uint8"), True),
        (card(None, Layout.NCHW, "uint8"), False),
        (card(128), True),
        (changed(tta=Tta.D4), True),
        (changed(stain=MacenkoTarget()), True),
    ],
    ids=["plain", "RGB", "planes", "another size", "views", "stain"],
)
def test_tiles_are_drawn_as_the_networks_input_where_nothing_is_done_to_them_first(
    model: ModelCard, *, rgb: bool
) -> None:
    assert form_for(model).is_rgb == rgb
