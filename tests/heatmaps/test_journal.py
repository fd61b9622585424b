"""A journal cut anywhere gives back whole batches, and only its own."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_ai.core.values import Predictions
from wsi_ai.heatmaps import Journal

QUESTION, OTHER = "ab" * 32, "cd" * 32


def predictions(count: int, first: int = 0) -> list[Predictions]:
    """Batches of 4 tiles, the second one with a tile lost and the third with all."""
    out = []
    for n in range(first, first + count):
        index = np.arange(4 * n, 4 * n + 4)[: {1: 3, 2: 0}.get(n, 4)]
        out.append(Predictions("s", index, np.float32(index[:, None] / 7) * [1, 2]))
    return out


def write(path: Path, batches: list[Predictions], question: str = QUESTION) -> int:
    with Journal(path, question, "s", 4) as journal:
        journal.recover(lambda batch: None)
        done = journal.done
        for batch in batches:
            journal.append(batch)
        return done


def read(path: Path, question: str = QUESTION) -> tuple[int, list[Predictions]]:
    with Journal(path, question, "s", 4) as journal:
        batches = list[Predictions]()
        journal.recover(batches.append)
        return journal.done, batches


def assert_same(a: list[Predictions], b: list[Predictions]) -> None:
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one.index, other.index)
        np.testing.assert_array_equal(one.scores, np.float32(other.scores))


def test_what_was_kept_comes_back_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "j"
    assert write(path, predictions(3)) == 0
    assert write(path, predictions(2, first=3)) == 12
    done, batches = read(path)
    assert done == 20
    assert_same(batches, predictions(5))


@given(cut=st.integers(0, 400), junk=st.binary(max_size=40))
def test_a_file_cut_anywhere_gives_back_whole_batches_and_takes_new_ones(
    tmp_path_factory: pytest.TempPathFactory, cut: int, junk: bytes
) -> None:
    path = tmp_path_factory.mktemp("journal") / "j"
    write(path, predictions(5))
    path.write_bytes(path.read_bytes()[:cut] + junk)
    done, batches = read(path)
    assert done == 4 * len(batches)
    assert_same(batches, predictions(len(batches)))
    write(path, predictions(5 - len(batches), first=len(batches)))
    assert_same(read(path)[1], predictions(5))


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_never_gives_a_wrong_score(
    tmp_path_factory: pytest.TempPathFactory, at: int, bit: int
) -> None:
    path = tmp_path_factory.mktemp("journal") / "j"
    write(path, predictions(5))
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= 1 << bit
    path.write_bytes(content)
    batches = read(path)[1]
    assert_same(batches, predictions(len(batches)))


@pytest.mark.parametrize("shape", [(4, 3), (4, 2, 5, 7), (4, 9, 6), (0, 2, 5, 7)])
def test_scores_of_any_task_come_back_in_their_shape(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    scores = np.random.default_rng(1).random(shape, np.float32)
    batch = Predictions("s", np.arange(shape[0]), scores)
    write(tmp_path / "j", [batch])
    assert_same(read(tmp_path / "j")[1], [batch])
    assert read(tmp_path / "j")[1][0].scores.shape == shape


def test_batches_of_another_size_go_on_where_the_others_ended(tmp_path: Path) -> None:
    path = tmp_path / "j"
    write(path, predictions(3))
    halves = [Predictions("s", np.arange(n, n + 2), np.ones((2, 2), np.float32)) for n in (12, 14)]
    with Journal(path, QUESTION, "s", 2) as journal:
        journal.recover(lambda batch: None)
        assert journal.done == 12
        for batch in halves:
            journal.append(batch)
    done, batches = read(path)
    assert done == 16
    assert_same(batches, [*predictions(3), *halves])


def test_another_question_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "j"
    write(path, predictions(3))
    assert read(path, OTHER) == (0, [])
    assert read(path) == (0, [])
