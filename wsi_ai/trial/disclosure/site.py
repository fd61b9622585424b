"""A site's sums on their way through the door: everything that the audience ``open`` gets.

Flags by truth, in all and by each characteristic, are one system, so that what one table tells of
another is reckoned with.  Cases that are in no table, such as those without a reference, are other
cases, and no sum of both is shown.  Not among them are reasons, which would hide their neighbours,
and scores by bin, months, scanners and versions, which whoever holds a slide could compare.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_ai.trial.disclosure.door import (
    HIDDEN_AREA,
    publish_area,
    publish_counts,
    publish_share,
)
from wsi_ai.trial.disclosure.published import Published
from wsi_ai.trial.disclosure.rule import SmallNumbers
from wsi_ai.trial.disclosure.tables import Breakdown, Key, System
from wsi_ai.trial.evidence.accuracy import FlagTable
from wsi_ai.trial.evidence.auroc import Area
from wsi_ai.trial.sums import SiteSums

TRUTHS = ("with_condition", "without")
LEVELS = ("expedite", "standard", "not_assessed")
TOTAL = "total"
NO_REFERENCE = "no_reference"
BESIDE = (NO_REFERENCE, "indeterminate", "unblinded", "off_protocol")
SENSITIVITY, FALSE_POSITIVES, AREA = "sensitivity", "false_positive_rate", "auroc"
_ILL, _WELL = 0, 1
Entries = Mapping[str, Published]


def publish_sums(sums: SiteSums, rule: SmallNumbers) -> Entries:
    """By name, as ``ethnicity=white/expedite/with_condition``.  Raises TrialError where tables
    cannot be checked."""
    counts = publish_counts(system(sums), rule).counts
    entries: dict[str, Published] = {name_of(key): count for key, count in counts.items()}
    for name, cases in _beside(sums).items():
        entries[name] = publish_counts(System(np.array([cases])), rule).counts[Key((0,))]
    ill, well = counts[Key((None, _ILL))], counts[Key((None, _WELL))]
    entries[SENSITIVITY] = publish_share(counts[Key((0, _ILL))], ill)
    entries[FALSE_POSITIVES] = publish_share(counts[Key((0, _WELL))], well)
    both = ill.shown is not None and well.shown is not None
    area = sums.area
    entries[AREA] = publish_area(area, rule) if both and isinstance(area, Area) else HIDDEN_AREA
    return entries


def name_of(key: Key) -> str:
    level, truth = key.places
    return "/".join(
        (
            "all" if key.characteristic is None else f"{key.characteristic}={key.level}",
            TOTAL if level is None else LEVELS[level],
            TOTAL if truth is None else TRUTHS[truth],
        )
    )


def system(sums: SiteSums) -> System:
    """Its tables have flags as rows and truths as columns."""
    return System(counts_of(sums.flags), tuple(_breakdowns(sums)))


def counts_of(table: FlagTable) -> NDArray[np.int64]:
    columns = [getattr(table, truth) for truth in TRUTHS]
    return np.array([[getattr(column, level) for column in columns] for level in LEVELS])


def empty_like(levels: Mapping[str, tuple[str, ...]]) -> System:
    """A system of these characteristics without a case: its names and how they add up."""
    nothing = np.zeros((len(LEVELS), len(TRUTHS)), np.int64)
    of_each = [Breakdown(n, of, np.array([nothing] * len(of))) for n, of in levels.items()]
    return System(nothing, tuple(of_each))


def _breakdowns(sums: SiteSums) -> Iterator[Breakdown]:
    for subgroup in sums.subgroups:
        tables = np.array([counts_of(table) for table in subgroup.tables])
        yield Breakdown(subgroup.name, subgroup.levels, tables)


def _beside(sums: SiteSums) -> dict[str, int]:
    of_flow = {name: getattr(sums.flow, name) for name in BESIDE if name != NO_REFERENCE}
    return {NO_REFERENCE: sums.flags.unknown.cases, **of_flow}


def unexpected_entry(
    shown: Mapping[str, Any], levels: Mapping[str, tuple[str, ...]], rule: SmallNumbers
) -> str | None:
    """What the door of this protocol would not have let out, as a message."""
    counts = {name_of(key) for key in empty_like(levels).keys} | set(BESIDE)
    if set(shown) != counts | {SENSITIVITY, FALSE_POSITIVES, AREA}:
        return "it does not show what the protocol's bundles show"
    if any(not _is_published(shown[name], rule) for name in counts):
        return "a number in it is not hidden or rounded as the protocol says"
    return None


def _is_published(text: object, rule: SmallNumbers) -> bool:
    if not isinstance(text, str):
        return False
    if text in ("*", "0"):
        return True
    count = int(text)
    return count % rule.round_to == 0 and count >= rule.rounded(rule.least)
