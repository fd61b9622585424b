"""What became of a slide, and how it is said of one that could not be analysed."""

import hashlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wsi_ai.core.cards import ModelCard, told_model
from wsi_ai.core.contracts import Post
from wsi_ai.core.flags import Identity, Level
from wsi_ai.core.geometry import Size
from wsi_ai.core.timing import Timing
from wsi_ai.core.values import SlideInfo
from wsi_ai.errors import OutputError, SlideError, Unsent
from wsi_ai.results import record
from wsi_ai.results.assessment import Assessment
from wsi_ai.results.folder import claimed, folder_for
from wsi_ai.results.record import provenance
from wsi_ai.results.slide import RunRecord, write_results
from wsi_ai.slides.readers.fingerprint import fingerprint
from wsi_ai.triage.judge import identified, not_assessed
from wsi_ai.triage.policy import Policy


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one slide."""

    slide: Path
    level: Level
    reason: str
    folder: Path | None
    """Where the results are; ``None`` where not even the reason could be written."""
    fresh: bool
    """False where the same question had been answered before, and nothing was done."""
    model: str = ""
    """Its name and version, as its folder is called."""
    timing: Timing | None = None
    """Where the time went; ``None`` where nothing of the slide was begun."""
    device: str = ""
    """Of several, the one that it ran on."""


def outcome_of(slide: Path, flag: dict[str, Any], folder: Path, *, fresh: bool) -> Outcome:
    """The outcome that a written flag tells."""
    result = flag["result"]
    model = f"{flag['model']['name']}-{flag['model']['version']}"
    return Outcome(slide, Level(result["level"]), result["explanation"], folder, fresh, model)


@dataclass(frozen=True, slots=True)
class Failures:
    """Says of slides that could not be analysed that they were not, and why."""

    card: ModelCard
    policy: Policy
    out: Path
    post: Post

    def record(
        self, path: Path, reason: str, identity: Identity | None, info: SlideInfo | None = None
    ) -> Outcome:
        """Write and post the ``not_assessed`` flag.  ``info`` where the slide was open already."""
        slide = info or _unopened(path)
        folder = folder_for(self.out, slide, self.card)
        unseen = not_assessed(slide, self.card, self.policy.triage, reason, None)
        flag = identified(unseen, identity)
        asked = {"slide": slide.fingerprint, "policy": self.policy.as_dict()}
        question = record.digest(asked)
        origin = provenance("none", question, datetime.now(UTC))
        try:
            with claimed(folder):
                run = RunRecord(origin, question, asked, None, failed=True)
                body = write_results(folder, Assessment(flag), run, self.post)
        except Unsent as error:
            told = f"{reason}; and {error}"
            return Outcome(path, Level.NOT_ASSESSED, told, folder, fresh=True)
        except OutputError as error:
            why, model = f"{reason}; and {error}", told_model(self.card)
            return Outcome(path, Level.NOT_ASSESSED, why, None, fresh=True, model=model)
        return outcome_of(path, body, folder, fresh=True)


def _unopened(path: Path) -> SlideInfo:
    """A slide of which nothing is known but its name and, if it can be read, its bytes."""
    try:
        digest = fingerprint(path)
    except SlideError:
        digest = hashlib.sha256(b"unread:" + os.fsencode(path.absolute())).hexdigest()
    return SlideInfo(path.stem or "unnamed", Size(0, 0), None, (1.0,), digest)
