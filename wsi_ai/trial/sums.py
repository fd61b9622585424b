"""All that a site's analysis hands on: sums over its cases, and no case.

A bundle is made from it and from nothing else.  Everything that can be added up is, where it is
made: a sum that does not hold is refused here, and not found by the region.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

from wsi_ai import schemas
from wsi_ai.errors import TrialError
from wsi_ai.trial.documents import Document
from wsi_ai.trial.evidence.accuracy import FlagTable, Levels
from wsi_ai.trial.evidence.auroc import Area
from wsi_ai.trial.evidence.clusters import ClusteredShare
from wsi_ai.trial.evidence.estimates import NotEstimable

SCHEMA = "trial-sums-1"
SCORE_EDGES = tuple(k / 20 for k in range(21))
"""Common to all sites; a score on an edge is in the upper bin, and the last bin is closed."""
NEVER_RAN = "never_ran"
"""The code of cases that have a reference and no flag."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Origin:
    """Which analysis of which trial."""

    protocol_sha256: str
    lock_sha256: str
    """Of the reference that was locked last."""
    locks: int
    """Number of times that a reference was locked; more than one: it was corrected."""
    site: str
    look: int
    """The protocol's first look is 1; without looks, the end is look 1."""
    first_month: str
    last_month: str
    """Of the slides that were sealed, as ``2027-01``."""
    ledger_lines: int
    ledger_sha256: str
    """The ledger's head at the last lock, so that a second analysis is the same."""
    opened_early: bool
    """Flags were unsealed before a reference was locked."""

    def __post_init__(self) -> None:
        digests = (self.protocol_sha256, self.lock_sha256, self.ledger_sha256)
        if not all(_DIGEST.fullmatch(text) for text in digests):
            raise ValueError("a digest is SHA-256 in hex")
        if not all(_MONTH.fullmatch(text) for text in (self.first_month, self.last_month)):
            raise ValueError("a month is YYYY-MM")
        if self.last_month < self.first_month:
            raise ValueError("a period ends before it begins")
        if min(self.look, self.locks, self.ledger_lines) < 1:
            raise ValueError("there is a look, a lock and a ledger")


@dataclass(frozen=True, slots=True)
class Subgroup:
    """The primary result by one characteristic of the protocol; "not stated" is a level too."""

    name: str
    levels: tuple[str, ...]
    tables: tuple[FlagTable, ...]

    def __post_init__(self) -> None:
        if len(set(self.levels)) != len(self.levels) or len(self.tables) != len(self.levels):
            raise ValueError(f"subgroup {self.name}: each level has a table")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why cases were not assessed."""

    code: str
    """Of the flag's own list, or ``never_ran``."""
    with_condition: int
    without: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """Assessed cases of the primary result, by score; over ``SCORE_EDGES``."""

    with_condition: tuple[int, ...]
    without: tuple[int, ...]

    def __post_init__(self) -> None:
        if not len(self.with_condition) == len(self.without) == len(SCORE_EDGES) - 1:
            raise ValueError("a histogram has a count for each bin")


@dataclass(frozen=True, slots=True)
class Flow:
    """Every case of either side, once: those of the flag table, and those that are not in it."""

    slides: int
    """Sealed records, without those that a later one of the same slide replaces."""
    cases: int
    never_ran: int
    """With a reference, and no flag; they are in the table, as not assessed."""
    indeterminate: int
    unblinded: int
    """A reader of the reference saw the flag, or may have."""
    off_protocol: int
    """Flagged by another model, policy or setting than the protocol's."""

    @property
    def beside(self) -> int:
        """Cases that the flag table does not have."""
        return self.indeterminate + self.unblinded + self.off_protocol


@dataclass(frozen=True, slots=True)
class Month:
    """For drift: of all cases with a flag, whatever their truth."""

    month: str
    cases: int
    expedite: int
    not_assessed: int
    stability: float | None
    """Population stability index of the scores against the first month; ``None`` where one of the
    two has too few."""

    def __post_init__(self) -> None:
        if self.expedite + self.not_assessed > self.cases or not _MONTH.fullmatch(self.month):
            raise ValueError("a month's flags are of its cases")


class MixKind(StrEnum):
    """What slides come from, and what judged them."""

    VENDOR = "vendor"
    SCANNER = "scanner"
    SOFTWARE = "software"


def plain_name(text: str) -> str:
    """What a slide says of its vendor or scanner, as a short line of letters and digits."""
    found = " ".join(re.sub(r"[^A-Za-z0-9 ._+/()-]+", " ", text).split())
    found = found.strip(" ._+/()-")[:64].rstrip()
    return found or "unknown"


@dataclass(frozen=True, slots=True)
class Mix:
    """Number of slides of one vendor, scanner or version."""

    kind: MixKind
    value: str
    """As ``plain_name`` has it."""
    slides: int
    not_assessed: int

    def __post_init__(self) -> None:
        if not 0 <= self.not_assessed <= self.slides:
            raise ValueError("slides that were not assessed are some of the slides")


@dataclass(frozen=True, slots=True)
class SiteSums:
    """One site, one look."""

    origin: Origin
    flags: FlagTable
    """The primary result; cases without a reference stand beside it, as unknown."""
    subgroups: tuple[Subgroup, ...]
    reasons: tuple[Reason, ...]
    area: Area | NotEstimable
    """Operational: cases that were not assessed wait behind all others."""
    area_assessed: Area | NotEstimable
    sensitivity: ClusteredShare | NotEstimable
    """Operational, over patients."""
    specificity: ClusteredShare | NotEstimable
    histogram: Histogram
    flow: Flow
    months: tuple[Month, ...]
    mix: tuple[Mix, ...]

    def __post_init__(self) -> None:
        _check_adding_up(self)
        _check_once("subgroup", [s.name for s in self.subgroups])
        _check_once("reason", [reason.code for reason in self.reasons])
        _check_once("vendor, scanner or version", [(m.kind, m.value) for m in self.mix])
        if any(a.month >= b.month for a, b in pairwise(self.months)):
            raise ValueError("months are in order, each once")


def _check_adding_up(sums: SiteSums) -> None:
    ill, well, unknown = sums.flags.with_condition, sums.flags.without, sums.flags.unknown
    for subgroup in sums.subgroups:
        if sum(subgroup.tables, FlagTable()) != sums.flags:
            raise ValueError(f"the levels of {subgroup.name} do not add up to all cases")
    for name, levels in (("with_condition", ill), ("without", well), ("unknown", unknown)):
        if sum(getattr(reason, name) for reason in sums.reasons) != levels.not_assessed:
            raise ValueError("each case that was not assessed has one reason")
    if sums.flow.cases != ill.cases + well.cases + unknown.cases + sums.flow.beside:
        raise ValueError("the flow does not add up to all cases")
    if sum(month.cases for month in sums.months) > sums.flow.cases:
        raise ValueError("there are more cases in the months than in all")
    _check_scores(sums)


def _check_scores(sums: SiteSums) -> None:
    ill, well, bins = sums.flags.with_condition, sums.flags.without, sums.histogram
    for levels, counts in ((ill, bins.with_condition), (well, bins.without)):
        if sum(counts) != levels.expedite + levels.standard:
            raise ValueError("each assessed case is in the histogram once")
    if not all(_of_these(area, ill, well) for area in (sums.area, sums.area_assessed)):
        raise ValueError("an area is of the cases of the table")


def _of_these(area: Area | NotEstimable, ill: Levels, well: Levels) -> bool:
    return isinstance(area, NotEstimable) or (
        area.positives <= ill.cases and area.negatives <= well.cases
    )


def _check_once(what: str, names: Iterable[object]) -> None:
    seen = list(names)
    if len(set(seen)) != len(seen):
        raise ValueError(f"a {what} is there twice")


def to_document(sums: SiteSums) -> Document:
    """As JSON has it: schema ``trial-sums-1``."""
    found: Document = json.loads(json.dumps({"schema": SCHEMA, **asdict(sums)}))
    return found


def of_document(document: Document) -> SiteSums:
    """Raises TrialError, where it is not what a site's analysis writes."""
    if wrong := schemas.complaint(SCHEMA, document):
        raise TrialError(f"sums: {wrong}")
    try:
        return _site_sums(document)
    except ValueError as error:
        raise TrialError(f"sums: {error}") from None


def _site_sums(document: Document) -> SiteSums:
    return SiteSums(
        origin=Origin(**document["origin"]),
        flags=_table(document["flags"]),
        subgroups=tuple(_subgroup(some) for some in document["subgroups"]),
        reasons=tuple(Reason(**reason) for reason in document["reasons"]),
        area=_estimated(Area, document["area"]),
        area_assessed=_estimated(Area, document["area_assessed"]),
        sensitivity=_estimated(ClusteredShare, document["sensitivity"]),
        specificity=_estimated(ClusteredShare, document["specificity"]),
        histogram=Histogram(*(tuple(document["histogram"][k]) for k in _HISTOGRAM)),
        flow=Flow(**document["flow"]),
        months=tuple(Month(**month) for month in document["months"]),
        mix=tuple(Mix(**{**some, "kind": MixKind(some["kind"])}) for some in document["mix"]),
    )


_HISTOGRAM = ("with_condition", "without")


def _table(document: Document) -> FlagTable:
    return FlagTable(**{truth: Levels(**levels) for truth, levels in document.items()})


def _subgroup(document: Document) -> Subgroup:
    tables = tuple(_table(table) for table in document["tables"])
    return Subgroup(document["name"], tuple(document["levels"]), tables)


def _estimated(kind: type[Any], document: Document) -> Any:
    return NotEstimable(**document) if "reason" in document else kind(**document)
