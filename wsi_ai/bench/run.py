"""One benchmark: a slide and a model, the stages alone and together."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wsi_ai.app import RunOptions, run_slides
from wsi_ai.bench import limits
from wsi_ai.bench.fingerprint import machine, programs
from wsi_ai.bench.measured import Run, Times, alternate_with
from wsi_ai.bench.report import FORWARD, WHOLE, Bench, Facts, Limit, Stage
from wsi_ai.bench.rounds import Timed, time_once
from wsi_ai.bench.tasks import (
    Subject,
    Task,
    forward_task,
    look_at,
    opening_tasks,
    plan_of,
    reading_tasks,
)
from wsi_ai.core.cards import ModelCard, Precision, RuntimeRequest
from wsi_ai.core.contracts import EncodedSlide, Runtime
from wsi_ai.core.environment import threads
from wsi_ai.core.timing import Timing
from wsi_ai.core.values import Predictions, TileBatch
from wsi_ai.errors import InputError
from wsi_ai.heatmaps import Keep
from wsi_ai.heatmaps.by_task import open_canvas
from wsi_ai.inference.onnx.operations import operations
from wsi_ai.models.approval import approved_card
from wsi_ai.models.fastest.open_fastest import open_fastest
from wsi_ai.models.site import load_site
from wsi_ai.run.opening import open_scaled

Say = Callable[[str], None]
_PROBE_BYTES = 1 << 26
_NO_DEVICE = "host to device and back: inference is on the host"
_NOT_APART = "host to device and back: not measured apart; they are in the forward pass"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be measured."""

    slide: Path
    model: Path
    repeats: int = 7
    runs: int = 3
    """Of the whole, start of the runtime included."""
    tiles: int = 1024
    """The most that are read in a round."""
    batches: tuple[int, ...] = (1, 8, 32)
    device: str = "auto"
    precision: Precision = Precision.FP32
    mpp: float | None = None

    def __post_init__(self) -> None:
        if min(self.repeats, self.tiles, *self.batches) < 1 or self.runs < 0 or not self.batches:
            raise ValueError("rounds, tiles and batches are 1 or more")

    def options(self) -> RunOptions:
        return RunOptions(mpp=self.mpp, device=self.device, precision=self.precision, force=True)


def run_bench(asked: Asked, say: Say) -> Bench:
    """Raises WsiAiError."""
    card = approved_card(asked.model, load_site(None), asked.precision)
    with open_scaled(asked.slide, asked.options()) as slide:
        look = look_at(slide)
        whole = plan_of(slide, look, card)
        if not len(whole):
            raise InputError("there is no tissue on this slide to measure with")
        subject = Subject(asked.slide, slide, look, card, whole, asked.tiles, threads())
        one_tile = operations(card)
        stages = list(_stages(subject, asked, one_tile, say))
        work = _work(subject)
        description = _runtime_name(card, asked)
    return Bench(
        machine=machine(),
        software=programs(),
        work=work,
        model=_model(card, one_tile),
        settings=_settings(asked, description),
        rates=_rates(asked.repeats),
        stages=stages,
        left_out=tuple(_left_out(subject, one_tile, description)),
    )


def _stages(subject: Subject, asked: Asked, one_tile: float | None, say: Say) -> Iterator[Stage]:
    def reopen() -> Any:
        return open_scaled(asked.slide, asked.options())

    def measured(task: Task) -> Stage:
        say(task.name)
        return measure(task, asked.repeats)

    yield from map(measured, opening_tasks(subject, reopen))
    yield from map(measured, reading_tasks(subject, max(asked.batches)))
    forward = list[Stage]()
    predictions = list[Predictions]()
    for batch in asked.batches:
        task, runtime = forward_task(subject, _request(asked, batch), one_tile)
        predictions = predictions or _predictions(subject, runtime)
        forward.append(measured(task))
    yield from forward
    yield measured(_heatmap(subject, predictions))
    if asked.runs:
        say(WHOLE)
        yield from whole_runs(asked, subject, min(forward, key=lambda stage: stage.slide_s))


def measure(task: Task, rounds: int) -> Stage:
    own, least = alternate_with(task.run, task.least.run if task.least else None, rounds)
    limit = None
    if task.least is not None and least is not None:
        limit = Limit(task.least.name, least.times(task.least.factor))
    return Stage(task.name, task.unit, task.amount, task.slide_amount, own, limit)


def _predictions(subject: Subject, runtime: Runtime) -> list[Predictions]:
    """What a canvas takes: one batch's, for every tile of the slide."""
    size, side = 32, subject.card.tile.size_px
    pixels = np.full((min(size, runtime.batch_size), side, side, 3), 220, np.uint8)
    tiles = TileBatch(subject.slide.info.slide_id, np.arange(len(pixels)), pixels)
    scores = next(iter(runtime.predict([tiles]))).scores
    found, name = list[Predictions](), subject.slide.info.slide_id
    for start in range(0, len(subject.whole), len(pixels)):
        index = np.arange(start, min(start + len(pixels), len(subject.whole)))
        found.append(Predictions(name, index, scores[: len(index)]))
    return found


def _heatmap(subject: Subject, predictions: Sequence[Predictions]) -> Task:
    """Scores of the whole slide put in place, kept on the disk as they come, and drawn up."""
    batch = len(predictions[0].index)

    def fill() -> None:
        with tempfile.TemporaryDirectory(prefix="wsi_ai_bench_") as folder:
            keep = Keep(Path(folder) / "kept", "0" * 64, batch)
            with closing(open_canvas(subject.whole, subject.card, keep)) as canvas:
                for one in predictions:
                    canvas.put(one)
                canvas.heatmap()

    return Task("heatmap", "tiles", len(subject.whole), len(subject.whole), fill)


def whole_runs(asked: Asked, subject: Subject, forward: Stage) -> Iterator[Stage]:
    """Whole runs, start of the runtime included, and what they spent on writing results."""
    timings = list[Timing]()

    def once() -> None:
        timings.append(_one_run(asked))

    timed = [time_once(once) for _ in range(asked.runs)]
    tiles = len(subject.whole)
    results = [_seconds(timing, "writing") for timing in timings]
    if all(results):
        own = Times.of([Timed(s, s, t.foreign) for s, t in zip(results, timed, strict=True)])
        yield Stage("results", "slides", 1, 1, own)
    alone = forward.slide_s
    limit = Times.of([Timed(alone, alone, 0.0)] * asked.runs)
    name = f"inference alone, {forward.name}"
    yield Stage(WHOLE, "tiles", tiles, tiles, Times.of(timed), Limit(name, limit))


def _one_run(asked: Asked) -> Timing:
    with tempfile.TemporaryDirectory(prefix="wsi_ai_bench_") as folder:
        outcomes = list(run_slides(asked.slide, asked.model, folder, asked.options()))
    timing = outcomes[0].timing
    if timing is None or not _seconds(timing, "inference"):
        raise InputError(f"the slide was not inferred: {outcomes[0].reason}")
    return timing


def _seconds(timing: Timing, stage: str) -> float:
    return sum(end - start for name, start, end in timing.spans if name == stage)


def _request(asked: Asked, batch: int | None) -> RuntimeRequest:
    return RuntimeRequest(asked.device, asked.precision, batch)


def _runtime_name(card: ModelCard, asked: Asked) -> str:
    return open_fastest(card, _request(asked, None)).description


def _work(subject: Subject) -> Facts:
    """No name, no digest: a slide is known by its size here."""
    info, plan = subject.slide.info, subject.whole
    facts: dict[str, Any] = {
        "width_px": info.size.width,
        "height_px": info.size.height,
        "tissue_share": round(float(subject.look.tissue.mean()), 3),
        "tiles": len(plan),
        "bytes": subject.path.stat().st_size if subject.is_file else 0,
        "mpp": round(info.known_spacing().mean_um, 4),
        "read_px": plan.read_px.width,
        "size_px": plan.spec.size_px,
    }
    if isinstance(subject.slide, EncodedSlide):
        encoding = subject.slide.encoded_level(plan.level).encoding
        facts |= {"codec": encoding.codec.value, "stored_tile_px": encoding.tile.width}
    return facts


def _model(card: ModelCard, one_tile: float | None) -> Facts:
    size = card.weights.stat().st_size
    return {
        "name": card.ref.label,
        "sha256": card.ref.sha256,
        "task": card.task.value,
        "weights_bytes": size,
        "operations_a_tile": one_tile,
    }


def _settings(asked: Asked, description: str) -> Facts:
    return {
        "device": asked.device,
        "precision": asked.precision.value,
        "runtime": description,
        "threads": threads(),
        "tiles": asked.tiles,
    }


def _rates(rounds: int) -> Facts:
    """The machine's own, apart from any slide: of the best round, for the most counts."""
    work: dict[str, tuple[float, Run]] = {
        "matrix_products_per_s": (
            limits.product_operations(limits.FEWEST_OPERATIONS),
            limits.products(limits.FEWEST_OPERATIONS),
        ),
        "copied_bytes_per_s": (_PROBE_BYTES, limits.copying(_PROBE_BYTES)),
    }
    found = {}
    for name, (amount, run) in work.items():
        own, _ = alternate_with(run, None, rounds)
        found[name] = float(f"{amount / min(own.seconds):.4g}")
    return found


def _left_out(subject: Subject, one_tile: float | None, description: str) -> Iterator[str]:
    yield _NOT_APART if "cuda" in description else _NO_DEVICE
    if not isinstance(subject.slide, EncodedSlide):
        yield "encoded read, decode: this reader does not hand out stored tiles"
    if one_tile is None:
        yield f"limit of {FORWARD.rstrip(' ,')}: the network's operations cannot be counted"
