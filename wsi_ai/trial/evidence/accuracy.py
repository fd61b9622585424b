"""Flags beside the truth, with those that were not assessed never dropped without a word.

Three estimands stand side by side.  **Operational**, the primary one: a case that was not assessed
waits its turn, so it counts as not expedited (intention to diagnose).  **Worst case**: it counts as
an error, whatever it is.  **Assessed only** flatters: leaving failures out raises both rates.
"""

from dataclasses import dataclass, replace

from wsi_ai.trial.evidence.shares import Share


@dataclass(frozen=True, slots=True)
class Levels:
    """Number of cases of one truth, by what the flag said."""

    expedite: int = 0
    standard: int = 0
    not_assessed: int = 0

    def __post_init__(self) -> None:
        if min(self.expedite, self.standard, self.not_assessed) < 0:
            raise ValueError(f"counts are 0 or more, got {self}")

    def __add__(self, other: "Levels") -> "Levels":
        return Levels(
            self.expedite + other.expedite,
            self.standard + other.standard,
            self.not_assessed + other.not_assessed,
        )

    @property
    def cases(self) -> int:
        return self.expedite + self.standard + self.not_assessed


@dataclass(frozen=True, slots=True)
class FlagTable:
    """Every case of a trial, once."""

    with_condition: Levels = Levels()
    without: Levels = Levels()
    unknown: Levels = Levels()
    """Without a reference."""

    def __add__(self, other: "FlagTable") -> "FlagTable":
        return FlagTable(
            self.with_condition + other.with_condition,
            self.without + other.without,
            self.unknown + other.unknown,
        )


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Shares, for intervals: see ``shares.wilson``."""

    sensitivity: Share
    specificity: Share


def operational(table: FlagTable) -> Accuracy:
    ill, well = table.with_condition, table.without
    return Accuracy(
        Share(ill.expedite, ill.cases), Share(well.standard + well.not_assessed, well.cases)
    )


def worst_case(table: FlagTable) -> Accuracy:
    ill, well = table.with_condition, table.without
    return Accuracy(Share(ill.expedite, ill.cases), Share(well.standard, well.cases))


def assessed_only(table: FlagTable) -> Accuracy:
    ill, well = table.with_condition, table.without
    return Accuracy(
        Share(ill.expedite, ill.expedite + ill.standard),
        Share(well.standard, well.expedite + well.standard),
    )


@dataclass(frozen=True, slots=True)
class Predictive:
    """Of what a reader sees; they hold at this trial's prevalence only."""

    condition_if_expedite: Share
    none_if_standard: Share
    none_if_not_expedited: Share
    """Of ``standard`` and ``not_assessed`` together: what waits its turn."""


def predictive(table: FlagTable) -> Predictive:
    ill, well = table.with_condition, table.without
    waiting = well.standard + well.not_assessed
    return Predictive(
        Share(ill.expedite, ill.expedite + well.expedite),
        Share(well.standard, ill.standard + well.standard),
        Share(waiting, waiting + ill.standard + ill.not_assessed),
    )


@dataclass(frozen=True, slots=True)
class NotAssessed:
    """Stands in the same line as any specificity: that gains from failing."""

    all_cases: Share
    with_condition: Share
    without: Share


def not_assessed(table: FlagTable) -> NotAssessed:
    ill, well = table.with_condition, table.without
    everybody = ill + well + table.unknown
    return NotAssessed(*(Share(some.not_assessed, some.cases) for some in (everybody, ill, well)))


@dataclass(frozen=True, slots=True)
class Bounds:
    """Without a reference a case could be either, and whoever says which chooses the rate."""

    verified_only: Accuracy
    least: Accuracy
    greatest: Accuracy


def bounds_of_missing_reference(table: FlagTable) -> Bounds:
    """Of the operational estimand: however the cases without a reference fall, the rates are
    within.  Each flag is wrong for the least, and right for the greatest."""
    unknown, known = table.unknown, replace(table, unknown=Levels())
    flagged, waiting = Levels(expedite=unknown.expedite), replace(unknown, expedite=0)
    return Bounds(
        verified_only=operational(known),
        least=operational(known + FlagTable(with_condition=waiting, without=flagged)),
        greatest=operational(known + FlagTable(with_condition=flagged, without=waiting)),
    )
