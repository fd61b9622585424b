"""Slides in, results out: the whole program behind one function.

>>> from wsi_ai.app import run_slides
>>> for outcome in run_slides([slide], model, out):        # doctest: +SKIP
...     print(outcome.slide, outcome.level, outcome.folder)
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from wsi_ai.approval import approved_model
from wsi_ai.contracts import Post, Runtime, Watcher
from wsi_ai.errors import DeviceError, ModelError, OutputError
from wsi_ai.geometry import Spacing
from wsi_ai.identity import Cases, load_cases
from wsi_ai.line import through_stages
from wsi_ai.looking import LookOnce
from wsi_ai.manifest import load_card, placeholder_card
from wsi_ai.outcomes import Failures, Outcome, told_model
from wsi_ai.parity import hold_to_golden
from wsi_ai.pipeline import Pipeline
from wsi_ai.reading import HostTiles, SharedTiles
from wsi_ai.registry import open_runtime, open_slide
from wsi_ai.results import FORMATS, NoPost
from wsi_ai.settings import Policy, Site, check_policy, load_policy, load_site
from wsi_ai.together import OpenOnce, PartyWork, Silent
from wsi_ai.values import ModelCard, Precision, RuntimeRequest
from wsi_ai.work import SlideWork

__all__ = ["Outcome", "RunOptions", "Silent", "make_folder", "run_slides"]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What may be asked beside slides and model."""

    mpp: float | None = None
    """Micrometres per pixel, in place of what the files say."""
    device: str = "auto"
    policy: Path | None = None
    force: bool = False
    """Run anew even where the same question was answered before."""
    reader: str | None = None
    """``None``: by the slide's content."""
    precision: Precision = Precision.FP32
    cases: Path | None = None
    """Whose slides they are: .csv, .json or .toml."""
    trust_pickle: bool = False
    """Run the code that a pickled model brings with it."""
    trusted_keys: Path | None = None
    """A public key, or a folder of them, one of which must have signed the model."""
    formats: tuple[str, ...] = ()
    """What to write beside the usual: ``wsinfer``."""

    def spacing(self) -> Spacing | None:
        return None if self.mpp is None else Spacing(self.mpp, self.mpp)

    def request(self) -> RuntimeRequest:
        return RuntimeRequest(self.device, self.precision, trust_pickle=self.trust_pickle)


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

    Results are folders below ``out``.  While a slide infers, the next one is opened and read ahead
    and the last one written, in threads; ``watch`` is called from the one that infers.

    Every flag, and an early one too, is put to ``post``; whether it is delivered is the post's
    business.

    Raises PolicyError or OutputError before any slide where policy, cases or ``out`` are unusable.
    Where a model or the device is, every slide gets its ``not_assessed`` flag first, and those of
    the other models; then ModelError or DeviceError is raised.
    """
    options = options or RunOptions()
    policy, cases = load_policy(options.policy), load_cases(options.cases)
    site = load_site(options.trusted_keys)
    _check_formats(options.formats)
    make_folder(out)
    shared = _Shared(policy, cases, out, post or NoPost())
    models = [model] if isinstance(model, Path) else list(model)
    opened, refused = _opened(models, options, policy, site)
    party = PartyWork(_works(opened, options, shared), watch or Silent())
    for slide, outcomes in _parties(party, slides):
        whose = cases.identity_of(slide)
        for card, error in refused:
            yield Failures(card, policy, out, shared.post).record(slide, str(error), whose)
        yield from outcomes
    for _, error in refused:
        raise error


@dataclass(frozen=True, slots=True)
class _Shared:
    """What all models of a run share."""

    policy: Policy
    cases: Cases
    out: Path
    post: Post


_Refused = tuple[ModelCard, ModelError | DeviceError]


def _opened(
    models: Sequence[Path], options: RunOptions, policy: Policy, site: Site
) -> tuple[list[Runtime], list[_Refused]]:
    """Those that run, and those that do not, and why."""
    runtimes, refused = list[Runtime](), list[_Refused]()
    for model in models:
        card = placeholder_card(model)
        try:
            card = load_card(approved_model(model, site))
            check_policy(policy, card)
            _refuse_twins(card, [runtime.card for runtime in runtimes])
            runtime = open_runtime(card, options.request())
            hold_to_golden(runtime)
        except (ModelError, DeviceError) as error:
            refused.append((card, error))
        else:
            runtimes.append(runtime)
    return runtimes, refused


def _refuse_twins(card: ModelCard, others: Sequence[ModelCard]) -> None:
    """Their results would go to the same place."""
    if any(told_model(card) == told_model(other) for other in others):
        raise ModelError(f"two of the models are called {told_model(card)}; give each once")


def _works(runtimes: Sequence[Runtime], options: RunOptions, shared: _Shared) -> list[SlideWork]:
    """One for each model, on one source of tiles."""
    at_once = min((runtime.batch_size for runtime in runtimes), default=1)
    source = SharedTiles(HostTiles(at_once, threads=len(os.sched_getaffinity(0))))
    look, triage, quality = LookOnce(), shared.policy.triage, shared.policy.quality
    opened = OpenOnce(partial(open_slide, spacing=options.spacing(), reader=options.reader))
    return [
        SlideWork(
            pipeline=Pipeline(source, runtime, triage, quality, look),
            policy=shared.policy,
            out=shared.out,
            open_slide=opened,
            force=options.force,
            cases=shared.cases,
            post=shared.post,
            formats=options.formats,
        )
        for runtime in runtimes
    ]


def _parties(work: PartyWork, slides: Sequence[Path]) -> Iterator[tuple[Path, Sequence[Outcome]]]:
    """Nothing is opened where no model runs."""
    if not work.works:
        yield from ((slide, ()) for slide in slides)
        return
    stages = work.prepare, work.infer, work.publish
    for party in through_stages((work.party(slide) for slide in slides), stages, work.stop):
        yield party.path, party.outcomes


def _check_formats(formats: Sequence[str]) -> None:
    if unknown := [name for name in formats if name not in FORMATS]:
        raise OutputError(f"no format is called {unknown[0]}; there is {', '.join(FORMATS)}")


def make_folder(out: Path) -> None:
    """Where results go.  Raises OutputError where nothing can be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot write to {out}: {error.strerror}; choose another --out"
        ) from None
    if not os.access(out, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write to {out}: no permission; choose another --out")
