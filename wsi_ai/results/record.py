"""run.json: what was asked, what answered, and how long it took."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.software import software
from wsi_ai.core.values import TilePlan
from wsi_ai.results.flag_json import Provenance


def digest(asked: Mapping[str, Any]) -> str:
    """SHA-256 in hex of what was asked; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def plan_digest(plan: TilePlan) -> str:
    """SHA-256 in hex over which tiles are read, from where and how."""
    head = f"{plan.level} {plan.read_px} {plan.grid} {plan.step} {plan.spec}".encode()
    return hashlib.sha256(head + plan.cells.tobytes()).hexdigest()


def model_record(card: ModelCard) -> dict[str, str]:
    return {
        "name": card.ref.name,
        "version": card.ref.version,
        "weights_sha256": card.ref.sha256,
        "manifest_sha256": card.manifest_sha256,
        "tta": card.input.tta.value,
        "stain_normalisation": repr(card.input.stain) if card.input.stain else "none",
    }


def provenance(runtime: str, question: str, started: datetime) -> Provenance:
    """The provenance of a flag that is issued now."""
    return Provenance(
        software=software(),
        runtime=runtime,
        run_id=question[:16],
        config_sha256=question,
        started=started,
        finished=datetime.now(UTC),
    )
