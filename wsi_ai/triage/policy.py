"""The triage policy that a site sets, from TOML."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from wsi_ai import schemas
from wsi_ai.core.cards import ModelCard, Task
from wsi_ai.errors import PolicyError
from wsi_ai.schemas.reading import SETTINGS_BYTES, Unreadable, content_of
from wsi_ai.tissue.quality import QualityLimits
from wsi_ai.triage.counting import HotSpot, ObjectCount
from wsi_ai.triage.judge import TriagePolicy
from wsi_ai.triage.rules import AllOf, AnyOf, Area, Rule, Tiles, TopMean


@dataclass(frozen=True, slots=True)
class Policy:
    """When a slide is expedited, and when it is fit to be assessed at all."""

    triage: TriagePolicy = field(default_factory=TriagePolicy)
    quality: QualityLimits = field(default_factory=QualityLimits)

    def as_dict(self) -> dict[str, Any]:
        """Every value that it depends on, for records and comparisons."""
        return {
            "triage": {**asdict(self.triage), "rule": repr(self.triage.rule)},
            "quality": asdict(self.quality),
        }

    def as_table(self) -> dict[str, Any]:
        """As its file would have it: ``policy_of`` makes the same policy of it."""
        rule = _rule_table(self.triage.rule)
        if self.triage.threshold is not None:
            rule |= {"threshold": self.triage.threshold}
        return {
            "name": self.triage.name,
            "rule": rule,
            "coverage": {"min": self.triage.min_coverage},
            "quality": asdict(self.quality),
        }


def _rule_table(rule: Rule) -> dict[str, Any]:
    if isinstance(rule, AnyOf | AllOf):
        kind = "any" if isinstance(rule, AnyOf) else "all"
        return {kind: [_rule_table(part) for part in rule.rules]}
    if isinstance(rule, Area | Tiles | TopMean | ObjectCount | HotSpot):
        return asdict(rule)
    return {"no_table": repr(rule)}  # a plug-in's: nobody reads it back


def policy_of(table: Mapping[str, Any], named: str) -> Policy:
    """Of a table that this software wrote.  Raises PolicyError, which says where it stands."""
    if wrong := schemas.complaint("policy-1", table):
        raise PolicyError(f"{named}: {wrong}")
    return _policy(table, named)


def load_policy(path: Path | None) -> Policy:
    """Read a policy file (``schemas/policy-1.schema.json``); the defaults where there is none.

    Raises PolicyError, which names the file and the field.
    """
    if path is None:
        return Policy()
    return _policy(schemas.load_toml(path, "policy-1", "policy", PolicyError), str(path))


def _of_model(path: Path, sha256: str) -> Policy:
    """The bytes that were approved are the bytes that are read.  Raises PolicyError."""
    try:
        content = content_of(path, SETTINGS_BYTES)
    except (OSError, Unreadable):
        raise PolicyError(f"{path.name} of the model cannot be read; get the model again") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise PolicyError(f"{path.name} is not the policy that came with the model; get it again")
    return _policy(schemas.parse_toml(content, "policy-1", path.name, PolicyError), path.name)


def _policy(table: Mapping[str, Any], named: str) -> Policy:
    rule = dict(table.get("rule", {}))
    try:
        triage = TriagePolicy(
            name=table["name"],
            threshold=rule.pop("threshold", None),
            rule=_rule(rule, "rule"),
            min_coverage=table.get("coverage", {}).get("min", TriagePolicy().min_coverage),
        )
    except ValueError as error:
        raise PolicyError(f"{named}: {error}") from None
    return Policy(triage, QualityLimits(**table.get("quality", {})))


def policy_for(card: ModelCard, asked: Policy | None) -> Policy:
    """What was asked for; else what comes with the model; else the default.

    Raises PolicyError where the model's own cannot be used, or asks what the model cannot tell.
    """
    own = _of_model(card.policy, card.policy_sha256) if card.policy else Policy()
    policy = own if asked is None else asked
    _check_policy(policy, card)
    return policy


def _rule(table: Mapping[str, Any], field_name: str) -> Rule:
    """Raises ValueError, which names the field."""
    if "objects" in table and table.keys() <= {"objects", "within_mm2"}:
        return HotSpot(**table) if "within_mm2" in table else ObjectCount(**table)
    kinds = [kind for kind in ("tiles", "top_tiles", "objects", "any", "all") if kind in table]
    if kinds and len(table) > 1:
        raise ValueError(f"{field_name}: {', '.join(sorted(table))} exclude each other")
    if "within_mm2" in table:
        raise ValueError(f"{field_name}.within_mm2: says where objects are counted; add objects")
    if not kinds:
        if "threshold" in table:
            raise ValueError(f"{field_name}.threshold: one threshold holds for all; set it in rule")
        return Area(**table)
    (kind,) = kinds
    if kind in ("any", "all"):
        rules = tuple(_rule(part, f"{field_name}.{kind}.{n}") for n, part in enumerate(table[kind]))
        return AnyOf(rules) if kind == "any" else AllOf(rules)
    return Tiles(table[kind]) if kind == "tiles" else TopMean(table[kind])


def _check_policy(policy: Policy, card: ModelCard) -> None:
    """Raises PolicyError where the rule asks for something that this model cannot give."""
    if card.task is not Task.DETECTION and _counts_objects(policy.triage.rule):
        raise PolicyError(
            f"policy {policy.triage.name}: rule.objects counts objects, and {card.ref.name} is a"
            f" {card.task.value} model; give another --policy"
        )


def _counts_objects(rule: Rule) -> bool:
    if isinstance(rule, AnyOf | AllOf):
        return any(_counts_objects(part) for part in rule.rules)
    return isinstance(rule, ObjectCount | HotSpot)
