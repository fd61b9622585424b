"""Made-up cases of a made-up site."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

SCANNERS = ("Alpha-3", "Beta-40", "Old-1")
_ETHNIC = {"A": 0.70, "H": 0.11, "N": 0.08, "F": 0.04, "S": 0.03, "Z": 0.04}
_DARKER = ("N",)
_FAILURES = ("focus", "pen", "tissue", "failed")
_MONTHS = ("2027-01", "2027-02", "2027-03", "2027-04")


@dataclass(frozen=True, slots=True)
class MadeCase:
    """What is true of a case, what its reference says, and what its flag does."""

    accession: str
    month: str
    ethnic_category: str
    sex: str
    age: int
    scanner: str
    condition: bool
    result: str
    certainty: str
    saw_ai: str
    score: float | None
    """``None`` where it was not assessed."""
    reason: str
    has_flag: bool


@dataclass(frozen=True, slots=True)
class MadeSite:
    """Some sites have more cases, an older scanner, or stop a month before the others."""

    ods: str
    cases: int
    months: int
    old_scanner: bool
    skill: float
    """Of the model at this site, as a shift of the scores' logits."""


def made_sites(names: tuple[str, ...], cases: int, seed: int) -> tuple[MadeSite, ...]:
    rng = np.random.default_rng([seed, 17])
    return tuple(
        MadeSite(
            ods=ods,
            cases=int(rng.integers(round(0.6 * cases), round(1.4 * cases) + 1)),
            months=len(_MONTHS) - 1 if number == 5 else len(_MONTHS),
            old_scanner=number % 4 == 1,
            skill=float(rng.normal(0, 0.25)),
        )
        for number, ods in enumerate(names)
    )


def made_cases(site: MadeSite, threshold: float, seed: int) -> Iterator[MadeCase]:
    rng = np.random.default_rng([seed, *site.ods.encode()])
    for number in range(site.cases):
        yield _case(site, number, threshold, rng)


def _case(site: MadeSite, number: int, threshold: float, rng: np.random.Generator) -> MadeCase:
    ethnic = str(rng.choice(list(_ETHNIC), p=list(_ETHNIC.values())))
    shares = (0.3, 0.2, 0.5) if site.old_scanner else (0.6, 0.4, 0.0)
    scanner = str(rng.choice(SCANNERS, p=shares))
    condition = bool(rng.random() < 0.3)
    darker = ethnic in _DARKER
    fails = 0.02 + 0.07 * (scanner == SCANNERS[2]) + 0.05 * darker
    failed = bool(rng.random() < fails)
    middle = 1.65 + site.skill - 1.1 * darker if condition else -1.3 + 0.5 * site.skill
    score = _logistic(float(rng.normal(middle, 1.0)) + float(np.log(threshold / (1 - threshold))))
    return MadeCase(
        accession=f"{site.ods}-{number:04d}",
        month=_MONTHS[number * site.months // site.cases],
        ethnic_category=ethnic,
        sex=str(rng.choice(["1", "2"])),
        age=int(np.clip(rng.normal(67, 9), 40, 95)),
        scanner=scanner,
        condition=condition,
        **_reference(condition, rng),
        score=None if failed else score,
        reason=str(rng.choice(_FAILURES)) if failed else "",
        has_flag=bool(rng.random() > 0.01),
    )


def _reference(condition: bool, rng: np.random.Generator) -> dict[str, str]:  # noqa: FBT001
    missing, doubtful, saw = rng.random(3) < (0.015, 0.01, 0.01)
    if missing:
        return {"result": "", "certainty": "", "saw_ai": "no"}
    return {
        "result": "TUMOUR" if condition else "NONE",
        "certainty": "indeterminate" if doubtful else "definite",
        "saw_ai": "yes" if saw else "no",
    }


def _logistic(value: float) -> float:
    return round(float(np.clip(1 / (1 + np.exp(-value)), 0.001, 0.999)), 4)


def reference_table(ods: str, cases: list[MadeCase]) -> bytes:
    rows = [
        {
            "trust": ods,
            "accession": case.accession,
            "patient": f"p{case.accession}",
            "result": case.result,
            "certainty": case.certainty,
            "received_at": f"{case.month}-03T09:00:00Z",
            "reported_at": f"{case.month}-09T15:00:00Z",
            "saw_ai": case.saw_ai,
        }
        for case in cases
    ]
    return _csv(rows)


def patients_table(cases: list[MadeCase]) -> bytes:
    rows = [
        {
            "patient": f"p{case.accession}",
            "sex": case.sex,
            "age": case.age,
            "ethnic_category": case.ethnic_category,
        }
        for case in cases
    ]
    return _csv(rows)


def record(case: MadeCase, ods: str, threshold: float, role: str) -> Mapping[str, Any]:
    """A sealed record as ``trial run`` makes it, as far as an analysis reads it."""
    level = "not_assessed"
    if case.score is not None:
        level = "expedite" if case.score >= threshold else "standard"
    checks = [
        {"name": name, "value": 0.5, "status": "fail" if case.reason == name else "pass"}
        for name in _FAILURES[:3]
    ]
    return {
        "role": role,
        "off_protocol": [],
        "rescan": False,
        "flag": {
            "tenant": {"trust_ods": ods},
            "case": {"accession": {"value": case.accession, "issuer": None}},
            "slide": {"slide_id": {"value": f"{case.accession}-1"}, "mpp": 0.5},
            "result": {
                "level": level,
                "score": case.score,
                "score_kind": "uncalibrated_score",
                "threshold": {"value": threshold},
            },
        },
        "run": {
            "failed": case.reason == "failed",
            "quality": None if case.reason == "failed" else checks,
            "software": "drawn not run",
            "timing": {"to_flag_s": 60.0},
            "slide": {"vendor": "drawn", "scanner": case.scanner},
        },
    }


def _csv(rows: list[dict[str, Any]]) -> bytes:
    made = io.StringIO()
    writer = csv.DictWriter(made, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return made.getvalue().encode()
