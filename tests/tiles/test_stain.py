"""Stain normalisation against torchstain and OpenCV, and where it declines."""

import cv2
import numpy as np
import pytest

from wsi_ai.core.cards import MacenkoTarget, ReinhardTarget, StainTarget
from wsi_ai.core.values import Recolour
from wsi_ai.errors import StainUnclear
from wsi_ai.slides.readers.openslide import open_slide
from wsi_ai.tiles.stain import find_stain, to_lab

TARGETS = [MacenkoTarget(), ReinhardTarget()]


@pytest.fixture(scope="module", params=["mixed", "cmu"])
def tissue(request: pytest.FixtureRequest) -> np.ndarray:
    """Two stains mixed by chance, or a piece of a real slide."""
    if request.param == "cmu":
        with open_slide(request.getfixturevalue("cmu")) as slide:
            return slide.read(0, 800, 1000, 256, 256)
    amounts = np.random.default_rng(5).gamma(1.2, 0.6, (256, 256, 2))
    density = amounts @ [[0.65, 0.70, 0.29], [0.10, 0.95, 0.20]]
    return np.clip(240 * np.exp(-density), 0, 255).astype(np.uint8)


def recoloured(target: StainTarget, image: np.ndarray) -> np.ndarray:
    return find_stain(target, image.reshape(-1, 3))(image, np)


def furthest(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b).max())


def test_macenko_gives_what_torchstain_gives(tissue: np.ndarray) -> None:
    stain = pytest.importorskip("torchstain.numpy.normalizers", reason="torchstain is missing")
    expected, _, _ = stain.NumpyMacenkoNormalizer().normalize(tissue, stains=False)
    got = recoloured(MacenkoTarget(), tissue)
    assert furthest(got, expected) <= 1  # it cuts the fraction off, where this rounds
    assert furthest(got, tissue) > 20


def test_reinhard_gives_what_torchstain_gives(tissue: np.ndarray) -> None:
    stain = pytest.importorskip("torchstain.numpy.normalizers", reason="torchstain is missing")
    theirs = stain.NumpyReinhardNormalizer()
    theirs.target_means, theirs.target_stds = ReinhardTarget().mean, ReinhardTarget().std
    plain = tissue[np.any(tissue < 206, axis=-1)][:, None]  # without glass, which is left out here
    shown = recoloured(ReinhardTarget(), plain)
    inside = np.all((shown > 2) & (shown < 253), axis=-1)  # beyond it wraps round, this clips
    got, expected = shown[inside], theirs.normalize(plain)[inside]
    assert inside.mean() > 0.6
    assert furthest(got, expected) <= 2
    assert furthest(got, plain[inside]) > 20


@pytest.mark.parametrize("target", [MacenkoTarget(), ReinhardTarget()])
def test_glass_stays_glass(target: StainTarget, tissue: np.ndarray) -> None:
    found = find_stain(target, tissue.reshape(-1, 3))
    glass = np.repeat(np.arange(240, 256, dtype=np.uint8)[:, None], 3, axis=1)
    assert found(glass, np).min() >= 240
    assert found(np.full((2, 8, 8, 3), 255, np.uint8), np).min() >= 240


def test_cielab_is_opencvs() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    expected = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    np.testing.assert_allclose(
        to_lab(pixels, np), expected, atol=0.4
    )  # OpenCV interpolates in a table


@pytest.mark.parametrize("target", TARGETS)
def test_a_slide_that_has_the_targets_colours_already_keeps_them(
    target: StainTarget, tissue: np.ndarray
) -> None:
    once = recoloured(target, tissue)
    again = recoloured(target, once)
    moved = np.abs(once.astype(int) - tissue).mean()
    assert np.abs(again.astype(int) - once).mean() < moved / 4


@pytest.mark.parametrize("target", TARGETS)
def test_two_scanners_of_one_slide_come_to_look_alike(
    target: StainTarget, tissue: np.ndarray
) -> None:
    density = -np.log((tissue + 1.0) / 256)
    paler = np.clip(256 * np.exp(-0.75 * density * [1.1, 1.0, 0.9]) - 1, 0, 255).astype(np.uint8)
    before = np.abs(paler.astype(int) - tissue).mean()
    after = recoloured(target, paler).astype(int) - recoloured(target, tissue)
    assert np.abs(after).mean() < before / 4


@pytest.mark.parametrize("target", TARGETS)
def test_torch_and_numpy_give_the_same_pixels(target: StainTarget, tissue: np.ndarray) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    stain: Recolour = find_stain(target, tissue.reshape(-1, 3))
    there = stain(torch.from_numpy(tissue), torch)
    assert there.dtype == torch.uint8
    assert furthest(there.numpy(), stain(tissue, np)) <= 1


@pytest.mark.parametrize("target", TARGETS)
def test_the_same_pixels_always_give_the_same_stain(
    target: StainTarget, tissue: np.ndarray
) -> None:
    pixels = tissue.reshape(-1, 3)
    assert find_stain(target, pixels) == find_stain(target, pixels.copy())


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("what", ["glass", "few", "one colour"])
def test_where_the_sample_does_not_say_there_is_no_stain(
    target: StainTarget, what: str, tissue: np.ndarray
) -> None:
    pixels = tissue.reshape(-1, 3)
    samples = {
        "glass": np.full((10_000, 3), 244, np.uint8),
        "few": pixels[:1000],
        "one colour": np.full((10_000, 3), (150, 80, 160), np.uint8),
    }
    with pytest.raises(StainUnclear, match="its stain cannot be found"):
        find_stain(target, samples[what])


def test_one_stain_alone_is_not_two() -> None:
    amount = np.random.default_rng(2).uniform(0.4, 2, (20_000, 1))
    pixels = np.clip(240 * np.exp(-amount * [0.65, 0.70, 0.29]), 0, 255).astype(np.uint8)
    with pytest.raises(StainUnclear, match="one colour"):
        find_stain(MacenkoTarget(), pixels)
