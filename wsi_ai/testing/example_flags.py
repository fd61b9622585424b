"""A flag as it is sent, without a slide."""

import dataclasses
from datetime import UTC, datetime
from typing import Any

from wsi_ai.core.flags import Identity, Level
from wsi_ai.delivery.events import message_of
from wsi_ai.delivery.messages import Message
from wsi_ai.results.flag_json import Provenance, flag_json
from wsi_ai.testing.stand_ins import MEAN_CARD, PaintedSlide
from wsi_ai.triage.judge import TriagePolicy, not_assessed

IDENTITY = Identity("RXX", "S26-1234", "S26-1234-A1-1", "A1", "H&E", "net-2", "RXX-LIMS")
_START = datetime(2026, 6, 1, 12, tzinfo=UTC)
_PROVENANCE = Provenance("wsi_ai tests", "none", "tests", "0" * 64, _START, _START)


def example_body(
    flag_id: str,
    level: Level = Level.EXPEDITE,
    score: float = 0.75,
    identity: Identity | None = IDENTITY,
) -> dict[str, Any]:
    """A finished flag of revision 1, as the pipeline hands it to the outbox."""
    seen = not_assessed(PaintedSlide().info, MEAN_CARD, TriagePolicy(), "an example", None)
    body = flag_json(dataclasses.replace(seen, flag_id=flag_id, identity=identity), _PROVENANCE)
    if level is Level.NOT_ASSESSED:
        return body
    result = {**body["result"], "level": level.value, "score": score}
    quality = {**body["qc"], "status": "pass", "tissue_fraction": 0.5}
    return {**body, "action": "raise", "result": result, "qc": quality}


def example_message(flag_id: str, level: Level = Level.EXPEDITE) -> Message:
    return message_of(example_body(flag_id, level))
