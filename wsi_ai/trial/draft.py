"""The first draft of a protocol: a person's answers, and what model and keys say themselves."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from scipy import stats

from wsi_ai.core.cards import ModelCard
from wsi_ai.errors import OutputError, TrialError
from wsi_ai.results.record import digest
from wsi_ai.triage.policy import load_policy, policy_for
from wsi_ai.trial.documents import Document, key_sha256
from wsi_ai.trial.evidence.size import area_error, cases_needed
from wsi_ai.trial.protocol import Protocol
from wsi_ai.trial.site_folder import content_of

_PLACEHOLDER = "0" * 64
_MOST_CASES = 100_000


@dataclass(frozen=True, slots=True)
class Question:
    """One answer; its field by dotted name."""

    field: str
    asks: str
    example: str
    read: Callable[[str], Any] = str


def _codes(text: str) -> list[str]:
    return [code.strip() for code in text.split(",") if code.strip()]


QUESTIONS = (
    Question("trial_id", "A short name of the trial", "prostate-2027"),
    Question("title", "Its title", "Triage of prostate biopsies"),
    Question("opens", "The first day", "2027-01-04"),
    Question("closes", "The last day", "2027-06-30"),
    Question("target.condition", "What shall be found", "cancer"),
    Question("target.positive", "Codes of a reference that mean it, with commas", "CANCER", _codes),
    Question("target.reference", "Who says what a case really was, and how", "two consultants"),
    Question("eligible.organ", "Organ", "prostate"),
    Question("eligible.specimen", "Kind of specimen", "core biopsy"),
    Question("eligible.stain", "Stain", "HE"),
    Question("primary.measure", "Measure: sensitivity, specificity or auroc", "sensitivity"),
    Question("primary.goal", "The goal that it has to exceed", "0.90", float),
    Question("primary.expected", "What you expect", "0.95", float),
    Question("prevalence", "Share of cases with the condition", "0.2", float),
)
"""Fourteen; everything else has a default that a person changes in the file."""
_WHY: Mapping[str, str] = {
    "design": "silent: flags are sealed until the reference is locked. shadow-read, live: docs.",
    "index_test": "What judges; a slide that is judged otherwise is no part of the result.",
    "target": "What is looked for, and who says what a case really was.",
    "eligible": "Which cases: vendor, mpp, min_slides and age_min may be added.",
    "primary": "The one question. operational: a case not assessed counts as not expedited.",
    "subgroup": "For whom it may be worse; levels are a closed list. Z and 99 are levels.",
    "size": "Cases needed, of all sites together.",
    "missing": "More references missing than max_share: only locked as incomplete.",
    "sharing": "open: small numbers are hidden. controlled: needs an agreement.",
    "site": "Each with its keys; sha256 of its public key, and where its flags are sealed to.",
}
_SUBGROUPS: tuple[dict[str, Any], ...] = (
    {
        "name": "ethnicity", "column": "ethnic_category", "reference_level": "white",
        "levels": ["white", "mixed", "asian", "black", "other", "not_stated", "not_known"],
        "kind": "equity", "tolerated": 0.1,
    },
    {
        "name": "age", "column": "age", "levels": ["18-49", "50-69", "70-"],
        "reference_level": "50-69", "kind": "equity", "tolerated": 0.1,
    },
    {
        "name": "sex", "column": "sex", "levels": ["1", "2", "9", "X"], "reference_level": "1",
        "kind": "equity", "tolerated": 0.1,
    },
)  # fmt: skip


def index_test_of(card: ModelCard, policy: Path | None = None) -> dict[str, Any]:
    """What a protocol says of a model, and of the policy that will judge: by default the model's
    own.  Raises PolicyError."""
    judged_by = policy_for(card, load_policy(policy) if policy else None)
    return {
        "model": card.ref.name,
        "version": card.ref.version,
        "weights_sha256": card.ref.sha256,
        "manifest_sha256": card.manifest_sha256,
        "policy_sha256": digest(judged_by.as_dict()),
        "operating_point": judged_by.triage.threshold_for(card),
        "score_kind": "uncalibrated_score",
    }


def example_index_test() -> dict[str, Any]:
    """To be replaced: no model has these digests."""
    digests = ("weights_sha256", "manifest_sha256", "policy_sha256")
    return {
        "model": "prostate",
        "version": "1.0",
        **dict.fromkeys(digests, _PLACEHOLDER),
        "operating_point": 0.5,
        "score_kind": "uncalibrated_score",
    }


def sites_of(keys: Path) -> list[dict[str, Any]]:
    """Of each ``ODS.pub`` in the folder, with its ``ODS.key`` of ``trial key new``.  Raises
    TrialError."""
    found = [
        {
            "ods": path.stem,
            "key_sha256": key_sha256(content_of(path)),
            "unseal_public": read_unseal_key(path.with_suffix(".key"))
            .public_key()
            .public_bytes_raw()
            .hex(),
        }
        for path in sorted(keys.glob("*.pub"))
    ]
    if not found:
        raise TrialError(f"{keys.name} has no ODS.pub, a site's public key")
    return found


def example_sites() -> list[dict[str, Any]]:
    """To be replaced: nobody has these keys."""
    return [
        {"ods": ods, "key_sha256": f"{k:064x}", "unseal_public": f"{k + 10:064x}"}
        for k, ods in enumerate(("RXX", "RYY", "RZZ"))
    ]


def read_unseal_key(path: Path) -> X25519PrivateKey:
    """Raises TrialError."""
    try:
        return X25519PrivateKey.from_private_bytes(bytes.fromhex(content_of(path).decode("ascii")))
    except ValueError:
        raise TrialError(f"{path.name} is no key that trial key new made") from None


def draft(
    answers: Mapping[str, str], index_test: Document, sites: list[dict[str, Any]]
) -> Protocol:
    """Raises TrialError, which names the field whose answer does not do."""
    made: dict[str, Any] = {
        "trial_id": "", "version": 1, "title": "", "design": "silent", "opens": "", "closes": "",
        "index_test": dict(index_test),
        "target": {"indeterminate": "exclude"},
        "eligible": {"series": "consecutive"},
        "primary": {"estimand": "operational", "alpha": 0.025, "power": 0.8},
    }  # fmt: skip
    prevalence = 0.5
    for question in QUESTIONS:
        value = _value(question, answers[question.field])
        if question.field == "prevalence":
            prevalence = value
        else:
            _put(made, question.field, value)
    made["subgroup"] = [dict(one) for one in _SUBGROUPS]
    made["size"] = _size(made["primary"], prevalence)
    made["missing"] = {"reference_missing": "report", "max_share": 0.05}
    made["sharing"] = {"audience": "open"}
    made["site"] = sites
    return Protocol(made)


def _value(question: Question, text: str) -> Any:
    try:
        return question.read(text.strip())
    except ValueError:
        raise TrialError(f"{question.field}: is not a number") from None


def _put(table: dict[str, Any], field: str, value: Any) -> None:
    *tables, name = field.split(".")
    for one in tables:
        table = table[one]
    table[name] = value


def _size(primary: Document, prevalence: float) -> dict[str, int]:
    """Cases needed for the primary question, and as many others as come with them."""
    if not 0 < prevalence < 1:
        raise TrialError("prevalence: is a share between 0 and 1")
    goal, expected = primary["goal"], primary["expected"]
    if not 0 < goal < expected < 1:
        raise TrialError("primary.expected: is not above the goal, or they are no shares")
    if primary["measure"] == "auroc":
        return _size_for_area(primary, prevalence)
    try:
        wanted = cases_needed(goal, expected, primary["alpha"], primary["power"])
    except ValueError:
        raise TrialError("primary.expected: is too close to the goal for any trial") from None
    of_ill = primary["measure"] != "specificity"
    share = prevalence if of_ill else 1 - prevalence
    others = round(wanted * (1 - share) / share)
    return {"with_condition": wanted if of_ill else others, "without": others if of_ill else wanted}


def _size_for_area(primary: Document, prevalence: float) -> dict[str, int]:
    """By the standard error of Hanley and McNeil."""
    reach = float(stats.norm.isf(primary["alpha"]) + stats.norm.ppf(primary["power"]))
    for ill in range(2, _MOST_CASES):
        well = round(ill * (1 - prevalence) / prevalence)
        gap = primary["expected"] - primary["goal"]
        if well and gap >= reach * area_error(primary["expected"], ill, well):
            return {"with_condition": ill, "without": well}
    raise TrialError("primary.expected: is too close to the goal for any trial")


def commented(protocol: Protocol) -> str:
    """As TOML, with a word on each part."""
    made = tomlkit.document()
    for line in _preface():
        made.add(tomlkit.comment(line))
    for name, value in protocol.document.items():
        if name in _WHY:
            made.add(tomlkit.nl())
            made.add(tomlkit.comment(_WHY[name]))
        made.add(name, tomlkit.item(value))
    return tomlkit.dumps(made)


def _preface() -> Iterator[str]:
    yield "A draft. Change it, then: wsi-ai trial protocol check, and sign."
    yield "Digests of zeros and sites RXX, RYY, RZZ without --model and --keys are placeholders."


def write_draft(protocol: Protocol, out: Path) -> None:
    """Never over a file that is there.  Raises OutputError."""
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(commented(protocol))
    except FileExistsError:
        raise OutputError(f"{out.name} is there already; a draft is a new file") from None
    except OSError as error:
        raise OutputError(f"the draft cannot be written: {error.strerror}") from None
