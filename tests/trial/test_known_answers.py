"""Numbers that others published, or that another program gives, come out here too."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest
from scipy import special

from tests.trial.data_for_tests import (
    CT_ABNORMAL,
    CT_NORMAL,
    WFNS_GOOD,
    WFNS_POOR,
    audit_c,
    bcg,
    cancer,
    column,
    grades,
    known,
    known_answers,
)
from tests.trial.waiting.hand_made import four_at_nine, friday_evening, nine_to_five, three_at_five
from wsi_ai.trial.evidence.auroc import (
    Area,
    Bounds,
    auroc,
    bounds_of_bins,
    compare,
    interval,
    separate_patients,
)
from wsi_ai.trial.evidence.benefit import net_benefit, net_benefit_of_all
from wsi_ai.trial.evidence.bivariate import Bivariate, pool_accuracy
from wsi_ai.trial.evidence.calibration import (
    Probabilities,
    brier,
    calibration,
    expected_calibration_error,
    spiegelhalter,
)
from wsi_ai.trial.evidence.comparisons import benjamini_hochberg, holm, simultaneous_alpha
from wsi_ai.trial.evidence.drift import BernoulliCusum, Cusum, Ewma, stability_index
from wsi_ai.trial.evidence.estimates import Estimate, NotEstimable
from wsi_ai.trial.evidence.looks import obrien_fleming, pocock
from wsi_ai.trial.evidence.pooling import DerSimonianLaird, dersimonian_laird, heterogeneity, pool
from wsi_ai.trial.evidence.shares import (
    Pairs,
    Share,
    clopper_pearson,
    difference,
    mcnemar,
    paired_difference,
    wilson,
)
from wsi_ai.trial.evidence.size import area_error, cases_needed, misses_that_stop
from wsi_ai.trial.waiting.closed_forms import (
    chance_to_wait,
    mean_wait,
    mean_waits,
    mean_waits_if_interrupted,
)
from wsi_ai.trial.waiting.reading import waits_s
from wsi_ai.trial.waiting.worklist import WITHOUT_FLAGS, Order

NEEDS_ASAH = (
    "s100b auc, variance",
    "ndka interval",
    "wfns-s100b paired: Z, p, interval",
    "wfns-ndka paired",
    "each patient twice: the same variance",
    "sensitivity clustered by age; singletons: variance",
    "s100b clustered by age: variance",
)


def ends(value: Estimate | NotEstimable) -> tuple[float, float]:
    estimate = known(value)
    return estimate.low, estimate.high


def ends_of(
    of: Callable[[Share], Estimate | NotEstimable], hits: int, cases: int
) -> tuple[float, float]:
    return ends(of(Share(hits, cases)))


def wfns() -> Area:
    score, truth = grades(WFNS_GOOD, WFNS_POOR)
    return known(auroc(score, separate_patients(truth)))


def ct() -> Area:
    score, truth = grades(CT_NORMAL, CT_ABNORMAL)
    return known(auroc(score, separate_patients(truth)))


def bounds() -> tuple[float, float, float]:
    found: Bounds = known(bounds_of_bins(WFNS_POOR, WFNS_GOOD))
    return found.least, found.with_ties, found.greatest


def mcnemar_of(first_only: int, second_only: int) -> tuple[float, float, float]:
    found = known(mcnemar(Pairs(5, first_only, second_only, 5)))
    return found.chi_square, found.exact_p, found.mid_p


def paired() -> tuple[float, float, float]:
    found = known(paired_difference(Pairs(36, 12, 2, 0)))
    return found.value, found.low, found.high


def bcg_older() -> tuple[float, ...]:
    found: DerSimonianLaird = known(dersimonian_laird(bcg()))
    return heterogeneity(bcg()).q, found.tau2, found.mean, found.error


def bcg_newer() -> tuple[float, ...]:
    found = known(pool(bcg()))
    tau2 = found.heterogeneity.tau2
    plain = 1 / math.sqrt(float((1 / (bcg().variance + tau2)).sum()))
    return tau2, found.mean.value, plain, found.error


def bcg_spread() -> tuple[float, float]:
    found = heterogeneity(bcg())
    return 100 * found.i2, found.h2


def audit() -> Bivariate:
    return known(pool_accuracy(audit_c()))


def audit_means() -> tuple[float, ...]:
    return (*audit().mean, *np.sqrt(np.diag(audit().covariance)))


def audit_between() -> tuple[float, ...]:
    return (*np.sqrt(np.diag(audit().between)), audit().correlation)


def audit_shares() -> tuple[float, ...]:
    found = (audit().sensitivity, audit().false_positive_rate)
    return tuple(part for e in found for part in (e.value, e.low, e.high))


def benefit(threshold: float) -> tuple[float, ...]:
    truth, scores = cancer().truth, (cancer().probability, column("famhistory"))
    of_scores = [known(net_benefit(score, truth, threshold)) for score in scores]
    return (*of_scores, known(net_benefit_of_all(truth, threshold)))


def slope() -> tuple[float, ...]:
    found = known(calibration(cancer()))
    return found.slope.value, found.slope.error, found.intercept.value


def in_the_large() -> tuple[float, ...]:
    found = known(calibration(cancer())).in_the_large
    return found.value, found.error


def distorted() -> tuple[float, ...]:
    logit = 0.5 * special.logit(cancer().probability) + 0.7
    found = known(calibration(Probabilities(special.expit(logit), cancer().truth)))
    return found.slope.value, found.intercept.value


def scores_of_calibration() -> tuple[float, ...]:
    data = cancer()
    error, score = known(expected_calibration_error(data)), known(brier(data))
    return error, score, known(spiegelhalter(data)).z


def two_groups() -> tuple[float, ...]:
    truth = np.repeat([True, False, True, False], [30, 70, 60, 40])
    data = Probabilities(np.repeat([0.2, 0.8], 100), truth)
    return known(calibration(data)).slope.value, known(expected_calibration_error(data))


def cancer_area() -> tuple[float, float]:
    found = known(auroc(cancer().probability, separate_patients(cancer().truth)))
    return found.value, math.sqrt(found.variance)


def cancer_paired() -> tuple[float, ...]:
    cases = separate_patients(cancer().truth)
    found = known(compare(cancer().probability, column("marker"), cases))
    return found.estimate.value, found.z, found.estimate.low, found.estimate.high


def claims() -> tuple[float, float]:
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    p += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    bonferroni = [value <= simultaneous_alpha(len(p)) for value in p]
    assert [value <= 0.05 for value in holm(p)] == bonferroni  # as it happens
    return sum(value <= 0.05 for value in benjamini_hochberg(p)), sum(bonferroni)


def qucad_calculator(readers: int) -> tuple[float, ...]:
    arrivals = 0.8 * readers / 10
    first, rest = 0.18 * arrivals, 0.82 * arrivals
    return (mean_wait(readers, arrivals, 10), *mean_waits_if_interrupted(readers, first, rest, 10))


def two_products_one_list() -> tuple[float, ...]:
    def false_positives(found: float, prevalence: float, predictive: float) -> float:
        return found * prevalence * (1 - predictive) / (predictive * (1 - prevalence))

    lvo, ich = false_positives(0.9236, 0.125, 0.6062), false_positives(0.9361, 0.211, 0.7924)
    flagged = 0.3 * (0.125 * 0.9236 + 0.875 * lvo) + 0.7 * (0.211 * 0.9361 + 0.789 * ich)
    arrivals = 0.8 / 30
    high, low = mean_waits_if_interrupted(1, arrivals * flagged, arrivals * (1 - flagged), 30)
    none = ich * high + (1 - ich) * low
    of_ich, of_lvo = (s * high + (1 - s) * low for s in (0.9361, 0.9236))
    return mean_wait(1, arrivals, 30), none, of_ich, of_lvo


def run_lengths() -> tuple[float, ...]:
    wide, narrow = Cusum(0.5, 5), Cusum(0.5, 4)
    return (
        wide.run_length() / 2,
        wide.run_length(1),
        narrow.run_length() / 2,
        narrow.run_length(1),
    )


def weights() -> tuple[float, float]:
    chart = BernoulliCusum(0.05, 0.10, 3.0)
    return chart.fall, chart.rise + chart.fall


def gap() -> tuple[float, ...]:
    level, reference, alpha = Share(54, 60), Share(180, 190), simultaneous_alpha(4)
    pointwise, jointly = difference(level, reference), difference(level, reference, alpha)
    return (*ends(pointwise), *ends(jointly), -float(special.ndtri(alpha / 2)))


def minutes(order: Order) -> list[float]:
    return list(waits_s(four_at_nine(), nine_to_five(1), order) / 60)


WITH_FLAGS = Order(flags_after_s=0)
ANSWERS: dict[str, Callable[[], Sequence[float]]] = {
    "wfns auc, variance": lambda: (wfns().value, wfns().variance),
    "wfns DeLong interval": lambda: ends(interval(wfns())),
    "wfns by bins: middle": bounds,
    "Hanley & McNeil 1982 CT: AUROC": lambda: [ct().value],
    "Hanley & McNeil 1982 CT: SE, exact Q1 Q2": lambda: [area_error(ct().value, 51, 58)],
    "its DeLong SE": lambda: [math.sqrt(ct().variance)],
    "McNemar 150 to 86: chi2, exact p": lambda: mcnemar_of(150, 86)[:2],
    "paired difference (36, 12, 2, 0)": paired,
    "McNemar 2 to 10: exact p, mid-p": lambda: mcnemar_of(2, 10)[1:],
    "BCG: Q, DL tau2, mean, SE": bcg_older,
    "BCG: REML tau2, mean, SE, Knapp-Hartung SE": bcg_newer,
    "BCG: I2, H2": bcg_spread,
    "BCG: Knapp-Hartung interval": lambda: ends(known(pool(bcg())).mean),
    "AuditC bivariate: logit sens, logit FPR, SEs": audit_means,
    "AuditC: between-site SDs, correlation": audit_between,
    "AuditC: sensitivity, FPR and intervals": audit_shares,
    "calibration slope, SE, intercept": slope,
    "calibration in the large, SE": in_the_large,
    "distorted: slope, intercept": distorted,
    "ECE 10, Brier, Spiegelhalter z": scores_of_calibration,
    "two groups: slope, ECE": two_groups,
    "df_binary AUROC, SE": cancer_area,
    "df_binary paired, model against marker: difference, Z, interval": cancer_paired,
    "Benjamini & Hochberg 1995: rejected by BH, Bonferroni": claims,
    "Erlang C (2, 1.6), (3, 2.4)": lambda: (chance_to_wait(2, 1.6), chance_to_wait(3, 2.4)),
    "multi-QuCAD, two AIs, one list: none, SAH, ICH, LVO": two_products_one_list,
    "O'Brien-Fleming 2, 3, 5 looks": lambda: [obrien_fleming(k)[-1] for k in (2, 3, 5)],
    "Pocock 2, 3, 5 looks": lambda: [pocock(k)[-1] for k in (2, 3, 5)],
    "CUSUM .5, 5: two-sided ARL0, ARL at 1 sigma; .5, 4 the same": run_lengths,
    "EWMA .1, 2.814: ARL0, ARL at 1 sigma": lambda: [Ewma().run_length(k) for k in (0, 1)],
    "PSI": lambda: [
        stability_index(np.full(10, 10), np.array([8, 9, 10, 10, 10, 10, 10, 10, 11, 12]))
    ],
    "Bernoulli CUSUM weights .05 to .10": weights,
    "gap 54/60 to 180/190: pointwise, simultaneous of 4": gap,
    "exact size, .90 against .95": lambda: [cases_needed(0.90, 0.95)],
    "stop for harm at 20, 40, 60, 80, 100": lambda: [
        misses_that_stop(n, 0.10) or 0 for n in (20, 40, 60, 80, 100)
    ],
    "Friday 18:00, hours": lambda: list(
        waits_s(friday_evening(), nine_to_five(1), WITH_FLAGS) / 3600
    ),
    "four at 9:00: without, with": lambda: minutes(WITHOUT_FLAGS) + minutes(WITH_FLAGS),
    "the same, flag 15 minutes late": lambda: minutes(Order(flags_after_s=900)),
    "16:55, three cases": lambda: list(waits_s(three_at_five(), nine_to_five(1), WITH_FLAGS) / 60),
    "Cobham, 2 readers, non-preemptive": lambda: mean_waits(2, (0.0288, 0.1312), 10),
}
ANSWERS |= {
    f"{name} {hits}/{cases}": partial(ends_of, of, hits, cases)
    for hits, cases in ((81, 263), (15, 148), (0, 20), (1, 29))
    for name, of in (("Wilson", wilson), ("Clopper-Pearson", clopper_pearson))
}
ANSWERS |= {
    f"section 7, {name}": partial(ends_of, wilson, hits, cases)
    for name, hits, cases in (
        ("operational sens", 92, 100),
        ("operational spec", 360, 400),
        ("worst spec", 350, 400),
        ("assessed sens", 92, 97),
        ("assessed spec", 350, 390),
        ("not assessed", 13, 500),
    )
}
ANSWERS |= {
    f"Newcombe difference {c}": lambda c=c: ends(difference(Share(*c[:2]), Share(*c[2:])))
    for c in ((56, 70, 48, 80), (9, 10, 3, 10), (10, 10, 0, 20))
}
ANSWERS |= {
    f"net benefit at {t}: model, family history, all": lambda t=t: benefit(t)
    for t in (0.05, 0.1, 0.2, 0.35)
}
ANSWERS |= {
    f"QuCAD calculator, {c} readers, no interruptions: FIFO, AI+, AI-": (
        lambda c=c: qucad_calculator(c)
    )
    for c in (1, 2, 3)
}
SLOW = "QuCAD manual by simulation, {}: without, with, difference; as ratios to the manual"
QUCAD = {
    SLOW.format(group): group for group in ("diseased", "positive", "negative", "non-diseased")
}


@pytest.mark.parametrize("name", known_answers())
def test_a_known_answer_comes_out(name: str) -> None:
    if name in NEEDS_ASAH:
        pytest.skip("needs aSAH.csv of pROC, which is under the GPL-3 and is not here")
    if name in QUCAD:
        pytest.skip("by simulation: test_qucad.py")
    answer = known_answers()[name]
    expected, tolerance = answer["expected"], answer["tolerance"]
    assert isinstance(tolerance, int | float)
    got = np.array(ANSWERS[name](), float)
    np.testing.assert_allclose(got, expected, rtol=0, atol=max(tolerance, 1e-12))
