"""The result for a slide: the checks that it went through, what was found, and the flag."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from wsi_ai.core.cards import CARD_INCOMPLETE, ModelCard
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
    """What the value means, for a reader of the flag."""


@dataclass(frozen=True, slots=True)
class Quality:
    """All checks of a slide, made before inference."""

    checks: tuple[Check, ...]
    tissue_fraction: float

    @property
    def status(self) -> Status:
        passed = all(check.status is Status.PASS for check in self.checks)
        return Status.PASS if passed else Status.FAIL


Ring = Sequence[tuple[float, float]]
"""A closed polygon in level-0 pixels, (x, y); the first point is not repeated.  See
``corners.Corners``."""


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
    """How urgent a slide is.  There is no level that means benign."""

    EXPEDITE = "expedite"
    STANDARD = "standard"
    NOT_ASSESSED = "not_assessed"


STATEMENT = "AI-generated, unverified. Research use only. Not for primary diagnosis."
"""Shown wherever a person may read a flag."""


def statement_of(card: ModelCard) -> str:
    """The statement; of a model that is only being tried, that first."""
    return f"{CARD_INCOMPLETE}. {STATEMENT}" if card.incomplete else STATEMENT


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose slide it is, in the terms of the site's own systems.  Personal data: never log it."""

    trust: str
    """ODS code of the trust."""
    accession: str
    slide_id: str
    block: str | None = None
    stain: str | None = None
    network: str | None = None
    issuer: str | None = None
    """Who issued the accession and the slide id."""
    organ: str | None = None
    specimen: str | None = None
    """What kind: biopsy, resection, …"""


@dataclass(frozen=True, slots=True)
class Flag:
    """The answer of one model for one slide.  The same slide and model give the same id."""

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
    """``None`` where it is unknown whose slide it is: then the flag goes to no case system."""
    extensions: Mapping[str, Any] = field(default_factory=dict)
    """More about the answer, by name, as JSON: what receivers of version 1.0 do without."""

    def __post_init__(self) -> None:
        if self.level is Level.NOT_ASSESSED and self.score is not None:
            raise ValueError("a slide that was not assessed has no score")


@dataclass(frozen=True, slots=True)
class Standing:
    """What was last put under a flag's id, unless it was taken back."""

    level: Level
    revision: int
    sent: bool
    """Some receiver has it, or will get it."""
    flag: Mapping[str, Any] | None = field(default=None, repr=False)
    """As it was put; ``None`` once its content is purged."""

    @property
    def fingerprint(self) -> str | None:
        """SHA-256 of the slide's bytes, as far as that is known."""
        return self.flag["slide"]["image_sha256"] if self.flag else None

    @property
    def in_doubt(self) -> bool:
        """Another slide came under the same identity since."""
        return self.flag is not None and DOUBT in self.flag["result"]["explanation"]

    def is_of(self, fingerprint: str) -> bool:
        """Of these bytes; or it is not known any more of which."""
        return self.fingerprint in (None, fingerprint)

    def is_lowered_by(self, level: Level, fingerprint: str) -> bool:
        """Whether this level, of the same bytes, would take something back from a receiver."""
        return self.sent and self.is_of(fingerprint) and _WEIGHT[level] < _WEIGHT[self.level]


DOUBT = "identity in doubt: another slide came under the same accession and slide id"
_WEIGHT = {Level.NOT_ASSESSED: 0, Level.STANDARD: 1, Level.EXPEDITE: 2}
