"""Slides in, results out, by one model or several."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from wsi_ai.core.cards import ModelCard, Task
from wsi_ai.core.contracts import Post, Watcher
from wsi_ai.errors import ModelError, OutputError
from wsi_ai.inference.registry import devices_asked
from wsi_ai.models.approval import approved_model
from wsi_ai.models.manifest import load_card, placeholder_card
from wsi_ai.models.site import Site, load_site
from wsi_ai.results.folder import make_folder
from wsi_ai.results.slide import FORMATS
from wsi_ai.run.assembly import Assembly, ModelRefused, assemble
from wsi_ai.run.fleet.fleet import Fleet
from wsi_ai.run.no_ops import NoPost, NoWatcher
from wsi_ai.run.options import RunOptions
from wsi_ai.run.outcome import Outcome
from wsi_ai.run.run_record import RunLog
from wsi_ai.run.several_models import SlideTask, refuse_same_model
from wsi_ai.run.stages import through_stages
from wsi_ai.triage.policy import policy_for


def run_slides(
    slides: Sequence[Path],
    model: Path | Sequence[Path],
    out: Path,
    options: RunOptions | None = None,
    watch: Watcher | None = None,
    post: Post | None = None,
) -> Iterator[Outcome]:
    """Run one model or several over slides, in order; an outcome for each slide and model, whatever
    happens to it.  Tiles that several models want are decoded once.

    ``model`` is a folder, or the name of one in the store (``approval.approved_model``).

    Results are folders below ``out``; ``out/runs`` gets a record of the run, see ``runs``.  While a
    slide infers, the next one is opened and read ahead and the last one written, in threads;
    ``watch`` is called from the one that infers.

    With several devices, each has a process of its own that runs the calling program's main module
    again, so that needs its ``if __name__ == "__main__"``; the outcomes come as slides are done.

    Every flag, and an early one too, is put to ``post``; whether it is delivered is the post's
    business.

    Raises PolicyError, InputError or OutputError before any slide where policy, cases, the names of
    the devices or ``out`` are unusable.  Where a model, or every device for it, is, every slide
    gets its ``not_assessed`` flag first, and those of the other models; then ModelError or
    DeviceError is raised.
    """
    options, post = options or RunOptions(), post or NoPost()
    devices = devices_asked(options.device)
    site, assembly = load_site(options.trusted_keys), assemble(out, options)
    _check_formats(options.formats)
    make_folder(out)
    models = [model] if isinstance(model, Path) else list(model)
    cards, refused = _cards(models, site, assembly)
    assembly = replace(assembly, cards=cards)
    run = RunLog(out, cards, devices)
    complete = False
    try:
        yield from _none_assessed(assembly, refused, slides, post)
        for outcome in _on(assembly, devices, slides, watch or NoWatcher(), post):
            run.outcomes.append(outcome)
            yield outcome
        complete = True
    finally:
        run.write(complete=complete)
    _raise_first(refused)


def _cards(
    models: Sequence[Path], site: Site, assembly: Assembly
) -> tuple[list[ModelCard], list[ModelRefused]]:
    """Those that may run, and those that may not, and why."""
    cards, refused = list[ModelCard](), list[ModelRefused]()
    for model in models:
        card = placeholder_card(model)
        try:
            card = load_card(approved_model(model, site), assembly.options.precision)
            _refuse_vectors(card)
            policy_for(card, assembly.policy)
            refuse_same_model(card, cards)
        except ModelError as error:
            refused.append((card, error))
        else:
            cards.append(card)
    return cards, refused


def _refuse_vectors(card: ModelCard) -> None:
    if card.task is Task.EMBEDDING:
        raise ModelError(f"{card.ref.name} gives embeddings and no flag; use: wsi-ai embed")


def _on(
    assembly: Assembly, devices: list[str], slides: Sequence[Path], watch: Watcher, post: Post
) -> Iterator[Outcome]:
    if not assembly.cards:
        return
    if len(devices) > 1:
        yield from Fleet(assembly, devices, watch, post).outcomes(slides)
        return
    work, refused = assembly.on(devices[0]).work(watch, post)
    yield from _none_assessed(assembly, refused, slides, post)
    stages = work.prepare, work.infer, work.publish
    tasks = (work.begin(slide) for slide in (slides if work.works else ()))
    for task in through_stages(tasks, stages, work.stop, SlideTask.is_over, SlideTask.passes):
        yield from task.outcomes
    _raise_first(refused)


def _none_assessed(
    assembly: Assembly, refused: Iterable[ModelRefused], slides: Sequence[Path], post: Post
) -> Iterator[Outcome]:
    for card, error in refused:
        for slide in slides:
            yield assembly.failed(card, slide, str(error), post)


def _raise_first(refused: Iterable[ModelRefused]) -> None:
    for _, error in refused:
        raise error


def _check_formats(formats: Sequence[str]) -> None:
    if unknown := [name for name in formats if name not in FORMATS]:
        raise OutputError(f"no format is called {unknown[0]}; there is {', '.join(FORMATS)}")
