"""``schemas/triage-flag-1.1.schema.json``, and 1.0, as types, for senders and receivers in Python.

Both refuse the same flags; the tests hold them together.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from wsi_ai.core.flags import STATEMENT, Level, Status
from wsi_ai.delivery.messages import Retraction

Text = Annotated[str, StringConstraints(min_length=1)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FlagId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
Time = Annotated[
    str, StringConstraints(pattern=r"^[0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}\.[0-9]{3}Z$")
]
Share = Annotated[float, Field(ge=0, le=1)]
Natural = Annotated[int, Field(ge=0)]
Point = Annotated[list[Natural], Field(min_length=2, max_length=2)]


def _true(value: bool) -> bool:  # noqa: FBT001
    if not value:
        raise ValueError("true was expected")
    return value


Always = Annotated[bool, AfterValidator(_true)]
"""``Literal[True]`` would take the number 1."""


class Part(BaseModel):
    """Strict: no field beyond the schema's, and no text taken for a number.
    Errors quote nothing of a flag."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class Identifier(Part):
    value: Text
    issuer: str | None


class Tenant(Part):
    network: str | None
    trust_ods: Text


class Case(Part):
    accession: Identifier


class FlagSlide(Part):
    slide_id: Identifier
    block: str | None = None
    stain: str | None = None
    image_sha256: Sha256
    mpp: Annotated[float, Field(gt=0)] | None
    width: Natural
    height: Natural


class Finding(Part):
    code: str
    system: str


class Threshold(Part):
    value: Annotated[float, Field(gt=0, lt=1)]
    operating_point: str
    calibrated_on: str


class Result(Part):
    level: Annotated[Level, Field(strict=False)]
    explanation: Text
    finding: Finding
    score: Share | None
    score_kind: Literal["uncalibrated_score", "calibrated_probability"]
    threshold: Threshold
    policy: str


class Region(Part):
    region_id: str
    shape: Literal["polygon"]
    coords: Literal["level0_px"]
    points: Annotated[list[Point], Field(min_length=3)]
    score: Share
    area_mm2: Annotated[float, Field(gt=0)]


class Evidence(Part):
    regions: Annotated[list[Region], Field(max_length=64)]
    truncated: bool
    n_tiles: Natural
    n_tiles_positive: Natural


class Check(Part):
    name: str
    status: Annotated[Status, Field(strict=False)]
    value: float
    limit: float
    meaning: str


class Qc(Part):
    status: Literal["pass", "fail", "not_checked"]
    checks: list[Check]
    tissue_fraction: Share | None
    analysed_fraction: Share


class Model(Part):
    name: Text
    version: Text
    weights_sha256: Sha256
    manifest_sha256: Sha256
    runtime: str


class Regulatory(Part):
    status: Literal["research_use_only", "investigational", "registered_device"]
    intended_use: str
    clinical_review_required: Always
    statement: str
    device_id: str | None

    @model_validator(mode="after")
    def _says_what_it_must(self) -> Self:
        if self.statement != STATEMENT:
            raise ValueError("statement: not the wording that stands on every flag")
        if self.status == "registered_device" and self.device_id is None:
            raise ValueError("device_id: a registered device has one")
        return self


class Timestamps(Part):
    started: Time
    finished: Time
    issued: Time


class Provenance(Part):
    pipeline: str
    run_id: str
    config_sha256: Sha256


Version = Literal["1.0", "1.1"]
Open = dict[str, Any]
"""What later versions of the sender add; whoever does not know a name passes over it."""


class RunNotStarted(Part):
    """The sender's last run could not begin: what it sent is not all."""

    slides_waiting: Natural
    reason: Literal["command", "model", "policy", "device", "output"]


class Heartbeat(Part):
    """``schemas/heartbeat-1.1.schema.json`` (and 1.0): the sender is alive."""

    schema_version: Version
    sender: Text | None = None
    trusts: list[Text]
    every_s: Annotated[float, Field(gt=0, le=86400)]
    waiting: Natural
    dead: Natural
    oldest_waiting: Time | None
    newest_flag: Time | None
    waiting_elsewhere: Natural | None = None
    run_not_started: RunNotStarted | None = None
    extensions: Open | None = None

    @model_validator(mode="after")
    def _has_what_its_version_has(self) -> Self:
        _check_version(self, "sender", "waiting_elsewhere", "extensions")
        return self


class TriageFlag(Part):
    """What an AI model says of one slide.  There is no level that means benign."""

    schema_version: Version
    flag_id: FlagId
    revision: Annotated[int, Field(ge=1)]
    action: Literal["raise", "amend", "retract", "not_assessed"]
    supersedes: str | None
    retraction_reason: Annotated[Retraction, Field(strict=False)] | None
    environment: Literal["research", "test", "production"]
    tenant: Tenant | None
    case: Case | None
    slide: FlagSlide
    result: Result
    evidence: Evidence
    qc: Qc
    model: Model
    regulatory: Regulatory
    timestamps: Timestamps
    provenance: Provenance
    extensions: Open | None = None

    @model_validator(mode="after")
    def _has_what_its_version_has(self) -> Self:
        _check_version(self, "extensions")
        return self

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        assessed = self.result.level is not Level.NOT_ASSESSED
        first = "raise" if assessed else "not_assessed"
        if self.action not in (first, "amend", "retract"):
            raise ValueError("action: does not go with result.level")
        if assessed != (self.result.score is not None):
            raise ValueError("result.score: exactly a slide that was assessed has one")
        if assessed and self.qc.status != "pass":
            raise ValueError("qc.status: a slide that did not pass was not assessed")
        if (self.action == "retract") != (self.retraction_reason is not None):
            raise ValueError("retraction_reason: exactly a retraction has one")
        if self.action == "amend" and (self.supersedes is None or self.revision < 2):
            raise ValueError("supersedes: an amendment names the event that it replaces")
        return self


def _check_version(part: Heartbeat | TriageFlag, *since_1_1: str) -> None:
    """What 1.1 added is there exactly in 1.1."""
    newer = part.schema_version != "1.0"
    for name in since_1_1:
        is_there = getattr(part, name) is not None if newer else name in part.model_fields_set
        if newer != is_there:
            raise ValueError(f"{name}: in version 1.1, and in it only")
