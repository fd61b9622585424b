"""What leaves the building: a flag's revision as a message, where it may go, and its receipt."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path


class Kind(StrEnum):
    """What a message does to the flag that it is about."""

    RAISED = "raised"
    AMENDED = "amended"
    RETRACTED = "retracted"
    NOT_ASSESSED = "not_assessed"


class Retraction(StrEnum):
    """Why a flag is taken back."""

    SLIDE_RESCANNED = "slide_rescanned"
    SLIDE_MISIDENTIFIED = "slide_misidentified"
    MODEL_DEFECT = "model_defect"
    QC_OVERTURNED = "qc_overturned"
    DUPLICATE = "duplicate"
    OPERATOR = "operator"


class Version(StrEnum):
    """Of the flags and heartbeats that a receiver takes; see ``schemas/``."""

    V1_0 = "1.0"
    V1_1 = "1.1"


@dataclass(frozen=True, slots=True)
class Held:
    """The newest revision of a flag that a receiver holds."""

    revision: int
    event_id: str
    answer: str | None
    """Its ``answer_digest``; ``None`` where a receiver of an earlier version does not say."""
    retracted: bool = False

    def says(self, answer: str, *, retracted: bool) -> bool:
        """Whether this is what it holds: of two that were taken back, both say nothing."""
        if retracted or self.retracted:
            return retracted and self.retracted
        return self.answer == answer


@dataclass(frozen=True, slots=True)
class Message:
    """One revision of one flag, ready to be sent.  The same revision is the same message."""

    event_id: str
    flag_id: str
    revision: int
    kind: Kind
    trust: str | None
    """Whose flag it is; ``None`` where the slide has no identity."""
    urgent: bool
    body: bytes = field(repr=False)
    """A CloudEvent in structured mode, with the canonical flag as its data."""
    sha256: str = ""
    """Of ``body``, when it was made."""
    answer: str = field(default="", compare=False)
    """The flag's ``answer_digest``, where it was just made."""

    def __post_init__(self) -> None:
        if not self.sha256:
            object.__setattr__(self, "sha256", hashlib.sha256(self.body).hexdigest())

    def is_whole(self) -> bool:
        """Whether ``body`` is still what it was: look before it is signed."""
        return hashlib.sha256(self.body).hexdigest() == self.sha256


@dataclass(frozen=True, slots=True)
class NotStarted:
    """A run that could not begin.  Names no slide."""

    slides: int
    """Number of slides that wait for it."""
    kind: str
    """Whose fault it is: ``model``, ``device``, ``policy``, ``command`` or ``output``."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """That the sender is alive.  Names no slide and no case."""

    event_id: str
    body: bytes = field(repr=False)
    """A CloudEvent in structured mode."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The receiver has it."""

    flag_id: str
    sink: str
    reference: str
    """What the receiver answered, in short: to be found again in its records."""
    accepted_at: datetime
    held: Held | None = None
    """What it holds of the flag now, where it says so: another event where this one came late."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Bytes that no text shows."""

    value: bytes = field(repr=False)


TIMEOUT_S = 15.0

ReadSecret = Callable[[], Secret]
"""Reads a secret anew each time, so that a rotated one is found."""


@dataclass(frozen=True, slots=True)
class OAuth:
    """Client credentials of OAuth2, with a secret or with a signed assertion."""

    client_id: str
    token_url: str | None = None
    """``None``: the FHIR server's ``smart-configuration`` says it."""
    secret: ReadSecret | None = field(default=None, repr=False)
    key: ReadSecret | None = field(default=None, repr=False)
    """A private key in PEM, to sign assertions with."""
    algorithm: str = "RS384"
    key_id: str | None = None
    scope: str = ""


@dataclass(frozen=True, slots=True)
class FhirSettings:
    """Under which URIs the site's systems issue accessions and slide ids."""

    accession_system: str | None = None
    slide_system: str | None = None
    flag: bool = False
    """A Flag resource too, which R4 allows for a patient only."""


@dataclass(frozen=True, slots=True)
class Hl7Settings:
    """MSH-5 and MSH-6."""

    application: str = ""
    facility: str = ""


class Shapes(StrEnum):
    """How a PACS shows where the evidence is."""

    OUTLINES = "outlines"
    GALLERY = "gallery"
    """Its regions as pictures beside the slide, the highest score first."""


@dataclass(frozen=True, slots=True)
class SectraSettings:
    """Of the image analysis API."""

    application: str = "wsi-ai"
    """As the PACS knows us."""
    shapes: Shapes = Shapes.OUTLINES
    issuer: str | None = None
    """Who issues the accessions, in the PACS's own words; needed where two do."""
    issuer_key: str = "accessionNumberIssuer"
    """What the PACS calls it in a question: Sectra's own clients do not agree."""
    quality_control: bool = False
    """Whether a slide that failed the quality checks is marked as rejected in the PACS."""


@dataclass(frozen=True, slots=True)
class DicomSettings:
    """Where heatmaps and hotspots lie that flags name: the folder of results."""

    objects: Path | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """How a sender proves who it is.  Each is read when it is needed, and never kept in text."""

    signing: tuple[ReadSecret, ...] = field(default=(), repr=False)
    """Standard Webhooks keys (``whsec_``: v1, ``whsk_``: v1a); several while keys are rotated."""
    bearer: ReadSecret | None = field(default=None, repr=False)
    oauth: OAuth | None = None
    basic: ReadSecret | None = field(default=None, repr=False)
    """``user:password``."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Whom to believe, and how to show oneself.  Verification has no switch."""

    authority: Path | None = None
    """A CA bundle in place of the system's."""
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place that flags may go to."""

    name: str
    url: str
    trusts: frozenset[str] | None
    """Whose flags; ``None``: every trust's, for an endpoint that was named for one run."""
    credentials: Credentials = Credentials()
    tls: Tls = Tls()
    timeout_s: float = TIMEOUT_S
    """For the whole of an attempt."""
    read_back: str | None = None
    """Where the receiver's worklist can be read."""
    allowed_hosts: frozenset[str] = frozenset()
    """The only hosts that may be spoken to."""
    fhir: FhirSettings = FhirSettings()
    hl7: Hl7Settings = Hl7Settings()
    dicom: DicomSettings = DicomSettings()
    sectra: SectraSettings = SectraSettings()
    heartbeat_s: float | None = None
    """How often its receiver wants to hear that we are alive; ``None``: never."""
    version: Version = Version.V1_1

    def takes(self, trust: str | None) -> bool:
        """Whether a flag of this trust may be sent here.  One without an identity never may."""
        return trust is not None and (self.trusts is None or trust in self.trusts)


def bare_name(url: str) -> str:
    """Of an endpoint that has no other name than its address."""
    return f"send-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
