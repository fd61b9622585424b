"""The first draft of a protocol: a person's answers, and what a model's card says."""

from pathlib import Path

from wsi_ai.core.cards import ModelCard
from wsi_ai.results.record import digest
from wsi_ai.triage.policy import load_policy, policy_for
from wsi_ai.trial.documents import Document


def index_test_of(card: ModelCard, policy: Path | None = None) -> Document:
    """What a protocol says of a model, and of the policy that will judge: by default the model's
    own.  Raises PolicyError."""
    judged_by = policy_for(card, load_policy(policy) if policy else None)
    threshold = judged_by.triage.threshold_for(card)
    return {
        "model": card.ref.name,
        "version": card.ref.version,
        "weights_sha256": card.ref.sha256,
        "manifest_sha256": card.manifest_sha256,
        "policy_sha256": digest(judged_by.as_dict()),
        "operating_point": threshold,
        "score_kind": "uncalibrated_score",
    }
