"""Kept scores judged again, to see what another threshold or policy would say.

Nothing is inferred, written or sent."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wsi_ai.core.flags import Check, Level, Quality, Status
from wsi_ai.errors import PolicyError, ResultError
from wsi_ai.results.listing import result_folders
from wsi_ai.results.open_result import Result, open_result
from wsi_ai.results.written import FLAG
from wsi_ai.tissue.quality import QualityLimits, held_to
from wsi_ai.triage.gates import quality_gate
from wsi_ai.triage.judge import triage
from wsi_ai.triage.policy import Policy, policy_for, policy_of


@dataclass(frozen=True, slots=True)
class Rescored:
    """What was said of a slide by a model, and what would be."""

    folder: Path
    before: Level | None
    """``None`` where the folder cannot be read."""
    after: Level | None
    """``None`` where that cannot be told without inference."""
    reason: str

    @property
    def changes(self) -> bool:
        return self.after is not self.before

    @property
    def lowers(self) -> bool:
        """It would take something back."""
        known = self.before is not None and self.after is not None
        return known and _order(self.after) < _order(self.before)


def rescore(out: Path, policy: Policy | None, threshold: float | None) -> Iterator[Rescored]:
    """Every slide and model in ``out``, by its own policy where ``policy`` is ``None``; a
    ``threshold`` takes the place of the policy's.  Raises ResultError where there is none."""
    folders = [folder for folder in result_folders(out) if (folder / FLAG).exists()]
    if not folders:
        raise ResultError(f"there are no results in {out}")
    for folder in folders:
        try:
            yield _rescored(open_result(folder), policy, threshold)
        except (ResultError, PolicyError) as error:
            yield Rescored(folder, None, None, str(error))


def _rescored(result: Result, policy: Policy | None, threshold: float | None) -> Rescored:
    own = result.run.get("policy")
    if policy is None and own is None and result.has_scores:
        raise PolicyError("its results do not say by which policy it was judged; give --policy")
    before = policy_of(own, "run.json") if own else policy or Policy()
    asked = policy or before
    if threshold is not None:
        asked = replace(asked, triage=replace(asked.triage, threshold=threshold))
    quality = _quality(result, before.quality, asked.quality)
    if not result.has_scores:
        return _unscored(result, quality)
    policy_for(result.card, asked)
    flag = triage(result.judged(), asked.triage, quality or Quality((), 0.0))
    return Rescored(result.folder, result.level, flag.level, flag.reason)


def _unscored(result: Result, quality: Quality | None) -> Rescored:
    """A gate of quality may open, and then there is something to infer."""
    stopped_by_quality = bool(_failed(result))
    stopped = quality_gate(quality) if quality else None
    if stopped_by_quality and stopped is None:
        reason = "its quality would be enough now, and nothing was inferred yet: wsi-ai run"
        return Rescored(result.folder, result.level, None, reason)
    return Rescored(result.folder, result.level, result.level, stopped or result.reason)


def _failed(result: Result) -> list[dict[str, Any]]:
    return [one for one in result.run.get("quality") or () if one["status"] != Status.PASS]


def _quality(result: Result, before: QualityLimits, limits: QualityLimits) -> Quality | None:
    told = result.run.get("quality")
    if not told:
        return None
    checks = tuple(Check(**{**one, "status": Status(one["status"])}) for one in told)
    fraction = next((check.value for check in checks if check.name == "tissue"), 0.0)
    return held_to(Quality(checks, fraction), before, limits)


def _order(level: Level | None) -> int:
    return [Level.NOT_ASSESSED, Level.STANDARD, Level.EXPEDITE, None].index(level)
