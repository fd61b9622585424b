"""One benchmark: a slide and a model, the stages alone and together."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from wsi_ai.app import RunOptions
from wsi_ai.bench import limits
from wsi_ai.bench.fingerprint import machine, programs
from wsi_ai.bench.forward import CardOf, Forward, copy_tasks, forward_tasks
from wsi_ai.bench.measured import Run, alternate_with
from wsi_ai.bench.report import WHOLE, Bench, Facts, Limit, Stage
from wsi_ai.bench.tasks import (
    Subject,
    Task,
    look_at,
    opening_tasks,
    plan_of,
    reading_tasks,
    tile_size_tasks,
)
from wsi_ai.bench.whole import ProcessRun, WholeRuns
from wsi_ai.bench.whole_runs import in_own_process, stages_of, whole_runs
from wsi_ai.core.cards import ModelCard, Precision
from wsi_ai.core.contracts import EncodedSlide, Runtime
from wsi_ai.core.environment import threads
from wsi_ai.core.values import Predictions, TileBatch
from wsi_ai.core.wording import counted
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
    precisions: tuple[Precision, ...] = (Precision.FP32,)
    """The first is that of the whole run; where it is not there, that is an error."""
    tiles_px: tuple[int, ...] = ()
    """Further sizes of tiles to read."""
    more: tuple[Path, ...] = ()
    """Slides that the last whole run takes as well."""
    mpp: float | None = None

    def __post_init__(self) -> None:
        if not (self.batches and self.precisions) or self.runs < 0:
            raise ValueError("there is 1 batch size and 1 precision or more, and 0 runs or more")
        if min(self.repeats, self.tiles, *self.batches, *self.tiles_px) < 1:
            raise ValueError("rounds, tiles, batches and sizes are 1 or more")

    @property
    def precision(self) -> Precision:
        return self.precisions[0]

    def options(self) -> RunOptions:
        return RunOptions(mpp=self.mpp, device=self.device, precision=self.precision, force=True)


def run_bench(asked: Asked, say: Say) -> Bench:
    """Raises WsiAiError."""
    card = _card_of(asked)(asked.precision)
    with open_scaled(asked.slide, asked.options()) as slide:
        look = look_at(slide)
        whole = plan_of(slide, look, card)
        if not len(whole):
            raise InputError("there is no tissue on this slide to measure with")
        subject = Subject(asked.slide, slide, look, card, whole, asked.tiles, threads())
        one_tile, left_out = operations(card), list[str]()
        stages = list(_stages(subject, asked, one_tile, (say, left_out)))
        work = _work(subject, asked)
    found = Bench(
        machine=machine(),
        software=programs(),
        work=work,
        model=_model(card, one_tile),
        settings=_settings(asked, _runtime_name(card, asked)),
        rates=_rates(asked.repeats),
        stages=stages,
        left_out=left_out,
    )
    return _with_whole_runs(found, asked, say) if asked.runs else found


def _stages(
    subject: Subject, asked: Asked, one_tile: float | None, notes: tuple[Say, list[str]]
) -> Iterator[Stage]:
    say, left_out = notes

    def reopen() -> Any:
        return open_scaled(asked.slide, asked.options())

    def measured(task: Task) -> Stage:
        say(task.name)
        return measure(task, asked.repeats)

    yield from map(measured, opening_tasks(subject, reopen))
    yield from map(measured, reading_tasks(subject, max(asked.batches)))
    yield from map(measured, tile_size_tasks(subject, asked.tiles_px, max(asked.batches)))
    if not isinstance(subject.slide, EncodedSlide):
        left_out.append("encoded read, decode: this reader does not hand out stored tiles")
    forward = Forward(
        _card_of(asked), asked.options().request(), asked.precisions, asked.batches, one_tile
    )
    first: Runtime | None = None
    for task, runtime in forward_tasks(subject, forward, left_out):
        first = first or runtime
        yield measured(task)
    if first is not None:
        yield from map(measured, copy_tasks(subject, first, left_out))
        yield measured(_heatmap(subject, _predictions(subject, first)))


def _card_of(asked: Asked) -> CardOf:
    return partial(approved_card, asked.model, load_site(None))


def _with_whole_runs(bench: Bench, asked: Asked, say: Say) -> Bench:
    say(WHOLE)
    timed, records = whole_runs(asked.slide, asked.model, asked.options(), asked.runs)
    forward = bench.forward
    assert forward is not None  # a bench has one, or there was an error
    more = stages_of(timed, records, bench.work["tiles"], forward)
    processes = list[ProcessRun]()
    for slides in ([asked.slide], [asked.slide, *asked.more])[: 2 if asked.more else 1]:
        say(f"{WHOLE} in a process of its own, {counted(len(slides), 'slide')}")
        processes.append(in_own_process(slides, asked.model, asked.options()))
    return replace(
        bench,
        stages=[*bench.stages, *more],
        whole_runs=WholeRuns.of(records),
        processes=processes,
    )


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


def _runtime_name(card: ModelCard, asked: Asked) -> str:
    return open_fastest(card, asked.options().request()).description


def _work(subject: Subject, asked: Asked) -> Facts:
    """No name, no digest: a slide is known by its size here."""
    info, plan = subject.slide.info, subject.whole
    facts: dict[str, Any] = {
        "slides": 1 + len(asked.more),
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
