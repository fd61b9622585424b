"""Codes and words of our reports.  No standard has one for an AI triage flag: those of scheme
99WSIAI are local, and published in docs/formats.md."""

from pydicom.sr.coding import Code

from wsi_ai.core.flags import Level
from wsi_ai.delivery.formats.wording import LEVELS

SCHEME = "99WSIAI"
MAKER = "wsi_ai"
REPORTS, WITHDRAWALS = "AI triage flag (wsi_ai)", "AI triage flag withdrawn (wsi_ai)"
"""What the series are called."""
REPORT_SERIES, WITHDRAWAL_SERIES = 9100, 9101
"""Their numbers: an archive is asked for the first when all of ours are listed."""
WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
REPORT, NOTE = "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.88.59"
"""SOP classes: Comprehensive 3D SR, Key Object Selection Document."""

PROCEDURE = Code("108257001", "SCT", "Anatomic pathology procedure")
PRIORITY, BEFORE = "triage-priority", "priority-before"
SCORE, THRESHOLD, SEEN = "ai-score", "threshold", "share-analysed"
PEAK = "region-score"
QUALITY, REVISION, USE = "quality-checks", "revision", "intended-use"
ACCESSION, SLIDE, IMAGE = "accession", "slide-id", "image-sha256"
ENVIRONMENT, DEVICE = "environment", "device-id"
EXPLANATION, STATEMENT = "explanation", "statement"
FLAG, EVENT, ANSWER, ACTION, REASON = "flag-id", "event-id", "answer-digest", "action", "reason"
WEIGHTS, MANIFEST = "weights_sha256", "manifest_sha256"
MEANINGS = {
    PRIORITY: "AI triage priority",
    BEFORE: "AI triage priority before it was taken back",
    SCORE: "AI score, 0 to 1",
    PEAK: "Highest AI score in the region",
    THRESHOLD: "Threshold of the AI score",
    SEEN: "Share of the tissue that was analysed",
    QUALITY: "Quality checks",
    REVISION: "Revision",
    USE: "Intended use",
    ACCESSION: "Accession",
    SLIDE: "Slide",
    IMAGE: "SHA-256 of the image",
    ENVIRONMENT: "Environment: production, test or research",
    DEVICE: "Device, where it is registered",
    EXPLANATION: "Explanation",
    STATEMENT: "Statement",
    FLAG: "Flag",
    EVENT: "Event",
    ANSWER: "Digest of the answer",
    ACTION: "Action",
    REASON: "Why it was taken back",
}
RETRACTED = Code("retracted", SCHEME, "Retracted: not to be used")
_LONGEST = 64


def ours(code: str) -> Code:
    return Code(code, SCHEME, MEANINGS[code])


def level(value: str) -> Code:
    return Code(value, SCHEME, LEVELS[Level(value)])


def named(value: str) -> Code:
    """For what a model or a site calls something."""
    return Code(short(value) or "unnamed", SCHEME, short(value) or "unnamed")


def short(text: str, most: int = _LONGEST) -> str:
    """As LO or SH (PS3.5 6.2) takes it: no backslash, no control character, so many signs."""
    clean = "".join(sign if sign.isprintable() else " " for sign in text.replace("\\", "/"))
    return clean.strip()[:most].strip()
