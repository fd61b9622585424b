"""Numbers as people read them, and the table that stands beside every plot."""

import re
from dataclasses import dataclass

from wsi_ai.trial.evidence.estimates import Estimate, NotEstimable
from wsi_ai.trial.evidence.shares import Share, wilson


@dataclass(frozen=True, slots=True)
class Table:
    """The first cell of a row names the row."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"{self.caption}: a row has a cell for each column")


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A plot with its table, or a table alone."""

    id: str
    title: str
    text: str
    """What it shows, for people who do not see the plot, too."""
    tables: tuple[Table, ...]
    svg: str = ""
    exploratory: bool = False
    """Not asked by the protocol."""


def percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f} %"


def interval(found: Estimate | NotEstimable) -> str:
    """``93.1 % (90.2 to 95.3)``."""
    if isinstance(found, NotEstimable):
        return f"not estimable: {found.reason}"
    return f"{percent(found.value)} ({100 * found.low:.1f} to {100 * found.high:.1f})"


def ends(found: Estimate | NotEstimable) -> str:
    if isinstance(found, NotEstimable):
        return "not estimable"
    return f"{100 * found.low:.1f} to {percent(found.high)}"


def points(found: Estimate | NotEstimable) -> str:
    """A difference, in percentage points."""
    if isinstance(found, NotEstimable):
        return "not estimable"
    return minus(f"{100 * found.value:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})")


def minus(text: str) -> str:
    """With the sign that is as wide as a plus; a rounded 0 is none below 0."""
    return re.sub(r"-(?=0(\.0+)?(?![0-9.]))", "+", text).replace("-", "−")


def area(found: Estimate | NotEstimable) -> str:
    if isinstance(found, NotEstimable):
        return f"not estimable: {found.reason}"
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def share(found: Share) -> str:
    return f"{found.hits:,}/{found.cases:,}"


def share_interval(found: Share) -> str:
    return interval(wilson(found))


def p_value(p: float | None) -> str:
    if p is None:
        return "too few to say"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
