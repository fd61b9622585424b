"""A sum is exact, its parts are noise, and what is not of one round is no sum."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tests.trial.data_for_tests import LAW
from wsi_ai.trial.disclosure.secure_sum import MOST, NotASum, Round, add_up, masked

COLUMNS = ("true positives", "misses", "false positives")


def public(key: X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


KEYS = sorted((X25519PrivateKey.generate() for _ in range(17)), key=public)
ROUND = Round(tuple(public(key) for key in KEYS), COLUMNS, "3f1c look 1")


def parts(counts: np.ndarray, sums: Round = ROUND) -> dict[bytes, np.ndarray]:
    return {public(key): masked(row, key, sums) for key, row in zip(KEYS, counts, strict=False)}


@LAW
@given(st.integers(0, 10**6))
def test_the_sum_is_exact(seed: int) -> None:
    counts = np.random.default_rng(seed).integers(0, MOST + 1, (17, 3))
    assert (add_up(parts(counts), ROUND) == counts.sum(0)).all()


def test_a_part_of_nothing_looks_like_any_other_number() -> None:
    """Bits of parts of zeros are fair, and two rounds have nothing in common."""
    many = Round(ROUND.sites, tuple(map(str, range(2000))), "a")
    zeros = np.zeros(2000, np.int64)
    one, other = (
        masked(zeros, KEYS[0], many),
        masked(zeros, KEYS[0], Round(many.sites, many.columns, "b")),
    )
    ones = np.unpackbits(one.view(np.uint8)).mean()
    assert ones == pytest.approx(0.5, abs=0.01)
    assert np.unpackbits((one ^ other).view(np.uint8)).mean() == pytest.approx(0.5, abs=0.01)


def test_all_parts_but_one_say_nothing_of_the_sum() -> None:
    found = parts(np.ones((17, 3), np.int64))
    rest = np.add.reduce([part for site, part in found.items() if site != public(KEYS[5])])
    assert (rest > 17 * MOST).all()


@pytest.mark.parametrize("wrong", ["missing", "another round", "twice", "other columns"])
def test_what_does_not_belong_together_is_no_sum(wrong: str) -> None:
    counts = np.full((17, 3), 20)
    found = parts(counts)
    if wrong == "missing":
        del found[public(KEYS[3])]
    elif wrong == "another round":
        other = Round(ROUND.sites, COLUMNS, "3f1c look 2")
        found[public(KEYS[3])] = masked(counts[3], KEYS[3], other)
    elif wrong == "twice":
        found[public(KEYS[3])] = found[public(KEYS[4])]
    else:
        found[public(KEYS[3])] = found[public(KEYS[3])][:2]
    with pytest.raises(NotASum):
        add_up(found, ROUND)


def test_sites_that_mean_other_columns_do_not_add_up() -> None:
    """The same numbers under other names would be added without a word."""
    renamed = Round(ROUND.sites, (*COLUMNS[:2], "true negatives"), ROUND.occasion)
    found = parts(np.full((17, 3), 20))
    found[public(KEYS[0])] = masked(np.full(3, 20), KEYS[0], renamed)
    with pytest.raises(NotASum):
        add_up(found, ROUND)


def test_few_sites_and_sites_named_twice_are_refused() -> None:
    sites = ROUND.sites
    for wrong in (sites[:4], (*sites, sites[0]), sites[::-1], (*sites[:5], b"short")):
        with pytest.raises(ValueError, match=r"sites|key"):
            Round(wrong, COLUMNS, "x")


def test_a_stranger_and_a_count_that_is_none_are_refused() -> None:
    with pytest.raises(ValueError, match="not one of those"):
        masked(np.zeros(3, np.int64), X25519PrivateKey.generate(), ROUND)
    for counts in ([-1, 0, 0], [MOST + 1, 0, 0], [0, 0]):
        with pytest.raises(ValueError, match="a count from 0"):
            masked(np.array(counts), KEYS[0], ROUND)
