"""Sealed records, opened: what each slide was asked, and what became of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from wsi_ai.core.flags import Level
from wsi_ai.errors import TrialError
from wsi_ai.schemas.reading import Unreadable, from_json
from wsi_ai.trial.join import SlideAnswer
from wsi_ai.trial.reference import Identity
from wsi_ai.trial.sealed_run import INDEX_TEST
from wsi_ai.trial.sealing import SEALED, Trial, entries, unseal

FAILED, SCOPE, COVERAGE, IN_DOUBT = "failed", "scope", "coverage", "identity"
_CHECKS = ("focus", "pen", "tissue")


@dataclass(frozen=True, slots=True, eq=False)
class OpenedSlide:
    """One record."""

    slide_sha256: str
    identity: Identity | None
    """``None`` where nobody said whose slide it is."""
    slide_id: str
    answer: SlideAnswer | None
    """``None`` where it is of no case."""
    reason: str
    """Why it was not assessed, as a code; empty where it was."""
    off_protocol: tuple[str, ...]
    rescan: bool
    sealed_at: str
    to_flag_s: float | None
    source: Mapping[str, str]
    """Vendor, scanner and software."""
    inputs: Mapping[str, float]
    """Of drift: µm/px and the checks of the slide's quality."""
    score_kind: str = "uncalibrated_score"
    role: str = INDEX_TEST
    model: str = ""
    """A comparator's name and version."""

    @property
    def failed(self) -> bool:
        return self.reason == FAILED


def open_records(trial: Trial, reference: bytes, key: bytes) -> tuple[OpenedSlide, ...]:
    """Of the index test and of comparators, in the order of sealing.  Raises TrialError."""
    times = [line["time"] for line in entries(trial) if line["what"] == SEALED]
    found = []
    for number, (question, content) in enumerate(unseal(trial, reference, key)):
        try:
            record = from_json(content)
            found.append(_opened(question.slide_sha256, record, times[number]))
        except (Unreadable, KeyError, TypeError, ValueError):
            raise TrialError(f"sealed record {number + 1} is none of this software") from None
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Standing:
    """The records that count, and the number of those that others replaced."""

    slides: tuple[OpenedSlide, ...]
    superseded: int
    of_no_case: int


def standing(records: Sequence[OpenedSlide]) -> Standing:
    """Of the same bytes the last answer holds, for nobody could know any: but an answer before a
    failure, and one on the protocol before one off it.  A new scan replaces the earlier ones of its
    glass, and whatever comes replaces a file that could not be read.  What else comes under the
    name of another slide, and is not said to be a new scan, is in doubt."""
    by_bytes: dict[str, list[OpenedSlide]] = {}
    for record in records:
        by_bytes.setdefault(record.slide_sha256, []).append(record)
    single = sorted(
        (min(reversed(same), key=_rank) for same in by_bytes.values()), key=records.index
    )
    by_glass: dict[tuple[Identity, str], list[OpenedSlide]] = {}
    for record in single:
        if record.identity is not None:
            by_glass.setdefault((record.identity, record.slide_id), []).append(record)
    kept = [record for scans in by_glass.values() for record in _of_glass(scans)]
    of_no_case = sum(record.identity is None for record in single)
    return Standing(tuple(kept), len(records) - len(kept) - of_no_case, of_no_case)


def _rank(record: OpenedSlide) -> tuple[bool, bool, bool]:
    """The least is the one that holds; of equals, the first that comes."""
    return record.failed, bool(record.off_protocol), record.identity is None


def _of_glass(scans: Sequence[OpenedSlide]) -> Iterable[OpenedSlide]:
    kept: list[OpenedSlide] = []
    for scan in scans:
        if scan.rescan or all(before.failed for before in kept):
            kept = [scan]
        elif kept:
            kept.append(_doubted(scan))
        else:
            kept.append(scan)
    return kept


def _doubted(scan: OpenedSlide) -> OpenedSlide:
    """As the flags of a run act: nobody relies on it."""
    if scan.answer is None:
        return scan
    answer = replace(scan.answer, level=Level.NOT_ASSESSED, score=None)
    return replace(scan, answer=answer, reason=IN_DOUBT)


def _opened(slide_sha256: str, record: Mapping[str, Any], sealed_at: str) -> OpenedSlide:
    flag, run = record["flag"], record["run"]
    identity, off = _identity(flag), list(record["off_protocol"])
    answer = _answer(flag, identity) if identity else None
    if answer is not None and not answer.consistent:
        off.append("level")
    slide = run["slide"]
    return OpenedSlide(
        slide_sha256=slide_sha256,
        identity=identity,
        slide_id=flag["slide"]["slide_id"]["value"],
        answer=answer,
        reason=_reason(flag, run),
        off_protocol=tuple(off),
        rescan=record["rescan"],
        sealed_at=sealed_at,
        to_flag_s=(run["timing"] or {}).get("to_flag_s"),
        source={
            "vendor": slide["vendor"],
            "scanner": slide["scanner"],
            "software": run["software"],
        },
        inputs=_inputs(flag, run),
        score_kind=flag["result"]["score_kind"],
        role=record["role"],
        model=_comparator(record),
    )


def _comparator(record: Mapping[str, Any]) -> str:
    if record["role"] == INDEX_TEST:
        return ""
    model = record["flag"]["model"]
    return f"{model['name']}-{model['version']}"


def _identity(flag: Mapping[str, Any]) -> Identity | None:
    if flag["tenant"] is None or flag["case"] is None:
        return None
    accession = flag["case"]["accession"]
    return Identity(flag["tenant"]["trust_ods"], accession["issuer"] or "", accession["value"])


def _answer(flag: Mapping[str, Any], identity: Identity) -> SlideAnswer:
    result, level = flag["result"], Level(flag["result"]["level"])
    score = None if level is Level.NOT_ASSESSED else result["score"]
    return SlideAnswer(identity, level, score, result["threshold"]["value"])


def _reason(flag: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    """By what the record says, not by its words."""
    if flag["result"]["level"] != Level.NOT_ASSESSED.value:
        return ""
    if run["failed"]:
        return FAILED
    checks = run["quality"]
    if checks is None:
        return SCOPE
    stopped = [check["name"] for check in checks if check["status"] == "fail"]
    return str(stopped[0]) if stopped else COVERAGE


def _inputs(flag: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, float]:
    checks = {check["name"]: float(check["value"]) for check in run["quality"] or ()}
    found = {name: checks[name] for name in _CHECKS if name in checks}
    if (mpp := flag["slide"]["mpp"]) is not None:
        found["mpp"] = float(mpp)
    return found
