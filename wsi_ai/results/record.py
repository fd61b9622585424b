"""run.json: what was asked, what answered, and how long it took."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

import numpy as np

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.flags import Flag
from wsi_ai.core.software import pixel_libraries, scoring_code, software
from wsi_ai.core.values import Heatmap, TilePlan
from wsi_ai.results.flag_json import Provenance


def digest(asked: Mapping[str, Any]) -> str:
    """SHA-256 in hex of what was asked; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def plan_digest(plan: TilePlan) -> str:
    """SHA-256 in hex over which tiles are read, from where and how."""
    head = f"{plan.level} {plan.read_px} {plan.grid} {plan.step} {plan.spec}".encode()
    return hashlib.sha256(head + plan.cells.tobytes()).hexdigest()


JUDGEMENT_FIELDS = {
    "weights",  # where the file lies; its digest is the ref's
    "classes",
    "point",
    "mpp_tolerance",
    "policy",
    "policy_sha256",
    "tolerance",
    "manifest_sha256",
    "golden_sha256",
    "intended_use",
    "scope",
    "roles",
    "incomplete",
}
"""Fields of a card that no score depends on: gates, limits and words.  A field that is not listed
counts."""


def network_record(card: ModelCard) -> dict[str, Any]:
    """All of a card that a score depends on."""
    parts = {
        field.name: repr(getattr(card, field.name))
        for field in fields(card)
        if field.name not in JUDGEMENT_FIELDS | {"aggregator"}
    }
    second = card.aggregator and [card.aggregator.format, card.aggregator.sha256]
    return {**parts, "classes": len(card.classes), "aggregator": second}


def scores_question(
    asked: Mapping[str, Any], card: ModelCard, plan: TilePlan, decoded_by: str
) -> str:
    """SHA-256 in hex of everything that the scores of a slide depend on; ``asked`` is all that its
    answer does."""
    tissue = b"" if plan.tissue is None else np.packbits(plan.tissue).tobytes()
    unseen = hashlib.sha256(plan.unseen.tobytes() + tissue).hexdigest()
    of_slide = ("slide", "reader", "spacing_um", "image", "runtime")
    return digest(
        {
            **{name: asked.get(name) for name in of_slide},
            "model": network_record(card),
            "decoded_by": decoded_by,
            "code": scoring_code(),
            "libraries": dict(pixel_libraries()),
            "plan": plan_digest(plan),
            "unseen": [plan.limited, unseen],
        }
    )


def model_record(card: ModelCard) -> dict[str, str]:
    return {
        "name": card.ref.name,
        "version": card.ref.version,
        "weights_sha256": card.ref.sha256,
        "manifest_sha256": card.manifest_sha256,
        "tta": card.input.tta.value,
        "stain_normalisation": repr(card.input.stain) if card.input.stain else "none",
    }


def card_record(card: ModelCard) -> dict[str, Any]:
    """What is needed to read scores without the model's folder."""
    return {
        "task": card.task.value,
        "classes": list(card.classes),
        "operating_point": asdict(card.point),
        "tile": {
            "size_px": card.tile.size_px,
            "mpp": card.tile.mpp,
            "stride_px": card.tile.stride_px,
            "lead_px": card.tile.lead_px,
        },
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


def areas_record(flag: Flag, heatmap: Heatmap | None) -> dict[str, float | int] | None:
    """In mm²: the tissue that was planned, and what of it reaches the threshold; the number of
    regions that this makes."""
    if heatmap is None:
        return None
    return {
        "tissue_mm2": round(flag.planned * heatmap.cell_mm2, 4),
        "positive_mm2": round(flag.positive * heatmap.cell_mm2, 4),
        "regions": len(flag.findings),
    }
