"""What a site's results say, and what they never say."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trial.data_for_tests import LAW
from tests.trial.protocols import document
from tests.trial.site_cases import (
    LEDGER,
    LOCK,
    analysis_of,
    opened_of,
    reference,
    slide,
    table,
)
from tests.trial.sums import origin
from wsi_ai.trial.analysis.results import headline, results
from wsi_ai.trial.analysis.summing import site_sums
from wsi_ai.trial.evidence.estimates import Estimate
from wsi_ai.trial.evidence.shares import Share, wilson
from wsi_ai.trial.opened import OpenedSlide, standing
from wsi_ai.trial.patients import Patient
from wsi_ai.trial.reference import Truth
from wsi_ai.trial.sums import of_document, to_document

ILL, WELL = Truth.CONDITION, Truth.NONE
EXAMPLE = {ILL: (92, 5, 3), WELL: (40, 350, 10)}


def of(counts: dict[Truth, tuple[int, int, int]], **protocol: Any) -> dict[str, Any]:
    return results(opened_of(analysis_of(*table(counts)), protocol={**document(), **protocol}))


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    return of(EXAMPLE)


@pytest.mark.parametrize(
    ("estimand", "sensitivity", "specificity"),
    [
        ("operational", (0.92, 0.8500, 0.9589), (0.90, 0.8667, 0.9257)),
        ("worst_case", (0.92, 0.8500, 0.9589), (0.875, 0.8390, 0.9039)),
        ("assessed_only", (0.9485, 0.8850, 0.9778), (0.8974, 0.8633, 0.9238)),
    ],
)
def test_three_estimands_stand_side_by_side(
    example: dict[str, Any],
    estimand: str,
    sensitivity: tuple[float, ...],
    specificity: tuple[float, ...],
) -> None:
    found = example["accuracy"][estimand]
    for name, wanted in (("sensitivity", sensitivity), ("specificity", specificity)):
        got = [found[name][part] for part in ("value", "low", "high")]
        assert got == pytest.approx(wanted, abs=5e-5)


def test_cases_not_assessed_are_split_by_truth_and_reason(example: dict[str, Any]) -> None:
    found = example["not_assessed"]
    assert found["share"]["all"]["value"] == 13 / 500
    assert found["share"]["with_condition"]["value"] == 3 / 100
    assert found["reasons"] == [{"code": "focus", "with_condition": 3, "without": 10, "unknown": 0}]
    assert "not assessed: 2.6 %" in headline(example)[-1]


def test_predictive_values_are_given_of_standard_and_of_all_that_waits(
    example: dict[str, Any],
) -> None:
    found = example["accuracy"]["predictive"]
    assert found["none_if_standard"]["value"] == 350 / 355
    assert found["none_if_not_expedited"]["value"] == 360 / 368


def test_the_primary_result_is_held_to_the_goal_at_the_alpha_of_its_look(
    example: dict[str, Any],
) -> None:
    assert example["primary"]["met"] is False  # .92, and its interval goes below .90
    assert example["primary"]["alpha"] == pytest.approx(0.048, abs=1e-3)
    better = of({ILL: (290, 5, 5), WELL: (40, 350, 10)})
    assert better["primary"]["met"] is True


def test_bounds_of_missing_references_hold_the_verified_rate() -> None:
    found = of({**EXAMPLE, Truth.MISSING: (4, 20, 2)})["missing_reference"]
    for measure in ("sensitivity", "specificity"):
        least, known, most = (
            found[name][measure]["value"] for name in ("least", "verified_only", "greatest")
        )
        assert least < known < most


def test_a_reference_without_a_flag_counts_as_not_expedited() -> None:
    slides, references = table(EXAMPLE)
    never = [reference(f"n{k}", ILL) for k in range(8)]
    found = results(opened_of(analysis_of(slides, [*references, *never])))
    assert found["flow"]["never_ran"] == 8
    assert found["accuracy"]["operational"]["sensitivity"]["value"] == 92 / 108
    assert {"code": "never_ran", "with_condition": 8, "without": 0, "unknown": 0} in found[
        "not_assessed"
    ]["reasons"]


def test_a_flag_without_a_reference_is_counted_beside(example: dict[str, Any]) -> None:
    found = of({**EXAMPLE, Truth.MISSING: (1, 1, 0)})
    assert found["flow"]["no_reference"] == 2
    assert found["accuracy"]["operational"] == example["accuracy"]["operational"]


@pytest.mark.parametrize(
    "counts",
    [
        {ILL: (0, 0, 0), WELL: (40, 350, 10)},
        {ILL: (92, 5, 3), WELL: (0, 0, 0)},
        {ILL: (7, 0, 0), WELL: (40, 350, 10)},
        {ILL: (0, 0, 0), WELL: (0, 0, 0)},
        {ILL: (0, 0, 20), WELL: (0, 0, 20)},
    ],
)
def test_one_class_or_none_is_null_with_a_reason_and_never_0_or_no_number(
    counts: dict[Truth, tuple[int, int, int]],
) -> None:
    found = of(counts)
    text = json.dumps(found, allow_nan=False)
    assert json.loads(text) == found
    area = found["accuracy"]["auroc"]["operational"]
    assert (area["value"], area["low"]) == (None, None)
    assert area["why"]
    if min(sum(n) for n in counts.values()) < 8:
        few = [found["accuracy"]["operational"][m]["value"] for m in ("sensitivity", "specificity")]
        assert None in few


def test_scores_that_are_all_tied_have_an_area_without_interval() -> None:
    slides = [slide(f"{k}", 0.3) for k in range(40)]
    references = [reference(f"{k}", ILL if k % 2 else WELL) for k in range(40)]
    found = results(opened_of(analysis_of(slides, references)))
    area = found["accuracy"]["auroc"]["operational"]
    assert area["value"] is None
    assert "ordered alike" in area["why"]


def test_calibration_is_given_only_of_a_calibrated_probability(example: dict[str, Any]) -> None:
    assert example["scores"]["calibration"] is None
    assert "not a calibrated probability" in example["scores"]["why"]
    made = document()
    made["index_test"]["score_kind"] = "calibrated_probability"
    slides, references = table({ILL: (40, 30, 3), WELL: (20, 60, 5)})
    half = results(opened_of(analysis_of(slides, references), protocol=made))
    assert half["scores"]["calibration"] is None, "the flags do not say so"
    called = [replace(one, score_kind="calibrated_probability") for one in slides]
    both = results(opened_of(analysis_of(called, references), protocol=made))
    assert both["scores"]["calibration"]["brier"] > 0
    assert both["scores"]["why"] is None


def test_a_case_whose_reader_saw_the_flag_is_out_and_the_report_says_unblinded() -> None:
    slides, references = table(EXAMPLE)
    references[0] = replace(references[0], saw_ai=True)
    found = results(opened_of(analysis_of(slides, references)))
    assert found["flow"]["saw_flag"] == 1
    assert found["accuracy"]["operational"]["sensitivity"]["value"] == 91 / 99
    assert found["notes"][0].startswith("UNBLINDED: in 1 cases")


def test_flags_read_before_a_lock_are_said_first() -> None:
    unsealed = {"what": "unsealed", "time": "2027-06-01T09:00:00.000Z"}
    analysis = analysis_of(*table(EXAMPLE))
    early = results(opened_of(analysis, ledger=[LEDGER[0], unsealed, LOCK]))
    assert early["notes"][0].startswith("UNBLINDED: a reference was locked after")
    late = results(opened_of(analysis, ledger=[LEDGER[0], LOCK, unsealed]))
    assert late["notes"] == []


def test_a_correction_shows_both_results() -> None:
    slides, references = table(EXAMPLE)
    corrected = [replace(references[0], truth=WELL), *references[1:]]
    both = (analysis_of(slides, references), analysis_of(slides, corrected))
    again = {**LOCK, "reason": "typing error", "reference_sha256": "cd" * 32}
    found = results(opened_of(*both, ledger=[LEDGER[0], LOCK, again]))
    assert found["before_correction"][0]["value"] == 92 / 100
    assert found["primary"]["value"] == 91 / 99
    assert "CORRECTED: the reference was locked 2 times" in found["notes"]
    assert found["locks"][1]["reason"] == "typing error"


def test_an_incomplete_reference_is_the_reports_first_line() -> None:
    lock = {**LOCK, "incomplete": True, "missing": 90}
    found = results(opened_of(analysis_of(*table(EXAMPLE)), ledger=[LEDGER[0], lock]))
    assert headline(found)[0].startswith("INCOMPLETE: 90 of 500 cases have no reference")


def test_a_case_with_a_slide_off_the_protocol_is_out_and_its_fields_are_counted() -> None:
    slides, references = table(EXAMPLE)
    slides[0] = replace(slides[0], off_protocol=("policy_sha256",))
    found = results(opened_of(analysis_of(slides, references)))
    assert found["flow"]["off_protocol"] == 1
    assert found["flow"]["off_protocol_fields"] == {"policy_sha256": 1}
    assert found["flow"]["primary"] == 499


@pytest.mark.parametrize(
    ("eligible", "fields"),
    [
        ({"vendor": ["philips"]}, {}),
        ({"mpp": [0.4, 0.6]}, {}),
        ({"min_slides": 2}, {}),
    ],
)
def test_cases_that_the_protocol_does_not_ask_about_are_out(
    eligible: dict[str, Any], fields: dict[str, Any]
) -> None:
    made = document()
    made["eligible"] |= eligible
    found = results(opened_of(analysis_of(*table(EXAMPLE), protocol=made), protocol=made))
    assert (found["flow"]["not_eligible"], found["flow"]["primary"]) == (500, 0)


def test_a_patient_who_is_too_young_is_out_and_one_of_no_known_age_is_not() -> None:
    made = document()
    made["eligible"]["age_min"] = 18
    people = {
        "p1": Patient({"age": "17"}),
        "p2": Patient({"age": "18"}),
        "p3": Patient({"age": ""}),
    }
    cases = ("1", "2", "3")
    analysis = analysis_of(
        [slide(case, 0.9) for case in cases],
        [reference(case, ILL) for case in cases],
        people,
        made,
    )
    assert results(opened_of(analysis, protocol=made))["flow"]["not_eligible"] == 1


def test_a_case_received_outside_the_protocols_dates_is_out() -> None:
    slides, references = table({ILL: (1, 0, 0), WELL: (0, 2, 0)})
    days = ("2027-01-04", "2027-06-30", "2027-07-01")
    dated = [
        replace(one, received=datetime.fromisoformat(f"{day}T10:00:00+00:00"))
        for one, day in zip(references, days, strict=True)
    ]
    assert results(opened_of(analysis_of(slides, dated)))["flow"]["not_eligible"] == 1


def test_a_wrong_clock_is_counted_and_its_times_are_left_out() -> None:
    slides, references = table(EXAMPLE)
    at = datetime(2027, 2, 1, 9, tzinfo=UTC)
    references[0] = replace(references[0], received=at, reported=at + timedelta(hours=30))
    references[1] = replace(
        references[1], received=at, reported=at - timedelta(hours=2), times_in_order=False
    )
    times = results(opened_of(analysis_of(slides, references)))["times"]
    assert times["to_report_h"] == {"number": 1, "median": 30.0, "p90": 30.0}
    assert times["out_of_order"] == 1


def test_a_stop_for_harm_is_by_the_exact_bound() -> None:
    """20 cases: 6 misses are too many for a limit of a tenth, 5 are not."""
    for missed, stops in ((5, False), (6, True)):
        found = of({ILL: (20 - missed, missed, 0), WELL: (4, 36, 0)}, stop={"miss_rate_over": 0.10})
        assert found["stop"]["miss_rate_over"]["stops"] is stops


def test_a_second_reader_gives_a_kappa() -> None:
    slides, references = table(EXAMPLE)
    read = [replace(one, second=one.truth) for one in references[:200]]
    read[0] = replace(read[0], second=WELL)
    found = results(opened_of(analysis_of(slides, [*read, *references[200:]])))["agreement"]
    assert found["cases"] == 200
    assert 0.9 < found["kappa"]["value"] < 1


def test_indeterminate_cases_are_shown_the_other_two_ways() -> None:
    slides, references = table(EXAMPLE)
    references[0] = replace(references[0], truth=Truth.INDETERMINATE)
    found = results(opened_of(analysis_of(slides, references)))
    ways = {name: way["sensitivity"]["value"] for name, way in found["indeterminate"].items()}
    assert ways == {"positive": 92 / 100, "negative": 91 / 99, "exclude": 91 / 99}
    assert found["flow"]["indeterminate"] == 1


LEVELS = st.tuples(*[st.integers(0, 12)] * 3)


@LAW
@given(LEVELS, LEVELS, LEVELS)
def test_whatever_the_counts_the_sums_hold_and_results_are_json(
    ill: tuple[int, int, int], well: tuple[int, int, int], unknown: tuple[int, int, int]
) -> None:
    """``SiteSums`` refuses what does not add up."""
    if not sum((*ill, *well, *unknown)):
        return
    analysis = analysis_of(*table({ILL: ill, WELL: well, Truth.MISSING: unknown}))
    found = results(opened_of(analysis))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    sums = site_sums(analysis, origin(), document())
    assert of_document(to_document(sums)) == sums
    assert sums.flags.with_condition.cases == sum(ill)
    rate = found["accuracy"]["operational"]["sensitivity"]["value"]
    assert (rate is None) == (sum(ill) < 8)
    if rate is not None:
        assert math.isclose(rate, ill[0] / sum(ill))


def test_a_wilson_interval_comes_out_where_each_case_is_another_patients(
    example: dict[str, Any],
) -> None:
    formula = wilson(Share(92, 100))
    assert isinstance(formula, Estimate)
    found = example["accuracy"]["operational"]["sensitivity"]
    assert found["low"] == pytest.approx(formula.low)


def test_the_bootstrap_is_seeded_by_the_protocol(example: dict[str, Any]) -> None:
    again = of(EXAMPLE)
    assert again == example
    other = of(EXAMPLE, title="Another trial")
    drawn = "operational_bootstrap"
    assert other["accuracy"]["auroc"][drawn] != example["accuracy"]["auroc"][drawn]


def equity_of(mixed: int, hits: int) -> dict[str, Any]:
    slides = [slide(f"w{k}", 0.9 if k < 180 else 0.2) for k in range(190)]
    slides += [slide(f"m{k}", 0.9 if k < hits else 0.2) for k in range(mixed)]
    references = [reference(f"w{k}", ILL) for k in range(190)]
    references += [reference(f"m{k}", ILL) for k in range(mixed)]
    people = {f"pw{k}": Patient({"ethnic_category": "A"}) for k in range(190)}
    people |= {f"pm{k}": Patient({"ethnic_category": "D"}) for k in range(mixed)}
    found: dict[str, Any] = results(opened_of(analysis_of(slides, references, people)))["equity"][0]
    return found


def test_a_gap_is_newcombes() -> None:
    """54 of 60 beside 180 of 190."""
    found = equity_of(60, 54)
    (gap,) = found["gaps"]
    got = [gap["sensitivity"][part] for part in ("value", "low", "high")]
    assert got == pytest.approx((-0.0474, -0.1516, 0.0202), abs=5e-5)


@pytest.mark.parametrize(
    ("mixed", "hits", "words"),
    [
        (7, 0, "too few to say"),
        (26, 24, "too few to say"),
        (60, 30, "worse"),
        (400, 380, "no worse than is tolerated"),
    ],
)
def test_a_subgroup_is_worse_or_not_or_too_small_to_say(mixed: int, hits: int, words: str) -> None:
    found = equity_of(mixed, hits)
    (gap,) = found["gaps"]
    assert gap["sensitivity"]["verdict"] == words
    assert ("would_do" in gap["sensitivity"]) == (words == "too few to say")
    if mixed == 7:
        assert found["levels"][1]["sensitivity"]["value"] is None
        assert gap["sensitivity"]["would_do"] > 26


def test_more_not_assessed_is_worse_too() -> None:
    slides = [slide(f"w{k}", 0.9) for k in range(190)]
    slides += [slide(f"m{k}", None if k < 30 else 0.9) for k in range(60)]
    references = [reference(one.slide_id[:-2], ILL) for one in slides]
    people = {f"pm{k}": Patient({"ethnic_category": "D"}) for k in range(60)}
    people |= {f"pw{k}": Patient({"ethnic_category": "A"}) for k in range(190)}
    (found,) = results(opened_of(analysis_of(slides, references, people)))["equity"]
    assert found["gaps"][0]["not_assessed"]["verdict"] == "worse"
    assert next(iter(found["gaps"][0])) == "level"
    assert list(found["gaps"][0])[1] == "not_assessed", "it comes first"


def test_people_of_whom_nothing_is_stated_are_a_level_of_their_own() -> None:
    (found,) = results(opened_of(analysis_of(*table(EXAMPLE))))["equity"]
    assert [level["level"] for level in found["levels"]] == ["white", "mixed", "not_stated"]
    assert found["levels"][2]["cases"] == 500


def test_characteristics_are_adjusted_after_holm_and_gaps_are_simultaneous() -> None:
    made = document()
    second = {**made["subgroup"][0], "name": "scanner", "column": "scanner"}
    second["levels"] = ["GT450", "P1000", "S60", "AT2", "KF5"]
    second |= {"reference_level": "GT450"}
    second.pop("expected_shares")
    made["subgroup"].append(second)
    slides = [
        slide(f"{k}", 0.9 if k % 9 else 0.2, source={"vendor": "a", "scanner": s, "software": "s"})
        for k, s in enumerate(np.resize(["GT450", "P1000", "S60", "AT2", "KF5"], 500))
    ]
    people = {f"p{k}": Patient({"ethnic_category": "AD"[k % 2]}) for k in range(500)}
    references = [reference(f"{k}", ILL) for k in range(500)]
    analysis = analysis_of(slides, references, people, made)
    ethnicity, scanner = results(opened_of(analysis, protocol=made))["equity"]
    assert len(scanner["gaps"]) == 4
    gap = scanner["gaps"][0]["sensitivity"]
    assert gap["simultaneous"]["low"] < gap["low"]
    assert ethnicity["p_holm"] >= ethnicity["p"]


def drifting(weeks: int, *, shift: float = 0.0, name: str = "drift") -> dict[str, Any]:
    rng, slides = np.random.default_rng(1), list[OpenedSlide]()
    for week in range(weeks):
        for k in range(50):
            score = float(np.clip(rng.normal(0.5 + (shift if week > 2 else 0), 0.15), 0, 1))
            at = (datetime(2027, 1, 4, tzinfo=UTC) + timedelta(weeks=week)).isoformat()
            slides.append(slide(f"{week}-{k}", score, sealed_at=at))
    references = [reference(one.slide_id[:-2], WELL) for one in slides]
    made = {**document(), "stop": {"drift": True}}
    found: dict[str, Any] = results(
        opened_of(analysis_of(slides, references, protocol=made), protocol=made)
    )
    return found[name]  # type: ignore[no-any-return]


@pytest.mark.parametrize(("shift", "stops"), [(0.0, False), (0.3, True)])
def test_a_trial_stops_for_drift_where_its_protocol_says_so(shift: float, *, stops: bool) -> None:
    assert drifting(8, shift=shift, name="stop")["drift"]["stops"] is stops
    assert "drift" not in of(EXAMPLE)["stop"]


def test_a_score_that_moved_is_seen_in_its_week_and_one_that_did_not_is_not() -> None:
    steady, moved = drifting(8), drifting(8, shift=0.3)
    assert len(steady["weeks"]) == 7
    assert max(week["ks_p_holm"]["score"] for week in moved["weeks"][2:]) < 0.001
    assert min(week["stability"]["score"] for week in moved["weeks"][2:]) > 0.25
    assert min(week["ks_p_holm"]["score"] for week in steady["weeks"]) > 0.05
    assert moved["charts"]["expedite"]["alarms"]
    assert not steady["charts"]["expedite"]["alarms"]
    assert steady["mix"][0]["scanner"] == {"GT450": 50}


def test_a_trial_that_is_too_short_for_a_baseline_says_so() -> None:
    assert drifting(1)["why"] == "too few slides for a baseline"


def test_an_answer_comes_before_a_failure_and_a_new_scan_before_both() -> None:
    failed = slide("1", None, reason="failed")
    answered = slide("1", 0.9)
    assert standing([answered, failed]).slides == standing([failed, answered]).slides == (answered,)
    scan = slide("1", 0.2, slide_sha256="other", rescan=True)
    assert standing([failed, answered, scan]).slides == (scan,)
    assert standing([failed, answered, scan]).superseded == 2


def test_of_two_answers_to_the_same_bytes_the_last_one_holds() -> None:
    """As after a correction of whose slide it is; nobody could know either."""
    first, second = slide("1", 0.2), slide("1", 0.9)
    assert standing([first, second]).slides == (second,)


def test_another_slide_under_a_known_name_is_in_doubt() -> None:
    first, other = slide("1", 0.2), slide("1", 0.9, slide_sha256="other")
    kept = standing([first, other]).slides
    assert [one.reason for one in kept] == ["", "identity"]


def test_a_slide_of_no_case_is_counted_and_joins_nothing() -> None:
    nobodys = slide("1", 0.9, identity=None, answer=None)
    found = standing([nobodys, slide("2", 0.2)])
    assert (found.of_no_case, len(found.slides), found.superseded) == (1, 1, 0)


def paired(second_finds: int, **primary: Any) -> dict[str, Any]:
    """Of 100 cancers the first finds 92; the second finds the first ones of all."""
    slides, references = table(EXAMPLE)
    others = [
        slide(one.slide_id[:-2], 0.9 if number < second_finds else 0.2)
        for number, one in enumerate(slides)
    ]
    made = document()
    made["primary"] |= {"measure": "difference", **primary}
    first, second = (analysis_of(some, references, protocol=made) for some in (slides, others))
    opened = replace(opened_of(first, protocol=made), comparators={"other-1": second})
    return results(opened)


def test_two_models_are_compared_on_the_same_cases() -> None:
    found = paired(80)
    (pair,) = found["comparisons"]
    counts = [pair["sensitivity"][k] for k in ("both", "first_only", "second_only", "neither")]
    assert counts == [80, 12, 0, 8]
    assert pair["sensitivity"]["value"] == pytest.approx(0.12)
    assert pair["sensitivity"]["mcnemar"]["exact_p"] == pytest.approx(2 * 0.5**12)
    assert pair["auroc"]["value"] is not None
    assert found["primary"]["value"] == pytest.approx(0.12)
    assert found["primary"]["met"] is True


@pytest.mark.parametrize(("margin", "met"), [(0.02, False), (0.2, True)])
def test_a_difference_is_met_where_no_more_than_the_margin_is_lost(
    margin: float, *, met: bool
) -> None:
    assert paired(95, margin=margin)["primary"]["met"] is met


def test_without_a_second_model_a_difference_is_not_estimable() -> None:
    made = document()
    made["primary"]["measure"] = "difference"
    found = results(opened_of(analysis_of(*table(EXAMPLE), protocol=made), protocol=made))
    assert found["primary"]["value"] is None
    assert "no second model" in found["primary"]["why"]
    assert found["comparisons"] == []
