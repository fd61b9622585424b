"""What every runtime must do, as tests.

class TestMyRuntime(RuntimeContract):
    @pytest.fixture
    def runtime(self): return open_runtime(card, RuntimeRequest("cuda:0"))
"""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from wsi_ai.core.contracts import Runtime
from wsi_ai.core.values import Predictions, TileBatch
from wsi_ai.errors import WsiAiError

Images = NDArray[np.uint8]


class Arena:
    """Batches in one reused memory, spoilt as soon as the next is taken: a view that is kept for
    too long shows wrong data."""

    def __init__(self, pixels: Images, sizes: list[int]) -> None:
        self.taken = 0
        self._pixels, self._sizes = pixels, sizes

    def __iter__(self) -> Iterator[TileBatch]:
        memory = np.empty((max(self._sizes, default=0), *self._pixels.shape[1:]), np.uint8)
        start = 0
        for number, size in enumerate(self._sizes):
            memory[:size] = self._pixels[start : start + size]
            self.taken += 1
            index = np.arange(start, start + size)
            yield TileBatch(f"slide-{number // 2}", index, memory[:size])
            start += size
            memory[:] = 0xA5


class RuntimeContract:
    """Give a ``runtime`` fixture.  ``tolerance`` is how far two scores of the same tile may differ
    when it stands in another place of another batch."""

    tolerance = 1e-5

    @pytest.fixture
    def tiles(self, runtime: Runtime) -> Callable[[int], Images]:
        side = runtime.card.tile.size_px

        def draw(count: int) -> Images:
            rng = np.random.default_rng(count)
            shades = rng.integers(0, 256, (count, 1, 1, 3))
            grain = rng.integers(-20, 21, (count, side, side, 3))
            images: Images = np.clip(shades + grain, 0, 255).astype(np.uint8)
            return images

        return draw

    def test_one_prediction_a_batch_in_order_with_its_slide_and_index(
        self, runtime: Runtime, tiles: Callable[[int], Images]
    ) -> None:
        sizes = self._sizes(runtime, 6)
        got = list(runtime.predict(Arena(tiles(sum(sizes)), sizes)))
        ends = np.cumsum(sizes)
        assert [p.slide_id for p in got] == [f"slide-{n // 2}" for n in range(len(sizes))]
        for prediction, size, end in zip(got, sizes, ends, strict=True):
            assert prediction.index.tolist() == list(range(end - size, end))

    def test_scores_are_a_number_in_0_to_1_for_each_class(
        self, runtime: Runtime, tiles: Callable[[int], Images]
    ) -> None:
        (got,) = runtime.predict(Arena(tiles(3), [3]))
        assert got.scores.dtype == np.float32
        assert got.scores.shape == (3, len(runtime.card.classes))
        assert np.all((got.scores >= 0) & (got.scores <= 1))

    def test_a_tiles_score_depends_on_nothing_but_the_tile(
        self, runtime: Runtime, tiles: Callable[[int], Images]
    ) -> None:
        pixels = tiles(5)
        together = self._scores(runtime.predict(Arena(pixels, [5])))
        apart = self._scores(runtime.predict(Arena(pixels, [1, 0, 3, 1])))
        np.testing.assert_allclose(apart, together, rtol=0, atol=self.tolerance)

    def test_different_tiles_score_differently(
        self, runtime: Runtime, tiles: Callable[[int], Images]
    ) -> None:
        scores = self._scores(runtime.predict(Arena(tiles(8), [8])))
        assert len(np.unique(scores)) > 1

    def test_predictions_are_the_takers_to_keep(
        self, runtime: Runtime, tiles: Callable[[int], Images]
    ) -> None:
        sizes = self._sizes(runtime, 6)
        pixels, kept, copies = tiles(sum(sizes)), list[Predictions](), list[tuple[bytes, bytes]]()
        for prediction in runtime.predict(Arena(pixels, sizes)):
            kept.append(prediction)
            copies.append((prediction.index.tobytes(), prediction.scores.tobytes()))
        assert [(p.index.tobytes(), p.scores.tobytes()) for p in kept] == copies

    def test_no_batch_is_taken_before_the_first_prediction_is_asked_for(
        self, runtime: Runtime, tiles: Callable[[int], Images]
    ) -> None:
        batches = Arena(tiles(2), [2])
        runtime.predict(batches)
        assert batches.taken == 0

    def test_few_batches_are_taken_ahead(
        self, runtime: Runtime, tiles: Callable[[int], Images]
    ) -> None:
        batches = Arena(tiles(16), [1] * 16)
        predictions = iter(runtime.predict(batches))
        next(predictions)
        assert batches.taken <= 8

    def test_no_batches_give_no_predictions(self, runtime: Runtime) -> None:
        assert list(runtime.predict([])) == []

    def test_an_empty_batch_gives_an_empty_answer_in_its_place(
        self, runtime: Runtime, tiles: Callable[[int], Images]
    ) -> None:
        got = list(runtime.predict(Arena(tiles(2), [1, 0, 1])))
        assert [p.scores.shape for p in got] == [(n, len(runtime.card.classes)) for n in (1, 0, 1)]

    def test_what_the_batches_raise_passes_through(
        self, runtime: Runtime, tiles: Callable[[int], Images]
    ) -> None:
        def broken() -> Iterator[TileBatch]:
            yield from Arena(tiles(2), [2])
            raise WsiAiError("the reader failed")

        with pytest.raises(WsiAiError, match="the reader failed"):
            list(runtime.predict(broken()))

    def test_it_can_be_used_again_after_being_left_early(
        self, runtime: Runtime, tiles: Callable[[int], Images]
    ) -> None:
        pixels = tiles(6)
        expected = self._scores(runtime.predict(Arena(pixels, [2, 2, 2])))
        left = runtime.predict(Arena(pixels, [2, 2, 2]))
        next(left)
        del left
        again = self._scores(runtime.predict(Arena(pixels, [2, 2, 2])))
        np.testing.assert_allclose(again, expected, rtol=0, atol=self.tolerance)

    def test_it_says_what_it_runs_on(self, runtime: Runtime) -> None:
        library, _, rest = runtime.description.partition("/")
        assert library
        assert rest

    def _sizes(self, runtime: Runtime, batches: int) -> list[int]:
        full = min(runtime.batch_size, 8)
        return [full] * (batches - 2) + [0, max(1, full // 2)]

    def _scores(self, predictions: Iterator[Predictions]) -> NDArray[np.float32]:
        return np.concatenate([p.scores for p in predictions])
