"""A journal cut anywhere gives back whole batches, and only its own."""

import os
import struct
import zlib
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


@given(place=st.integers(0, 700), flip=st.integers(1, 255))
def test_a_changed_byte_gives_back_only_what_came_before_it(
    tmp_path_factory: pytest.TempPathFactory, place: int, flip: int
) -> None:
    path = tmp_path_factory.mktemp("journal") / "j"
    whole = predictions(3)
    write(path, whole)
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= flip
    path.write_bytes(content)
    _, batches = read(path)
    assert len(batches) < 3
    assert_same(batches, whole[: len(batches)])


def forged(path: Path) -> bytes:
    """Other scores, with CRCs that fit: as somebody would write them who knows the form."""
    content, scores = bytearray(path.read_bytes()), slice(32 + 24 + 4 * 8, 32 + 24 + 4 * 8 + 32)
    content[scores] = np.zeros(8, "<f4").tobytes()
    crc = zlib.crc32(bytes(content[32:52] + content[56 : scores.stop]))
    content[52:56] = struct.pack("<I", crc)
    return bytes(content)


def test_forged_scores_are_not_taken_though_their_crc_fits(tmp_path: Path) -> None:
    path = tmp_path / "j"
    write(path, predictions(1))
    path.write_bytes(forged(path))
    assert read(path) == (0, [])


def test_records_of_another_journal_or_in_another_order_are_not_taken(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    write(one, predictions(2))
    write(other, predictions(1), OTHER)
    size = 24 + 4 * (8 + 8) + 32
    mine, theirs = one.read_bytes(), other.read_bytes()
    one.write_bytes(mine[:32] + theirs[32:])
    assert read(one) == (0, [])
    one.write_bytes(mine[:32] + mine[32 + size :])
    assert read(one) == (0, [])


@pytest.mark.parametrize("kind", ["link", "pipe", "broken link"])
def test_a_link_or_a_pipe_in_the_place_of_a_journal_is_not_followed(
    tmp_path: Path, kind: str
) -> None:
    path, victim = tmp_path / "j", tmp_path / "victim"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(victim)
    if kind == "link":
        victim.write_text("precious")
    assert write(path, predictions(2)) == 0
    assert read(path)[0] == 8
    assert (victim.read_text() if victim.exists() else "") == ("precious" * (kind == "link"))
