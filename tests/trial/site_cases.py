"""Opened slides and references, as many as a test wants, without a pixel."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tests.trial.protocols import document
from wsi_ai.core.flags import Level
from wsi_ai.trial.analysis.cases import analysed
from wsi_ai.trial.analysis.results import Opened
from wsi_ai.trial.analysis.summing import Analysis
from wsi_ai.trial.documents import Document
from wsi_ai.trial.join import SlideAnswer
from wsi_ai.trial.opened import OpenedSlide, Standing
from wsi_ai.trial.patients import Patient
from wsi_ai.trial.protocol import Protocol
from wsi_ai.trial.reference import Identity, Reference, Truth

THRESHOLD = 0.62
LOCK = {
    "what": "reference locked", "time": "2027-07-01T09:00:00.000Z", "reference_sha256": "ab" * 32,
    "reason": None, "incomplete": False, "cases": 500, "missing": 0,
}  # fmt: skip
LEDGER = [{"what": "sealed", "time": "2027-02-01T09:00:00.000Z"}, LOCK]


def identity(case: str) -> Identity:
    return Identity("RXX", "", case)


def slide(case: str, score: float | None, name: str = "a", **fields: object) -> OpenedSlide:
    """Not assessed for want of focus where there is no score."""
    level = Level.NOT_ASSESSED
    if score is not None:
        level = Level.EXPEDITE if score >= THRESHOLD else Level.STANDARD
    made = OpenedSlide(
        slide_sha256=f"{case}{name}",
        identity=identity(case),
        slide_id=f"{case}-{name}",
        answer=SlideAnswer(identity(case), level, score, THRESHOLD),
        reason="focus" if score is None else "",
        off_protocol=(),
        rescan=False,
        sealed_at="2027-02-01T09:00:00.000Z",
        to_flag_s=30.0,
        source={"vendor": "aperio", "scanner": "GT450", "software": "wsi_ai 0.1.0"},
        inputs={"mpp": 0.25, "focus": 0.9, "pen": 0.0, "tissue": 0.3},
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def reference(case: str, truth: Truth, **fields: object) -> Reference:
    made = Reference(identity(case), f"p{case}", truth, "X", saw_ai=False, times_in_order=True)
    return replace(made, **fields)  # type: ignore[arg-type]


def table(counts: Mapping[Truth, Sequence[int]]) -> tuple[list[OpenedSlide], list[Reference]]:
    """Cases expedited, standard and not assessed, by truth, as the examples of tables have them."""
    slides, references = [], []
    for truth, of_level in counts.items():
        for n, score in zip(of_level, (0.9, 0.2, None), strict=True):
            for _ in range(n):
                case = f"{len(slides):05d}"
                slides.append(slide(case, score))
                if truth is not Truth.MISSING:
                    references.append(reference(case, truth))
    return slides, references


def analysis_of(
    slides: Sequence[OpenedSlide],
    references: Sequence[Reference],
    patients: Mapping[str, Patient] | None = None,
    protocol: Document | None = None,
) -> Analysis:
    made = protocol or document()
    return Analysis(analysed(slides, references, patients or {}, made), tuple(slides))


def opened_of(
    *analyses: Analysis, protocol: Document | None = None, ledger: Sequence[object] = ()
) -> Opened:
    standing = Standing(analyses[-1].slides, 0, 0)
    lines = list(ledger) or LEDGER
    return Opened(Protocol(protocol or document()), "RXX", lines, standing, analyses)  # type: ignore[arg-type]
