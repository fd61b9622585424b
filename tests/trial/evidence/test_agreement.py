"""Two readers, and what chance would make of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from tests.trial.data_for_tests import LAW, known
from wsi_ai.trial.evidence.agreement import NO_DISAGREEMENT, ONE_WORD, kappa
from wsi_ai.trial.evidence.drift import binned, decile_edges, stability_index, two_samples
from wsi_ai.trial.evidence.estimates import Estimate, NotEstimable
from wsi_ai.trial.evidence.gaps import NotWorse, cases_to_say, verdict
from wsi_ai.trial.evidence.shares import Share, difference


def readers(table: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    cells = [(i, j) for i, row in enumerate(table) for j, n in enumerate(row) for _ in range(n)]
    first, second = np.array(cells, np.int64).T
    return first, second


@pytest.mark.parametrize(
    ("table", "value"),
    [
        ([[20, 5], [10, 15]], 0.4),
        ([[45, 15], [25, 15]], 6 / 46),  # the same agreement, other margins
        ([[25, 35], [5, 35]], 14 / 54),
        ([[0, 5], [5, 0]], -1.0),
    ],
)
def test_kappas_that_can_be_reckoned_by_hand(table: list[list[int]], value: float) -> None:
    found = kappa(*readers(table))
    if value > -1:
        assert known(found).value == pytest.approx(value, abs=1e-12)
    else:
        assert isinstance(found, NotEstimable)


def test_the_interval_is_that_of_fleiss_cohen_and_everitt() -> None:
    """Their table of 200 diagnoses in 1969: kappa .429, standard error .054."""
    found = known(kappa(*readers([[106, 10, 4], [22, 28, 10], [2, 12, 6]])))
    assert found.value == pytest.approx(0.429, abs=5e-4)
    error = (found.high - found.value) / 1.959964
    assert error == pytest.approx(0.0537, abs=5e-4)


@LAW
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=40))
def test_kappa_is_scikit_learns_wherever_it_has_an_interval(pairs: list[tuple[int, int]]) -> None:
    first, second = np.array(pairs, np.int64).T
    found = kappa(first, second)
    if isinstance(found, Estimate):
        assert found.value == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)
        turned = known(kappa(second, first))
        assert (turned.low, turned.high) == pytest.approx((found.low, found.high), abs=1e-9)


def test_readers_who_say_one_word_or_never_differ_have_no_kappa() -> None:
    same = np.zeros(9, np.int64)
    assert kappa(same, same) is ONE_WORD
    codes = np.arange(9) % 3
    assert kappa(codes, codes) is NO_DISAGREEMENT
    assert isinstance(kappa(same[:0], same[:0]), NotEstimable)
    assert isinstance(kappa(same, same + 1), Estimate | NotEstimable)


def test_two_samples_are_scipys_and_never_of_nothing() -> None:
    found = two_samples(np.arange(10.0), np.arange(10.0) + 5)
    assert not isinstance(found, NotEstimable)
    assert found.distance == pytest.approx(0.5)
    assert found.p == pytest.approx(0.16782134274394334, abs=1e-12)
    assert isinstance(two_samples(np.arange(0.0), np.arange(3.0)), NotEstimable)
    with pytest.raises(ValueError, match="every value is a number"):
        two_samples(np.array([np.nan]), np.arange(3.0))


def test_deciles_of_a_score_with_many_ties_are_fewer_bins() -> None:
    scores = np.array([0.0] * 95 + [0.1, 0.2, 0.3, 0.4, 0.5])
    edges = decile_edges(scores)
    assert list(edges) == [0.0]
    assert list(binned(np.array([0.0]), edges)) == [0, 1], "an edge is of the upper bin"
    counts = binned(scores, edges)
    assert counts.sum() == 100
    assert stability_index(counts, counts) == 0.0
    with pytest.raises(ValueError, match="a baseline has"):
        decile_edges(scores[:0])


def test_a_decile_has_a_tenth_each() -> None:
    scores = np.random.default_rng(1).random(1000)
    assert set(binned(scores, decile_edges(scores))) <= {99, 100, 101}


@pytest.mark.parametrize(("hits", "cases"), [(950, 1000), (180, 190), (500, 1000)])
def test_with_that_number_of_cases_it_can_be_said_and_with_one_less_it_cannot(
    hits: int, cases: int
) -> None:
    reference, tolerated = Share(hits, cases), 0.1
    wanted = cases_to_say(reference, tolerated)
    assert wanted is not None

    def can_be_said(n: int) -> bool:
        level = Share(round(n * hits / cases), n)
        return isinstance(verdict(difference(level, reference), tolerated), NotWorse)

    assert can_be_said(wanted)
    assert not can_be_said(wanted - 1)


def test_where_the_reference_is_too_small_no_number_would_do() -> None:
    assert cases_to_say(Share(5, 10), 0.05) is None
    assert cases_to_say(Share(0, 0), 0.05) is None
