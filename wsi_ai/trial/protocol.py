"""What is asked, of whom, and when it counts: written and signed before the first slide."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from wsi_ai import schemas
from wsi_ai.errors import TrialError
from wsi_ai.trial.disclosure.rule import SmallNumbers
from wsi_ai.trial.disclosure.secure_sum import FEWEST_SITES
from wsi_ai.trial.documents import Document, digest
from wsi_ai.trial.evidence.looks import obrien_fleming
from wsi_ai.trial.evidence.size import cases_needed

SCHEMA = "trial-protocol-1"


@dataclass(frozen=True, slots=True, eq=False)
class Protocol:
    """A document that satisfies the schema, and makes sense."""

    document: Document

    def __post_init__(self) -> None:
        wrong = schemas.complaint(SCHEMA, self.document) or next(_contradictions(self.document), "")
        if wrong:
            raise TrialError(f"protocol: {wrong}")

    @property
    def sha256(self) -> str:
        """Comments and the order of tables in the file are free."""
        return digest(self.document)

    @property
    def small_numbers(self) -> SmallNumbers:
        sharing, usual = self.document["sharing"], SmallNumbers()
        return SmallNumbers(sharing.get("least", usual.least), sharing.get("round", usual.round_to))

    def site(self, ods: str) -> Document:
        """Raises TrialError where it does not take part."""
        for site in self.document["site"]:
            if site["ods"] == ods:
                return dict(site)
        raise TrialError(f"{ods} is not a site of this trial")


def load_protocol(path: Path) -> Protocol:
    """From TOML.  Raises TrialError, which names the field."""
    return Protocol(schemas.load_toml(path, SCHEMA, "protocol", TrialError))


def differences(signed: Document, now: Document) -> tuple[str, ...]:
    """The fields in which two protocols differ, by their path."""
    return tuple(_differences(signed, now, ""))


def remarks(protocol: Protocol) -> tuple[str, ...]:
    """What a statistician would say of it before it is signed."""
    return tuple(_remarks(protocol.document, protocol.small_numbers))


def _remarks(document: Document, rule: SmallNumbers) -> Iterator[str]:
    primary, size = document["primary"], document["size"]
    if primary["measure"] in ("sensitivity", "specificity"):
        wanted = cases_needed(
            primary["goal"], primary["expected"], primary["alpha"], primary["power"]
        )
        kind = "with_condition" if primary["measure"] == "sensitivity" else "without"
        yield (
            f"needed: {wanted} cases {kind.replace('_', ' ')} for {primary['power']:.0%} power at"
            f" {primary['expected']} (exact binomial, goal {primary['goal']}, one-sided"
            f" {primary['alpha']})"
        )
        if size[kind] < wanted:
            yield f"too few: size.{kind} is {size[kind]}"
    if looks := document.get("look", []):
        critical = obrien_fleming(len(looks), 2 * primary["alpha"])
        shown = ", ".join(f"{value:.3f}" for value in critical)
        yield f"looks: {len(looks)} (O'Brien-Fleming: |Z| {shown})"
    if not int(document["index_test"]["weights_sha256"], 16):
        yield "placeholder: index_test names no model; protocol new --model fills it in"
    yield from _subgroup_remarks(document, rule)


def _subgroup_remarks(document: Document, rule: SmallNumbers) -> Iterator[str]:
    cases = document["size"]["with_condition"] / len(document["site"])
    for subgroup in document.get("subgroup", []):
        shares = subgroup.get("expected_shares", [])
        for level, share in zip(subgroup["levels"], shares, strict=False):
            if share * cases < rule.least:
                yield (
                    f'subgroup "{subgroup["name"]}" expects {share * cases:.0f} cases with the'
                    f' condition in "{level}" at each site: they will be hidden'
                )


def _contradictions(document: Document) -> Iterator[str]:
    primary = document["primary"]
    if document["closes"] <= document["opens"]:
        yield "closes: it ends before it begins"
    if primary["measure"] != "difference" and primary["expected"] <= primary["goal"]:
        yield "primary.expected: is not above the goal"
    yield from _subgroup_contradictions(document)
    yield from _site_contradictions(document)
    looks = [look["at_cases"] for look in document.get("look", [])]
    if any(b <= a for a, b in pairwise(looks)):
        yield "look.at_cases: each look is later than the one before"


def _subgroup_contradictions(document: Document) -> Iterator[str]:
    subgroups = document.get("subgroup", [])
    if len({s["name"] for s in subgroups}) != len(subgroups):
        yield "subgroup.name: each is there once"
    for subgroup in subgroups:
        levels, name = subgroup["levels"], subgroup["name"]
        shares = subgroup.get("expected_shares")
        if not {subgroup["reference_level"], subgroup.get("merge_into", levels[0])} <= set(levels):
            yield f"subgroup {name}: reference_level and merge_into are of its levels"
        if shares is not None and (len(shares) != len(levels) or abs(sum(shares) - 1) > 0.01):
            yield f"subgroup {name}: expected_shares has a share for each level, and they add to 1"


def _site_contradictions(document: Document) -> Iterator[str]:
    sites, sharing = document["site"], document["sharing"]
    for field in ("ods", "key_sha256", "unseal_public"):
        if len({site[field] for site in sites}) != len(sites):
            yield f"site.{field}: each site has its own"
    if sharing["audience"] == "controlled" and not sharing.get("agreement"):
        yield "sharing.agreement: exact counts leave a trust under an agreement only"
    if sharing.get("secure_sum") and len(sites) < FEWEST_SITES:
        yield f"sharing.secure_sum: needs {FEWEST_SITES} sites or more"
    if sharing.get("round", 5) > 2 * sharing.get("least", 8):
        yield "sharing.round: a count that is not small would be rounded to 0"


def _differences(signed: Any, now: Any, path: str) -> Iterator[str]:
    if isinstance(signed, dict) and isinstance(now, dict):
        for key in sorted(signed.keys() | now.keys()):
            yield from _differences(signed.get(key), now.get(key), f"{path}.{key}".lstrip("."))
    elif isinstance(signed, list) and isinstance(now, list) and len(signed) == len(now):
        for k, (one, other) in enumerate(zip(signed, now, strict=True)):
            yield from _differences(one, other, f"{path}.{k}")
    elif signed != now or isinstance(signed, bool) is not isinstance(now, bool):
        yield path
