"""What went wrong in other programs that suppress, pool and report, tried here; docs of each case
name the public report."""

import json

import numpy as np
import pytest

from tests.trial.disclosure.test_door import conclusions
from tests.trial.regions import Region
from wsi_ai.trial.bundle import with_all_levels
from wsi_ai.trial.disclosure.door import hide, publish_counts, publish_share
from wsi_ai.trial.disclosure.rule import SmallNumbers
from wsi_ai.trial.disclosure.tables import Breakdown, Key, System
from wsi_ai.trial.evidence.accuracy import FlagTable, Levels
from wsi_ai.trial.evidence.bivariate import Bivariate
from wsi_ai.trial.evidence.estimates import Estimate
from wsi_ai.trial.intake import take_in
from wsi_ai.trial.region.rates import SENSITIVITY, over_sites
from wsi_ai.trial.region.result import result_of
from wsi_ai.trial.region.sites import Sites
from wsi_ai.trial.report.words import p_value
from wsi_ai.trial.sums import SiteSums

NHS = SmallNumbers()


def learnt(system: System) -> list[int]:
    """Small numbers of which the published system tells more than that they are small."""
    hidden = hide(system, NHS)
    small = (system.values > 0) & (system.values < NHS.least)
    found = []
    for item in np.flatnonzero(small):
        floor = max(1, conclusions(system, system.values > 0, item)[0]) + 1e-6
        low, high = conclusions(system, hidden, item)
        if low > floor or high < NHS.least - 1 - 1e-6:
            found.append(int(system.values[item]))
    return found


@pytest.mark.parametrize("row", [[10, 3, 1, 1], [10, 5, 0, 0], [0, 0, 0], [10, 1, 1], [500, 1]])
def test_small_numbers_beside_zeros_and_ones_are_not_solved_from_their_total(
    row: list[int],
) -> None:
    """sdcTools/UserSupport 194: 15 = 10 + 3 + x + x with x a natural number."""
    assert learnt(System(np.array(row))) == []


def test_margins_of_a_table_do_not_reveal_a_hidden_cell() -> None:
    """AI-SDC/ACRO 198: a cross table with margins gave the hidden cells away."""
    table = np.array([[1440, 1440, 1440], [2, 0, 1], [3, 132, 196]])
    assert learnt(System(table)) == []


def test_tables_that_share_totals_are_protected_together() -> None:
    """sdcTools/UserSupport 136 and 133: one table after the other is not safe."""
    values = {"A": 2, "B": 2, "I": 8, "J": 8, "K": 3, "L": 3, "M": 3, "N": 7}
    groups = [("small", "ABIJK"), ("big", "LM"), ("other", "N")]
    counties = [("one", "ABIJ"), ("two", "KLMN")]

    def breakdown(name: str, levels: list[tuple[str, str]]) -> Breakdown:
        sums = [[sum(values[k] for k in keys)] for _, keys in levels]
        return Breakdown(name, tuple(level for level, _ in levels), np.array(sums))

    overall = np.array([sum(values.values())])
    regions = Breakdown("region", tuple(values), np.array([[n] for n in values.values()]))
    system = System(overall, (regions, breakdown("group", groups), breakdown("county", counties)))
    assert learnt(system) == []


def test_three_ones_are_protected_as_two_are() -> None:
    """sdcTools/UserSupport 135."""
    table = np.array([[1, 1, 7, 1, 0], [1, 0, 0, 2, 8]])
    assert learnt(System(table)) == []


def test_what_is_hidden_is_no_zero_and_makes_no_rate() -> None:
    """opensafely-core/ehrql 1746: suppressed counts became 0, and so did their ratios."""
    counts = publish_counts(System(np.array([5, 95])), NHS).counts
    assert str(counts[Key((0,))]) == "*"
    assert publish_share(counts[Key((0,))], counts[Key((None,))]).percent is None


def test_a_small_sum_of_hidden_counts_is_not_the_difference_to_a_total() -> None:
    """opensafely-core/ehrql 1666: its answer hides the next smallest; here the total goes."""
    system = System(np.array([1, 1, 40, 300]))
    assert learnt(system) == []
    assert str(publish_counts(system, NHS).counts[Key((None,))]) == "*"


def test_a_p_value_is_never_printed_as_zero() -> None:
    """guido-s/meta 10."""
    assert p_value(0.0) == p_value(1e-300) == "< 0.001"
    assert p_value(0.9996) == "1.000"
    assert p_value(None) == "too few to say"


REGION = Region(sites=6)


def sites_of(sums: list[SiteSums]) -> Sites:
    return Sites(REGION.protocol, 2, tuple(sums), (), (), ())


def flags_alone(ill: Levels, well: Levels) -> SiteSums:
    """A site's sums with this table, for what only the table is needed."""

    class Alone:
        flags = FlagTable(ill, well)

    return Alone()  # type: ignore[return-value]


def test_sites_that_found_every_case_are_pooled_and_have_an_interval() -> None:
    """guido-s/meta 17, metafor 100: studies with zero events were dropped, or stopped the fit."""
    sums = [flags_alone(Levels(20, 0, 0), Levels(0, 80, 0)) for _ in range(6)]
    found = over_sites(sums, SENSITIVITY)
    assert not hasattr(found, "reason")
    assert 0.8 < found.mean.low < found.mean.value < 1  # type: ignore[union-attr]


def test_a_site_without_a_case_is_not_counted_as_one() -> None:
    """guido-s/meta 26: studies without an estimate counted among the studies."""
    sums = [with_all_levels(REGION.sums(name, 2), REGION.protocol) for name in REGION.names]
    result = result_of(sites_of(sums))
    assert isinstance(result.bivariate, Bivariate)
    assert result.bivariate.sites == 6
    empty = flags_alone(Levels(), Levels(0, 30, 0))
    both = over_sites([*sums, empty], SENSITIVITY)
    alone = over_sites(sums, SENSITIVITY)
    assert both == alone


def test_a_further_sites_interval_is_wider_than_that_of_the_mean() -> None:
    """strengejacke/ggeffects 467: intervals of mean and prediction taken for one another."""
    sums = [with_all_levels(REGION.sums(name, 2), REGION.protocol) for name in REGION.names]
    found = over_sites(sums, SENSITIVITY)
    further, mean = found.further_bootstrap, found.mean  # type: ignore[union-attr]
    assert isinstance(further, Estimate)
    assert further.low < mean.low
    assert further.high > mean.high


def test_signatures_that_others_add_to_a_bundle_change_nothing() -> None:
    """secure-systems-lab/dsse 40, sigstore-go 225: any one, all, or the first signature?"""
    door = REGION.door(look=2)
    own = json.loads(REGION.bundle("RAA", 2))
    other = json.loads(REGION.signed(json.loads(payload(own)), "RAB"))
    junk = {"keyid": "00", "sig": "AAAA"}
    for signatures in (
        [*own["signatures"], *other["signatures"]],
        [*other["signatures"], *own["signatures"]],
        [junk, *own["signatures"]],
    ):
        content = json.dumps({**own, "signatures": signatures}).encode()
        assert len(take_in({"x": content}, door).accepted) == 1
    for signatures in ([], other["signatures"], [junk]):
        content = json.dumps({**own, "signatures": signatures}).encode()
        assert not take_in({"x": content}, door).accepted


def payload(envelope: dict[str, str]) -> bytes:
    import base64

    return base64.b64decode(envelope["payload"])
