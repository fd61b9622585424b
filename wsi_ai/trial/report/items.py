"""Items of STARD-AI 2025 and DECIDE-AI 2022, and where this trial answers each.

Labels are our own and short; the guidelines have the wording.  What nobody typed is "not stated".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from wsi_ai.trial.documents import Document
from wsi_ai.trial.region.sites import Sites

NOT_STATED = "not stated"
SILENT = "not applicable: silent"
STARD, DECIDE = "STARD-AI", "DECIDE-AI"
Typed = Mapping[str, Mapping[str, str]]
"""What the lead wrote: by guideline, by item."""


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a guideline, as this report answers it."""

    guideline: str
    number: str
    label: str
    source: str
    """Protocol, lock, bundle, report, or typed by the lead."""
    answer: str

    @property
    def stated(self) -> bool:
        return self.answer != NOT_STATED


def items(sites: Sites, typed: Typed) -> tuple[Item, ...]:
    return tuple(
        _item(sites, typed, guideline, row)
        for guideline, rows in ((STARD, _STARD), (DECIDE, _DECIDE))
        for row in rows
    )


def is_item(guideline: str, number: str) -> bool:
    rows = {STARD: _STARD, DECIDE: _DECIDE}.get(guideline, ())
    return any(row[0] == number for row in rows)


Answer = Callable[[Sites], str]
Row = tuple[str, str, str, Answer | None]


def _item(sites: Sites, typed: Typed, guideline: str, row: Row) -> Item:
    number, label, source, answer = row
    if text := typed.get(guideline, {}).get(number, ""):
        return Item(guideline, number, label, "typed by the lead", text)
    found = answer(sites) if answer is not None else ""
    return Item(guideline, number, label, source, found or NOT_STATED)


def _field(*path: str) -> Answer:
    def read(sites: Sites) -> str:
        at: Any = sites.protocol.document
        for step in path:
            at = at.get(step, {}) if isinstance(at, dict) else {}
        return _text(at)

    return read


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


def _says(text: str) -> Answer:
    return lambda sites: text


def _see(where: str) -> Answer:
    return lambda sites: f"see {where}"


def _dates(sites: Sites) -> str:
    document = sites.protocol.document
    return f"{document['opens']} to {document['closes']}; series: {document['eligible']['series']}"


def _model(sites: Sites) -> str:
    test: Document = sites.protocol.document["index_test"]
    return f"{test['model']} {test['version']}, weights {test['weights_sha256'][:12]}…"


def _threshold(sites: Sites) -> str:
    test: Document = sites.protocol.document["index_test"]
    return f"{test['operating_point']:g}, fixed before the trial; {test['score_kind']}"


def _size(sites: Sites) -> str:
    size, primary = sites.protocol.document["size"], sites.protocol.document["primary"]
    return (
        f"{size['with_condition']} with the condition and {size['without']} without;"
        f" goal {primary['goal']}, expected {primary['expected']}, power {primary['power']}"
    )


def _missing(sites: Sites) -> str:
    missing: Document = sites.protocol.document["missing"]
    return f"{missing['reference_missing']}; at most {missing['max_share']:.0%}"


def _blinding(sites: Sites) -> str:
    if sites.unblinded:
        return f"UNBLINDED at {', '.join(sites.unblinded)}: flags opened before the lock"
    return "flags were sealed until the reference was locked (ledger)"


def _subgroups(sites: Sites) -> str:
    return ", ".join(s["name"] for s in sites.protocol.document.get("subgroup", []))


def _software(sites: Sites) -> str:
    return ", ".join(sorted({m.value for s in sites.exact for m in s.mix if m.kind == "software"}))


def _live_only(sites: Sites) -> str:
    return SILENT if sites.protocol.document["design"] == "silent" else ""


def _secondary(sites: Sites) -> str:
    asked = sites.protocol.document.get("secondary", [])
    named = ", ".join(f"{a['measure']} ({a['estimand']})" for a in asked)
    return f"secondary: {named or 'none'}; subgroups: {_subgroups(sites) or 'none'}"


_P, _L, _B, _R, _T = "protocol", "lock and ledger", "bundles", "report", "typed by the lead"
_STARD: tuple[Row, ...] = (
    ("1", "Title names the design", _P, _field("title")),
    ("2", "Abstract", _R, _see("the first page")),
    ("3", "Background, intended use", _P, _field("target", "condition")),
    ("4", "Objectives", _P, _see("the question on the first page")),
    ("5", "Prospective or retrospective", _P, _field("design")),
    ("6", "Eligibility", _P, _field("eligible", "specimen")),
    ("7", "Data eligibility: stain, vendor", _P, _field("eligible", "stain")),
    ("8", "Setting, sites, dates", _P, _dates),
    ("9", "Consecutive, random or convenience", _P, _field("eligible", "series")),
    ("10", "Ethics", _P, _field("ethics")),
    ("11", "Reference standard", _P, _field("target", "reference")),
    ("12", "Why this reference standard", _T, None),
    ("13", "Index test in detail", _P, _model),
    ("14", "Software and hardware", _B, _software),
    ("15a", "Threshold", _P, _threshold),
    ("15b", "Thresholds fixed before", _P, _says("yes: the protocol was signed before")),
    ("15c", "Data handling of the model", _T, None),
    ("15d", "Training data of the model", _T, None),
    ("16a", "Reference categories", _P, _field("target", "positive")),
    ("16b", "Readers of the reference", _T, None),
    ("16c", "Agreement of readers", _T, None),
    ("17a", "Test blinded to the reference", _L, _blinding),
    ("17b", "Reference blinded to the test", _L, _blinding),
    ("18", "Estimates and comparisons", _P, _field("primary", "measure")),
    ("19", "Indeterminate results", _P, _field("target", "indeterminate")),
    ("20", "Missing data", _P, _missing),
    ("21", "Variation, planned or exploratory", _P, _secondary),
    ("22", "Number of cases", _P, _size),
    ("23", "Fairness, planned", _P, _subgroups),
    ("24", "Flow of cases", _B, _see("Flow")),
    ("25", "Baseline characteristics", _B, _see("For whom")),
    ("26a", "Severity of the condition", _T, None),
    ("26b", "Other diagnoses", _T, None),
    ("27", "Time between test and reference", _T, None),
    ("28", "Distribution of the data", _B, _see("Score bands")),
    ("29", "Match with training data", _T, None),
    ("30", "Cross table", _B, _see("Flags by truth")),
    ("31", "Estimates with intervals", _B, _see("Results")),
    ("32", "Adverse events, failures", _B, _see("Why cases were not assessed")),
    ("33", "Limitations", _T, None),
    ("34", "Implications for practice", _T, None),
    ("35", "Fairness, discussed", _T, None),
    ("36", "Registration", _P, _field("registry")),
    ("37", "Protocol available", _P, lambda sites: f"sha256 {sites.protocol.sha256}"),
    ("38", "Funding", _P, _field("funder")),
    ("39", "Interests", _P, _field("interests")),
    ("40a", "Availability of code and model", _T, None),
    ("40b", "Audit of the system", _L, _blinding),
)
_DECIDE: tuple[Row, ...] = (
    ("1", "Title", _P, _field("title")),
    ("2", "Intended use", _P, _field("target", "condition")),
    ("3", "Participants and inputs", _P, _field("eligible", "specimen")),
    ("4", "AI system, version", _P, _model),
    ("5", "Implementation, hardware", _B, _software),
    ("6", "Outcomes", _P, _field("primary", "measure")),
    ("7", "Safety: plan", _T, None),
    ("8", "Fairness: plan", _P, _subgroups),
    ("9", "Participants in the result", _B, _see("Flow")),
    ("10", "Implementation as it happened", _T, _live_only),
    ("11", "Changes during the study", _B, _see("Sites")),
    ("12", "Agreement of people with the system", _T, _live_only),
    ("13", "Errors and failures", _B, _see("Why cases were not assessed")),
    ("14", "Human factors, learning", _T, _live_only),
    ("15", "Support for intended use", _T, None),
    ("16", "Safety, discussed", _T, None),
    ("17", "Strengths and limitations", _T, None),
    ("I", "Abstract", _R, _see("the first page")),
    ("II", "Objectives", _P, _see("the question on the first page")),
    ("III", "Ethics", _P, _field("ethics")),
    ("IV", "Number of cases", _P, _size),
    ("V", "Statistics", _P, _secondary),
    ("VI", "Patients involved", _T, None),
    ("VII", "Main results", _B, _see("Results")),
    ("VIII", "Subgroups", _B, _see("For whom")),
    ("IX", "Data and code available", _T, None),
    ("X", "Interests, funding", _P, _field("funder")),
)
