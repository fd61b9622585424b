"""What sites say together: exact where it can be, bounds where not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trial.data_for_tests import LAW, known
from tests.trial.regions import Region, open_bundle
from tests.trial.sums import area_of
from wsi_ai.errors import TrialError
from wsi_ai.trial.bundle import Running
from wsi_ai.trial.disclosure.rule import SmallNumbers
from wsi_ai.trial.evidence.accuracy import FlagTable, Levels
from wsi_ai.trial.evidence.auroc import interval
from wsi_ai.trial.evidence.clusters import ClusteredShare, clustered_interval
from wsi_ai.trial.evidence.gaps import NotWorse, TooFewToSay, Worse
from wsi_ai.trial.evidence.shares import Share
from wsi_ai.trial.intake import take_in
from wsi_ai.trial.region.equity import equity
from wsi_ai.trial.region.folder import load, pooled_before, save, sites_of
from wsi_ai.trial.region.rates import SENSITIVITY, SPECIFICITY, pooled_interval, rate
from wsi_ai.trial.region.result import result_of
from wsi_ai.trial.region.sites import Range, ShownSite, Sites, share_bounds
from wsi_ai.trial.sums import SiteSums, Subgroup


@pytest.fixture(scope="module")
def region() -> Region:
    return Region(sites=6)


@pytest.fixture(scope="module")
def sites(region: Region) -> Sites:
    return exact_sites(region, [region.sums(name, 2) for name in region.names])


def exact_sites(region: Region, sums: list[SiteSums]) -> Sites:
    return Sites(region.protocol, 2, tuple(sums), (), (), ())


def test_a_pool_of_one_is_the_site(region: Region) -> None:
    sums = region.sums("RAA", 2)
    result = result_of(exact_sites(region, [sums]))
    assert isinstance(sums.sensitivity, ClusteredShare)
    assert result.sensitivity.estimate == clustered_interval(sums.sensitivity)
    assert result.areas.estimate == interval(area_of(sums))
    assert result.flags == sums.flags


def test_sites_come_in_any_order(sites: Sites) -> None:
    turned = replace(sites, exact=sites.exact[::-1])
    one, other = result_of(sites), result_of(turned)
    assert one.flags == other.flags
    assert known(one.sensitivity.estimate).low == pytest.approx(
        known(other.sensitivity.estimate).low
    )
    assert known(one.areas.estimate).value == pytest.approx(known(other.areas.estimate).value)


def test_the_sum_has_the_cases_of_all_sites(sites: Sites) -> None:
    result = result_of(sites)
    ill = sum(sums.flags.with_condition.cases for sums in sites.exact)
    assert result.sensitivity.total.cases == ill
    assert len(result.sensitivity.without_each) == 6
    assert result.areas.pooled != result.areas.sites


def as_shown(region: Region, sums: SiteSums) -> ShownSite:
    made = open_bundle(sums, region.protocol, Running(1))
    return ShownSite(made, made["open"], region.protocol.small_numbers)


@settings(LAW, max_examples=8)
@given(seed=st.integers(0, 10**6), cases=st.integers(30, 2000), number=st.integers(1, 2))
def test_the_bounds_of_rounded_and_hidden_counts_hold_the_exact_share(
    seed: int, cases: int, number: int
) -> None:
    every = [REGION.sums(n, 2, cases, seed + k) for k, n in enumerate(REGION.names[: number + 1])]
    whole = exact_sites(REGION, every)
    partly = replace(
        exact_sites(REGION, every[:1]), shown=tuple(as_shown(REGION, s) for s in every[1:])
    )
    for measure in (SENSITIVITY, SPECIFICITY):
        exact = measure.of(result_of_flags(whole))
        bounds = rate(partly, measure).bounds
        assert bounds is None or bounds[0] <= exact.hits / exact.cases <= bounds[1]


REGION = Region(sites=4)


def result_of_flags(sites: Sites):  # type: ignore[no-untyped-def]
    return sum((s.flags for s in sites.exact[1:]), sites.exact[0].flags)


def test_a_large_site_with_rounded_counts_leaves_narrow_bounds(region: Region) -> None:
    first = region.sums("RAA", 2, cases=4000)
    second = as_shown(region, region.sums("RAB", 2, cases=4000))
    partly = replace(exact_sites(region, [first]), shown=(second,))
    bounds = rate(partly, SPECIFICITY).bounds
    assert bounds is not None
    assert bounds[1] - bounds[0] < 0.01


def test_a_pool_comes_back_from_its_folder_as_it_was(region: Region, tmp_path: Path) -> None:
    files = region.all_bundles(look=2)
    files["RAB.dsse"] = region.bundle("RAB", 2, open_bundle)
    files["odd"] = b"odd"
    door = region.door(look=2)
    made = sites_of(take_in(files, door), door, region.key.private_bytes_raw())
    save(made, tmp_path)
    back = load(tmp_path)
    assert (tmp_path / "pooled.json").stat().st_mode & 0o077 == 0
    assert back.exact == made.exact
    assert [s.shown for s in back.shown] == [s.shown for s in made.shown]
    assert back.left_out == made.left_out
    assert back.absent == ()
    assert result_of(back).sensitivity == result_of(made).sensitivity
    assert pooled_before(tmp_path) == dict.fromkeys(region.names, 1)


def test_exact_counts_that_the_region_cannot_read_are_left_out_by_name(region: Region) -> None:
    door = region.door(look=2)
    intake = take_in(region.all_bundles(look=2), door)
    for key in (None, bytes(range(32))):
        made = sites_of(intake, door, key)
        assert not made.exact
        assert {left.name for left in made.left_out} == set(region.names)


def test_a_folder_without_a_pool_says_so(tmp_path: Path) -> None:
    with pytest.raises(TrialError, match="trial pool"):
        load(tmp_path)
    (tmp_path / "pooled.json").write_text('{"schema": "trial-pooled-1"}')
    with pytest.raises(TrialError, match=r"pooled\.json"):
        load(tmp_path)


def test_a_site_that_stopped_early_is_named_and_the_result_without_it_stands_beside(
    region: Region, sites: Sites
) -> None:
    first = sites.exact[0]
    early = replace(first, origin=replace(first.origin, last_month="2027-02"))
    with_early = replace(sites, exact=(early, *sites.exact[1:]))
    assert with_early.stopped_early == ("RAA",)
    without = dict(result_of(with_early).without_early)
    rest = result_of(replace(sites, exact=sites.exact[1:]))
    assert without["sensitivity"] == rest.sensitivity.estimate
    assert not result_of(sites).without_early


def worse_for_mixed(sums: SiteSums, misses: int) -> SiteSums:
    """Move flagged cases with the condition of one group to those that are not flagged."""
    group = sums.subgroups[0]
    tables = list(group.tables)
    ill = tables[1].with_condition
    moved = min(misses, ill.expedite)
    tables[1] = replace(
        tables[1],
        with_condition=replace(ill, expedite=ill.expedite - moved, standard=ill.standard + moved),
    )
    whole = sums.flags.with_condition
    flags = replace(
        sums.flags,
        with_condition=replace(
            whole, expedite=whole.expedite - moved, standard=whole.standard + moved
        ),
    )
    return replace(sums, flags=flags, subgroups=(replace(group, tables=tuple(tables)),))


def test_a_group_that_is_missed_more_often_is_called_worse_and_a_few_cases_are_too_few(
    region: Region, sites: Sites
) -> None:
    spoilt = replace(sites, exact=tuple(worse_for_mixed(sums, 20) for sums in sites.exact))
    ethnicity = result_of(spoilt).characteristics[0]
    white, mixed = ethnicity.levels
    assert white.gaps == ()
    assert mixed.sensitivity_gap is not None
    assert isinstance(mixed.sensitivity_gap.verdict, Worse)
    assert ethnicity.p_sensitivity is not None
    assert ethnicity.p_sensitivity < 0.001
    few = result_of(exact_sites(region, [region.sums("RAA", 2, cases=60)]))
    gap = few.characteristics[0].levels[1].sensitivity_gap
    assert gap is not None
    assert isinstance(gap.verdict, TooFewToSay)


def test_the_number_of_cases_that_would_do_is_more_than_there_are(region: Region) -> None:
    """A true gap is not made tolerable by more cases."""
    for cases in (60, 3000):
        sums = [worse_for_mixed(region.sums(n, 2, cases=cases), cases // 60) for n in region.names]
        for level in result_of(exact_sites(region, sums)).characteristics[0].levels:
            for gap, share in (
                (level.sensitivity_gap, level.sensitivity),
                (level.specificity_gap, level.specificity),
            ):
                assert gap is None or gap.cases_needed is None or gap.cases_needed > share.cases


def test_many_alike_cases_are_no_worse_than_tolerated(region: Region) -> None:
    many = [region.sums(name, 2, cases=5000) for name in region.names]
    gap = result_of(exact_sites(region, many)).characteristics[0].levels[1].specificity_gap
    assert gap is not None
    assert isinstance(gap.verdict, NotWorse)
    assert gap.cases_needed is None


def test_the_claim_uses_the_wider_interval_of_an_early_look(region: Region) -> None:
    sums = [region.sums(name, 1) for name in region.names]
    first = result_of(replace(exact_sites(region, sums), look=1)).claim
    last = result_of(replace(exact_sites(region, sums), look=2)).claim
    assert known(first.estimate).low < known(last.estimate).low
    assert first.looks == 2


def test_the_crude_area_is_between_its_bounds_and_the_stratified_one_is_of_pairs_at_a_site(
    sites: Sites,
) -> None:
    areas = result_of(sites).areas
    across = known(areas.across)
    assert across.least <= known(areas.pooled).value + 0.05
    pairs = np.array([area_of(sums).pairs for sums in sites.exact])
    value = np.array([area_of(sums).value for sums in sites.exact])
    assert known(areas.pooled).value == pytest.approx(float((pairs * value).sum() / pairs.sum()))


def test_an_empty_pool_says_that_nothing_is_estimable(region: Region) -> None:
    result = result_of(exact_sites(region, []))
    assert not result.claim.met
    assert result.sensitivity.total.cases == 0


def test_what_is_hidden_is_what_remains_of_the_total() -> None:
    shown = {
        "all/expedite/without": "50", "all/standard/without": "*",
        "all/not_assessed/without": "*", "all/total/without": "60",
    }  # fmt: skip
    site = ShownSite({}, shown, SmallNumbers())
    assert site.waiting("without") == Range(6, 14)
    assert site.expedited("without") == Range(48, 52)
    hidden = ShownSite({}, {**shown, "all/total/without": "*"}, SmallNumbers())
    assert hidden.waiting("without") == Range(2, None)
    both = [(site.expedited("without"), site.waiting("without"))]
    assert share_bounds(Share(0, 0), both) == (48 / 62, 52 / 58)
    assert share_bounds(Share(9, 10), [(Range(1, None), Range(2, 5))]) == (10 / 16, 1.0)


def test_two_sites_alike_have_half_the_variance_of_one(region: Region) -> None:
    one = region.sums("RAA", 2)
    other = replace(one, origin=replace(one.origin, site="RAB"))
    alone = one.sensitivity
    assert isinstance(alone, ClusteredShare)
    both = replace(
        alone, variance=alone.variance / 2, cases=2 * alone.cases, patients=2 * alone.patients
    )
    assert pooled_interval((one, other), SENSITIVITY) == clustered_interval(both)


def test_eight_cases_that_were_all_found_do_not_show_that_a_group_is_not_worse(
    region: Region,
) -> None:
    """Over sites alone it would: eight hits of eight have no variance."""

    class Alone:
        subgroups = (
            Subgroup(
                "ethnicity",
                ("white", "mixed"),
                (
                    FlagTable(Levels(180, 20, 0), Levels(10, 90, 0)),
                    FlagTable(Levels(8, 0, 0), Levels(1, 9, 0)),
                ),
            ),
        )

    sites = exact_sites(region, [Alone()])  # type: ignore[list-item]
    gap = equity(sites)[0].levels[1].sensitivity_gap
    assert gap is not None
    assert known(gap.stratified).low > -0.1
    assert isinstance(gap.verdict, TooFewToSay)
