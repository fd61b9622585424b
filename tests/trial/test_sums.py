"""A site's sums add up, and come back from their document as they were."""

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trial.data_for_tests import LAW
from tests.trial.sums import drawn_sums
from wsi_ai.errors import TrialError
from wsi_ai.schemas.reading import from_json
from wsi_ai.trial.documents import canonical
from wsi_ai.trial.evidence.accuracy import Levels
from wsi_ai.trial.sums import Mix, MixKind, of_document, plain_name, to_document


@LAW
@given(st.integers(0, 10**6), st.integers(1, 400))
def test_sums_come_back_from_their_document_as_they_were(seed: int, cases: int) -> None:
    sums = drawn_sums(seed, cases=cases)
    assert of_document(from_json(canonical(to_document(sums)))) == sums


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("flags", "without", "standard"), 1, "add up"),
        (("reasons",), [], "one reason"),
        (("flow", "cases"), 1, "flow"),
        (("histogram", "without", 3), 999, "histogram once"),
        (("area", "positives"), 9999, "area is of the cases"),
        (("origin", "last_month"), "2026-01", "ends before"),
        (("origin", "protocol_sha256"), "name of a person", "protocol_sha256"),
        (("mix", 0, "value"), "line\nbreak", "mix"),
        (("area",), {"value": None}, "area"),
        (("accession",), "X-1", "no such field"),
    ],
)
def test_sums_that_do_not_hold_are_refused(path: tuple[Any, ...], value: Any, message: str) -> None:
    document = copy.deepcopy(from_json(canonical(to_document(drawn_sums(1)))))
    at = document
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    with pytest.raises(TrialError, match=message):
        of_document(document)


def test_months_subgroups_and_vendors_are_there_once() -> None:
    sums = drawn_sums(1)
    with pytest.raises(ValueError, match="in order"):
        replace(sums, months=sums.months[::-1])
    for doubled in ("subgroups", "mix"):
        with pytest.raises(ValueError, match="twice"):
            replace(sums, **{doubled: getattr(sums, doubled) * 2})


def test_a_case_that_was_not_assessed_without_a_reason_is_refused() -> None:
    sums = drawn_sums(1)
    more = sums.flags.without + Levels(not_assessed=1)
    with pytest.raises(ValueError, match="one reason"):
        replace(sums, flags=replace(sums.flags, without=more), subgroups=())


@LAW
@given(st.text(max_size=200))
def test_whatever_a_slide_calls_its_scanner_has_a_name_that_sums_take(text: str) -> None:
    sums = drawn_sums(1, cases=40)
    named = replace(sums, mix=(Mix(MixKind.SCANNER, plain_name(text), 40, 0),))
    assert of_document(to_document(named)) == named
