"""What is said of a slide: the checks it went through, what was found, and the flag."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.values import SlideInfo


class Status(StrEnum):
    PASS = "pass"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One measured property of a slide, and the limit that it is held to."""

    name: str
    value: float
    limit: float
    status: Status
    meaning: str
    """What the value says, for a reader of the flag."""


@dataclass(frozen=True, slots=True)
class Quality:
    """All checks of a slide, made before inference."""

    checks: tuple[Check, ...]
    tissue_fraction: float

    @property
    def status(self) -> Status:
        passed = all(check.status is Status.PASS for check in self.checks)
        return Status.PASS if passed else Status.FAIL


Ring = tuple[tuple[float, float], ...]
"""A closed polygon in level-0 pixels, (x, y); the first point is not repeated."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One connected region of positive cells."""

    label: str
    outline: Ring
    holes: tuple[Ring, ...]
    peak: float
    mean: float
    area_mm2: float
    cells: int


class Level(StrEnum):
    """What the case system is told.  There is no level that means benign."""

    EXPEDITE = "expedite"
    STANDARD = "standard"
    NOT_ASSESSED = "not_assessed"


STATEMENT = "AI-generated, unverified. Research use only. Not for primary diagnosis."
"""Stands on everything that a person may read about a flag."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose slide it is, in the words of the site's own systems.  Personal data: never log it."""

    trust: str
    """ODS code of the trust."""
    accession: str
    slide_id: str
    block: str | None = None
    stain: str | None = None
    network: str | None = None
    issuer: str | None = None
    """Whose numbers the accession and the slide id are."""
    organ: str | None = None
    specimen: str | None = None
    """What kind: biopsy, resection, …"""


@dataclass(frozen=True, slots=True)
class Flag:
    """What is said of a slide.  The same slide and model give the same id."""

    flag_id: str
    revision: int
    slide: SlideInfo
    model: ModelCard
    policy: str
    level: Level
    reason: str
    """One sentence that a pathologist understands; names no slide and no case."""
    score: float | None
    """The highest threshold at which the rule would still be met; ``None`` if not assessed."""
    threshold: float
    coverage: float
    planned: int
    positive: int
    quality: Quality | None
    """``None`` where the slide could not be looked at."""
    findings: tuple[Finding, ...] = ()
    identity: Identity | None = None
    """``None`` where whose slide it is is not known: then the flag goes to no case system."""
    extensions: Mapping[str, Any] = field(default_factory=dict)
    """More about the answer, by name, as JSON: what receivers of version 1.0 do without."""

    def __post_init__(self) -> None:
        if self.level is Level.NOT_ASSESSED and self.score is not None:
            raise ValueError("a slide that was not assessed has no score")
