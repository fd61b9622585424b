"""A silent run: every flag of every slide is sealed, and nothing of it is left in clear."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsi_ai.app import RunOptions, run_silently
from wsi_ai.errors import TrialError
from wsi_ai.run.kept_answer import Answered, Kept
from wsi_ai.trial.documents import Document
from wsi_ai.trial.sealing import LOCKED, Question, Trial, entries, seal, was_sealed
from wsi_ai.trial.site_folder import SiteFolder
from wsi_ai.trial.work_folder import work_folder

INDEX_TEST, COMPARATOR = "index_test", "comparator"


@dataclass(frozen=True, slots=True)
class SealingKeeper:
    """A ``Keeper``: what comes is sealed to the trial's key for this site."""

    trial: Trial
    public_key: bytes
    index_test: Document
    comparators: tuple[Document, ...] = ()

    def known(self, slide_sha256: str, question_sha256: str) -> bool:
        return was_sealed(self.trial, Question(slide_sha256, question_sha256))

    def keep(self, answered: Answered) -> bool:
        role, expected = self._expected(answered)
        record = {
            "role": role,
            "off_protocol": off_protocol(answered, expected),
            "rescan": answered.rescan,
            "flag": answered.flag,
            "run": answered.run,
        }
        question = Question(answered.slide_sha256, answered.question_sha256)
        return seal(self.trial, question, json.dumps(record).encode(), self.public_key)

    def _expected(self, answered: Answered) -> tuple[str, Document]:
        """What the protocol says of a model of this name; the index test of any other."""
        model = answered.run["model"]
        for one in self.comparators:
            if (one["model"], one["version"]) == (model["name"], model["version"]):
                return COMPARATOR, one
        return INDEX_TEST, self.index_test


def off_protocol(answered: Answered, expected: Document) -> list[str]:
    """The fields in which a slide was not asked what the protocol asks."""
    model, slide = answered.run["model"], answered.run["slide"]
    found = {
        "model": (model["name"], expected["model"]),
        "version": (model["version"], expected["version"]),
        "weights_sha256": (model["weights_sha256"], expected["weights_sha256"]),
        "manifest_sha256": (model["manifest_sha256"], expected["manifest_sha256"]),
        "policy_sha256": (answered.policy_sha256, expected["policy_sha256"]),
        "operating_point": (
            answered.flag["result"]["threshold"]["value"],
            expected["operating_point"],
        ),
        "mpp": ("file_mpp_x" in slide, False),
        "image": ("image" in slide, False),
    }
    return [name for name, (now, then) in found.items() if now != then]


def run_trial(
    slides: Sequence[Path], folder: SiteFolder, model: Path | None, options: RunOptions
) -> Iterator[Kept]:
    """By the protocol's model, or by another one whose slides are then off the protocol.

    Raises TrialError where the reference is locked or the trial is not silent; else as
    ``run_slides``.
    """
    document = folder.protocol.document
    if document["design"] == "live":
        raise TrialError("the protocol's design is live, so nothing is silent: wsi-ai run")
    if any(line["what"] == LOCKED for line in entries(folder.trial)):
        raise TrialError("the reference is locked: no flag is added any more")
    index_test: Mapping[str, Any] = document["index_test"]
    named = model or Path(f"{index_test['model']}@{index_test['version']}")
    others = tuple(document.get("comparator", ()))
    keeper = SealingKeeper(folder.trial, folder.public_key, index_test, others)
    with work_folder(folder.path) as work:
        yield from run_silently(slides, named, work, keeper, options)
