"""Slides in, results out: the whole program behind one function.

>>> from wsi_ai.app import run_slides
>>> for outcome in run_slides([slide], model, out):        # doctest: +SKIP
...     print(outcome.slide, outcome.level, outcome.folder)
"""

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wsi_ai import record
from wsi_ai.contracts import Slide, Watcher
from wsi_ai.errors import Busy, DeviceError, ModelError, OutputError, SlideError, WsiAiError
from wsi_ai.exports.flag import Provenance
from wsi_ai.exports.folder import claimed, hidden
from wsi_ai.flags import Level
from wsi_ai.geometry import Size, Spacing
from wsi_ai.heatmaps import Journal
from wsi_ai.manifest import load_card, placeholder_card
from wsi_ai.pipeline import Assessment, Pipeline
from wsi_ai.readers.fingerprint import fingerprint
from wsi_ai.reading import RegionTiles
from wsi_ai.registry import open_runtime, open_slide
from wsi_ai.results import Run, finished, result_folder, write_results
from wsi_ai.settings import Policy, load_policy
from wsi_ai.stopwatch import Stopwatch
from wsi_ai.triage import not_assessed
from wsi_ai.values import ModelCard, RuntimeRequest, SlideInfo, TilePlan

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What may be asked beside slides and model."""

    mpp: float | None = None
    """Micrometres per pixel, in place of what the files say."""
    device: str = "auto"
    policy: Path | None = None
    force: bool = False
    """Run anew even where the same question was answered before."""

    def spacing(self) -> Spacing | None:
        return None if self.mpp is None else Spacing(self.mpp, self.mpp)


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


class Silent:
    """Watches nothing."""

    def started(self, slide: Path) -> None: ...
    def planned(self, tiles: int, done: int) -> None: ...
    def passed(self, done: int) -> None: ...


def run_slides(
    slides: Sequence[Path],
    model: Path,
    out: Path,
    options: RunOptions | None = None,
    watch: Watcher | None = None,
) -> Iterator[Outcome]:
    """Run one model over slides, in order; an outcome a slide, whatever happens to it.

    Results are folders below ``out``.  Raises PolicyError or OutputError before any slide where
    the policy or ``out`` is unusable.  Where the model or the device is, every slide gets its
    ``not_assessed`` flag first, then ModelError or DeviceError is raised.
    """
    options = options or RunOptions()
    policy = load_policy(options.policy)
    _check_writable(out)
    card, told = placeholder_card(model), watch or Silent()
    try:
        card = load_card(model)
        runtime = open_runtime(card, RuntimeRequest(options.device))
    except (ModelError, DeviceError) as error:
        for slide in slides:
            yield _Failures(card, policy, out).record(slide, str(error))
        raise
    threads = len(os.sched_getaffinity(0))
    source = RegionTiles(runtime.batch_size, threads)
    pipeline = Pipeline(source, runtime, policy.rule, policy.quality)
    one = _SlideRun(pipeline, policy, out, options, told)
    for slide in slides:
        told.started(slide)
        yield one.outcome(slide)


def _check_writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot write to {out}: {error.strerror}; choose another --out"
        ) from None
    if not os.access(out, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write to {out}: no permission; choose another --out")


@dataclass(frozen=True, slots=True)
class _SlideRun:
    """All that slides of one run share."""

    pipeline: Pipeline
    policy: Policy
    out: Path
    options: RunOptions
    watch: Watcher

    def outcome(self, path: Path) -> Outcome:
        """The worker's outermost step: whatever goes wrong is this slide's own reason."""
        info: SlideInfo | None = None
        try:
            with open_slide(path, self.options.spacing()) as slide:
                info = slide.info
                return self._answer(path, slide)
        except Busy as error:
            return Outcome(path, Level.NOT_ASSESSED, str(error), None, fresh=False)
        except WsiAiError as error:
            reason = str(error)
        except Exception as error:
            log.debug("a slide failed", exc_info=True)
            reason = (
                f"internal error: {type(error).__name__}; please report it (--verbose says more)"
            )
        return _Failures(self.pipeline.runtime.card, self.policy, self.out).record(
            path, reason, info
        )

    def _answer(self, path: Path, slide: Slide) -> Outcome:
        card = self.pipeline.runtime.card
        folder = _folder(self.out, slide.info, card)
        asked = self._asked(slide.info)
        question = record.digest(asked)
        with claimed(folder):
            if not self.options.force and (body := finished(folder, question)):
                return _outcome(path, body, folder, fresh=False)
            started, clock = datetime.now(UTC), Stopwatch()
            journal_path = hidden(folder, "journal")

            def open_journal(plan: TilePlan) -> Journal:
                about = {**asked, "policy": None, "plan": record.plan_digest(plan)}
                size = self.pipeline.runtime.batch_size
                return Journal(journal_path, record.digest(about), slide.info.slide_id, size)

            assessment = self.pipeline.assess(slide, open_journal, self.watch, clock)
            provenance = _provenance(self.pipeline.runtime.description, question, started)
            run = Run(provenance, question, asked, clock.seconds, failed=False)
            body = write_results(folder, assessment, run)
            journal_path.unlink(missing_ok=True)
        return _outcome(path, body, folder, fresh=True)

    def _asked(self, slide: SlideInfo) -> dict[str, Any]:
        """Everything that the answer depends on."""
        return {
            "slide": slide.fingerprint,
            "mpp": self.options.mpp,
            "model": record.model_record(self.pipeline.runtime.card),
            "policy": self.policy.as_dict(),
            "runtime": self.pipeline.runtime.description,
            "software": record.software(),
        }


@dataclass(frozen=True, slots=True)
class _Failures:
    """Says of slides that could not be analysed that they were not."""

    card: ModelCard
    policy: Policy
    out: Path

    def record(self, path: Path, reason: str, info: SlideInfo | None = None) -> Outcome:
        slide = info or _unopened(path)
        folder = _folder(self.out, slide, self.card)
        flag = not_assessed(slide, self.card, self.policy.rule, reason, None)
        asked = {"slide": slide.fingerprint, "policy": self.policy.as_dict()}
        question = record.digest(asked)
        provenance = _provenance("none", question, datetime.now(UTC))
        run = Run(provenance, question, asked, {}, failed=True)
        try:
            with claimed(folder):
                body = write_results(folder, Assessment(flag), run)
        except OutputError as error:
            told = f"{reason}; and {error}"
            return Outcome(path, Level.NOT_ASSESSED, told, None, fresh=True)
        return _outcome(path, body, folder, fresh=True)


def _unopened(path: Path) -> SlideInfo:
    """A slide of which nothing is known but its name and, if it can be read, its bytes."""
    try:
        digest = fingerprint(path)
    except SlideError:
        digest = hashlib.sha256(b"unread:" + os.fsencode(path.absolute())).hexdigest()
    return SlideInfo(path.stem or "unnamed", Size(0, 0), None, (1.0,), digest)


def _folder(out: Path, slide: SlideInfo, card: ModelCard) -> Path:
    model = f"{card.ref.name}-{card.ref.version}"
    return result_folder(out, slide.slide_id, slide.fingerprint, model)


def _provenance(runtime: str, question: str, started: datetime) -> Provenance:
    return Provenance(
        software=record.software(),
        runtime=runtime,
        run_id=question[:16],
        config_sha256=question,
        started=started,
        finished=datetime.now(UTC),
    )


def _outcome(path: Path, body: dict[str, Any], folder: Path, *, fresh: bool) -> Outcome:
    result = body["result"]
    return Outcome(path, Level(result["level"]), result["explanation"], folder, fresh)
