"""Resampling is exact, and rounded once, halves up."""

import logging
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.delivery.servers import missing
from wsi_ai.core.geometry import Size
from wsi_ai.slides.readers.tiff.reader import open_slide
from wsi_ai.tiles.reading import shrink
from wsi_ai.tiles.reading.shrink import LARGEST_TOTAL, shrinker, taps

Image = NDArray[np.uint8]
SIDES = [
    (418, 224),
    (230, 224),
    (336, 224),
    (7, 5),
    (5, 5),
    (9, 1),
    (1, 4),
    (2, 5),
    (200, 224),
]


def drawn(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def resampled(source: Image, height: int, width: int) -> Image:
    out = np.empty((height, width, 3), np.uint8)
    shrinker(Size(source.shape[1], source.shape[0]), Size(width, height))(source, out)
    return out


def shares(read: int, wanted: int) -> list[list[Fraction]]:
    """What each pixel that is read weighs in each that is wanted, by the words of the module."""
    scale = Fraction(read, wanted)
    if read >= wanted:
        spans = [(i * scale, (i + 1) * scale) for i in range(wanted)]
        return [
            [max(Fraction(0), min(b, k + 1) - max(a, k)) / scale for k in range(read)]
            for a, b in spans
        ]
    middles = [(i + Fraction(1, 2)) * scale - Fraction(1, 2) for i in range(wanted)]
    held = [min(max(middle, Fraction(0)), Fraction(read - 1)) for middle in middles]
    return [[max(Fraction(0), 1 - abs(middle - k)) for k in range(read)] for middle in held]


@pytest.mark.parametrize(("read", "wanted"), SIDES)
def test_taps_are_those_of_the_definition(read: int, wanted: int) -> None:
    found = taps(read, wanted)
    dense = np.zeros((wanted, read), np.int64)
    for pixel, (first, weights) in enumerate(zip(found.first, found.weights, strict=True)):
        dense[pixel, first : first + len(weights)] += weights
    assert [[Fraction(int(w), found.total) for w in row] for row in dense] == shares(read, wanted)


@pytest.mark.parametrize(
    ("read", "wanted"), [((7, 9), (5, 4)), ((5, 3), (8, 7)), ((4, 11), (6, 3)), ((8, 8), (2, 2))]
)
def test_pixels_are_those_of_the_definition_halves_up(
    read: tuple[int, int], wanted: tuple[int, int]
) -> None:
    source = drawn(*read)
    down, along = shares(read[0], wanted[0]), shares(read[1], wanted[1])
    levels = source.astype(object)
    exact = np.einsum("yr,xc,rcn->yxn", np.array(down), np.array(along), levels)
    rounded = np.vectorize(lambda value: int(value + Fraction(1, 2)))(exact)
    assert resampled(source, *wanted).tolist() == rounded.tolist()


def test_numpy_gives_the_bytes_of_the_compiled_code(monkeypatch: pytest.MonkeyPatch) -> None:
    needs_compiled()
    rng, found = np.random.default_rng(3), list[tuple[Image, tuple[int, int], Image]]()
    for seed in range(60):
        height, width, to_y, to_x = (int(n) for n in rng.integers(1, 90, 4))
        source = drawn(height, width, seed)
        found.append((source, (to_y, to_x), resampled(source, to_y, to_x)))
    monkeypatch.setattr(shrink, "_compiled", None)
    for source, size, expected in found:
        np.testing.assert_array_equal(resampled(source, *size), expected)


def needs_compiled() -> None:
    """A compiler without Python's headers builds nothing either."""
    if shrink._compiled is None:
        missing("wsi_ai was installed without a C compiler and Python's headers")


@pytest.mark.parametrize("side", [64, 224])
def test_opencv_averages_four_as_the_compiled_code_does(
    side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = drawn(2 * side, 2 * side)
    by_opencv = resampled(source, side, side)
    monkeypatch.setattr(shrink, "_average_of_four", None)
    down = taps(2 * side, side)
    again = np.empty_like(by_opencv)
    shrink._by_numpy(down, down)(source, again)
    np.testing.assert_array_equal(again, by_opencv)


@pytest.mark.parametrize("read", [230, 336, 418, 448, 890])
def test_tissue_is_within_half_a_level_of_the_average(cmu: Path, read: int) -> None:
    with open_slide(cmu) as slide:
        tile = slide.read(0, 600, 900, read, read)
    begin, pixel = np.arange(224)[:, None] * read / 224, np.arange(read)
    covered = np.minimum(begin + read / 224, pixel + 1) - np.maximum(begin, pixel)
    weights = np.maximum(covered, 0) * 224 / read
    exact = np.einsum("yr,xc,rcn->yxn", weights, weights, tile.astype(float), optimize=True)
    assert np.abs(resampled(tile, 224, 224) - exact).max() <= 0.5 + 1e-9


@pytest.mark.parametrize(("read", "wanted"), SIDES)
def test_a_plain_picture_stays_as_it_is(read: int, wanted: int) -> None:
    """No grey level is lost, white least of all."""
    for level in (0, 1, 127, 254, 255):
        plain = np.full((read, read, 3), level, np.uint8)
        assert (resampled(plain, wanted, wanted) == level).all()


def test_white_stays_white_at_sizes_where_single_precision_loses_it() -> None:
    """opencv/opencv#24238: from 500 to 521 px to 512."""
    for read in range(500, 522):
        assert resampled(np.full((read, read, 3), 255, np.uint8), 512, 512).min() == 255


def test_larger_is_linear_as_opencv_has_it() -> None:
    source = cv2.GaussianBlur(drawn(200, 180), (0, 0), 2)
    by_opencv = cv2.resize(source, (224, 224), interpolation=cv2.INTER_LINEAR)
    apart = np.abs(resampled(np.asarray(source), 224, 224).astype(int) - by_opencv)
    assert apart.max() <= 1


def test_sums_beyond_32_bits_are_right_too() -> None:
    """A large tile, made larger: weights of 2898 each way."""
    read, wanted = 8, 1449
    assert taps(read, wanted).total ** 2 > LARGEST_TOTAL
    source = drawn(read, read)
    by_opencv = cv2.resize(source, (wanted, wanted), interpolation=cv2.INTER_LINEAR)
    assert np.abs(resampled(source, wanted, wanted).astype(int) - by_opencv).max() <= 1


def test_neighbours_meet_without_a_border() -> None:
    """A ramp across two tiles stays a ramp."""
    ramp = np.broadcast_to(np.linspace(0, 250, 836).astype(np.uint8)[None, :, None], (418, 836, 3))
    halves = [resampled(ramp[:, n * 418 : (n + 1) * 418], 224, 224) for n in range(2)]
    steps = np.diff(np.concatenate(halves, axis=1)[0, :, 0].astype(int))
    assert steps.min() >= 0
    assert steps.max() <= 2


def test_threads_share_a_shrinker() -> None:
    tiles, make = (
        [drawn(419, 419, seed) for seed in range(8)],
        shrinker(Size(419, 419), Size(224, 224)),
    )

    def one(tile: Image) -> Image:
        out = np.empty((224, 224, 3), np.uint8)
        make(tile, out)
        return out

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(one, tiles))
    assert all(np.array_equal(a, one(tile)) for a, tile in zip(together, tiles, strict=True))


def test_without_a_compiler_it_says_that_it_is_slower(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shrink, "_compiled", None)
    shrink._say_it_is_slow.cache_clear()
    with caplog.at_level(logging.WARNING):
        resampled(drawn(9, 9), 5, 5)
        resampled(drawn(9, 9), 5, 5)
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "wsi_ai was installed without a C compiler"
    ]


def test_the_compiled_code_refuses_what_does_not_fit() -> None:
    """It would read or write beside the arrays."""
    needs_compiled()
    resample = shrink._compiled
    assert resample is not None
    source, out, side = drawn(9, 9), np.empty((5, 5, 3), np.uint8), taps(9, 5)
    whole = (side.first, side.weights, side.first, side.weights, side.total**2)
    beyond = side.first + 1
    for given in (
        (source[:8], out, *whole),
        (source, out[:4], *whole),
        (source[..., :2].copy(), out, *whole),
        (source.astype(np.int16), out, *whole),
        (source, out, beyond, *whole[1:]),
        (source, out, side.first - 1, *whole[1:]),
        (source, out, side.first[:4], *whole[1:]),
        (source, out, side.first.astype(np.int64), *whole[1:]),
        (source, out, side.first, side.weights[:, 0].copy(), *whole[2:]),
        (source, out, *whole[:4], 0),
        (source, out, *whole[:4], LARGEST_TOTAL + 1),
    ):
        with pytest.raises(ValueError, match="do not fit"):
            resample(*given)
    with pytest.raises((BufferError, ValueError)):
        resample(source, out[:, ::-1], *whole)
    out.flags.writeable = False
    with pytest.raises((BufferError, ValueError)):
        resample(source, out, *whole)
    with pytest.raises(TypeError):
        resample(source, out)
