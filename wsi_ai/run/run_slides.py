"""Slides in, results out, by one model or several."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from wsi_ai.core.cards import CARD_INCOMPLETE, ModelCard, RuntimeRequest, Task
from wsi_ai.core.contracts import Post, Runtime, Watcher
from wsi_ai.core.flags import DOUBT
from wsi_ai.core.seals import site_key
from wsi_ai.errors import DeviceError, IdentityShared, InputError, ModelError, OutputError
from wsi_ai.inference.own import Network, open_own
from wsi_ai.models.approval import approved_card
from wsi_ai.models.fastest.open_fastest import open_fastest
from wsi_ai.models.site import Site, load_site
from wsi_ai.results.dicom import check_dicom
from wsi_ai.results.folder import check_folder
from wsi_ai.results.pages.wanted import Pages
from wsi_ai.results.parquet import check_parquet
from wsi_ai.results.published import OnDisk, Published, results_place
from wsi_ai.results.slide import FORMATS
from wsi_ai.run.assembly import Assembly, OpenRuntime
from wsi_ai.run.flags_for import flags_for
from wsi_ai.run.no_ops import NoPost, NoWatcher
from wsi_ai.run.on_devices import devices_of, on_devices, recorded
from wsi_ai.run.options import RunOptions
from wsi_ai.run.outcome import Outcome
from wsi_ai.run.run_record import RunLog
from wsi_ai.run.several_models import refuse_same_model
from wsi_ai.run.twins import apart
from wsi_ai.slides.identity import Cases, load_cases
from wsi_ai.tiles.extent import check_extent, strided
from wsi_ai.triage.policy import Policy, load_policy, policy_for

log = logging.getLogger(__name__)
UNREAD_TWIN = (
    "two files are said to be this slide, and one of them cannot be read: which one is meant cannot"
    " be known now; make both readable, or name one"
)
STILL_WRITTEN = "it was still being written; the same command judges it once it is at rest"


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

    ``model`` is a folder, or the name of one in the store (``approval.approved_card``).

    Results are folders below ``out``; ``out/runs`` gets a record of the run, see ``runs``.  While a
    slide infers, the next one is opened and read ahead and the last one written, in threads;
    ``watch`` is called from the one that infers.

    With several devices, each has a process of its own that runs the calling program's main module
    again, so that needs its ``if __name__ == "__main__"``; the outcomes come as slides are done.

    Every flag, and an early one too, is put to ``post``; whether it is delivered is the post's
    business.

    Raises PolicyError, InputError, OutputError, ModelError or DeviceError before any slide where
    policy, cases, ``out``, a model or every device is unusable: then nothing is written.  A failure
    never touches an answer that stands; see ``docs/runs.md`` for the law.
    """
    options = options or RunOptions()
    if options.extent is not None and post is not None:
        raise InputError(
            "flags of a run that looks at something else than all tissue (--region,"
            " --exclude-region, --tissue, --min-tissue, --stride) are not sent: leave --send away"
        )
    site, policy = load_site(options.trusted_keys), policy_of(options)
    models = [model] if isinstance(model, Path) else list(model)
    stride_px = options.extent.stride_px if options.extent else None
    cards = [strided(card, stride_px) for card in cards_of(models, site, policy, options)]
    yield from _through(cards, open_fastest, slides, out, Asked(options, policy, watch, post))


def run_own(
    slides: Sequence[Path],
    network: Network,
    card: ModelCard,
    out: Path,
    options: RunOptions | None = None,
    watch: Watcher | None = None,
) -> Iterator[Outcome]:
    """The same of a network in memory, on the processor, in this process.  It posts nothing, and
    every run infers: whether its code is still the same cannot be told.

    Raises ModelError where the site runs signed models only, DeviceError for another device.
    """
    options = options or RunOptions()
    if options.device not in ("auto", "cpu"):
        raise DeviceError(
            f"--device {options.device}: a network in memory runs in this process, on the processor"
        )
    if load_site(options.trusted_keys).trusted_keys:
        raise ModelError("this site runs signed models only, and a network in memory has no file")

    def opened(_: ModelCard, request: RuntimeRequest) -> Runtime:
        return open_own(network, card, request)

    asked = Asked(options, policy_of(options), watch, None)
    stride_px = options.extent.stride_px if options.extent else None
    yield from _through([strided(card, stride_px)], opened, slides, out, asked)


@dataclass(frozen=True, slots=True)
class Asked:
    """What may be asked beside slides and models."""

    options: RunOptions
    policy: Policy | None
    watch: Watcher | None
    post: Post | None


def _placed(out: Path, asked: Asked) -> tuple[Path, Asked]:
    """The folder to work in, and where its results count: of an address, its bucket.  Raises
    OutputError."""
    place = results_place(out)
    if isinstance(place.published, OnDisk):
        return out, asked
    return place.folder, replace(asked, options=replace(asked.options, published=place.published))


def policy_of(options: RunOptions) -> Policy | None:
    return load_policy(options.policy) if options.policy else None


def _through(
    cards: Sequence[ModelCard],
    opened: OpenRuntime,
    slides: Sequence[Path],
    out: Path,
    asked: Asked,
) -> Iterator[Outcome]:
    out, asked = _placed(out, asked)
    options, post = asked.options, asked.post or NoPost()
    devices = devices_of(options)
    cases = load_cases(options.cases)
    check_extent(options.extent, slides)
    assembly = assembly_of(cards, opened, out, cases, asked)
    found = apart(slides, cases, assembly.open_slide)

    def outcomes() -> Iterator[Outcome]:
        yield from on_devices(assembly, devices, found.alone, asked.watch or NoWatcher(), post)
        for slide in found.shared:
            for card in cards:
                yield assembly.failed(card, slide, DOUBT, post, IdentityShared(DOUBT))
        for slide in found.unread:
            for card in cards:
                yield assembly.failed(card, slide, UNREAD_TWIN, post)
        for slide in options.growing:
            for card in cards:
                yield assembly.not_judged(card, slide, STILL_WRITTEN, post)

    with published(out, options.published), listed(out, options.pages):
        yield from recorded(RunLog(out, cards, devices), outcomes())


@contextmanager
def listed(out: Path, pages: Pages) -> Iterator[None]:
    """At the end, however it comes, the pages of ``out`` are made anew."""
    try:
        yield
    finally:
        if pages is not Pages.NONE and out.is_dir():
            from wsi_ai.results.pages.index import renew_index

            renew_index(out)


@contextmanager
def published(out: Path, where: Published) -> Iterator[None]:
    """At the end, however it comes, what people read of a run is where its results are: no run
    fails for want of it."""
    try:
        yield
    finally:
        try:
            where.publish_pages(out)
        except OutputError as error:
            log.warning("the pages of the run: %s", error)


def give_up(
    slide: Path,
    models: Sequence[Path],
    out: Path,
    reason: str,
    options: RunOptions,
    post: Post,
) -> Iterator[Outcome]:
    """The ``not_assessed`` flag of a slide that cannot be run at all, by each model, where no
    answer stands.  The slide is not looked at.  Raises as ``run_slides``."""
    policy = policy_of(options)
    cards = cards_of(models, load_site(options.trusted_keys), policy, options)
    out, asked = _placed(out, Asked(options, policy, None, post))
    cases = load_cases(options.cases)
    assembly = assembly_of(cards, open_fastest, out, cases, asked)
    for card in cards:
        yield assembly.failed(card, slide, reason, post)


def assembly_of(
    cards: Sequence[ModelCard], opened: OpenRuntime, out: Path, cases: Cases, asked: Asked
) -> Assembly[Outcome]:
    """Raises OutputError, also where a format cannot be written here, or ModelError."""
    options = asked.options
    answer_for = flags_for(asked.policy, cases, out, options)
    _check_formats(options.formats)
    if options.pages is Pages.REPORT_AND_PDF:
        from wsi_ai.results.pages.pdf import check_pdf

        check_pdf()
    check_folder(out)
    site_key()  # what is written is sealed with it
    if not isinstance(asked.post, NoPost | None):
        _refuse_incomplete(cards)
    return Assembly(answer_for, asked.policy, options, cards, opened)


def cards_of(
    models: Sequence[Path], site: Site, policy: Policy | None, options: RunOptions
) -> list[ModelCard]:
    """Raises ModelError or PolicyError where any of them may not run."""
    cards = list[ModelCard]()
    for model in models:
        card = approved_card(model, site, options.precision)
        _refuse_vectors(card)
        policy_for(card, policy)
        refuse_same_model(card, cards)
        cards.append(card)
    return cards


def _refuse_vectors(card: ModelCard) -> None:
    if card.task is Task.EMBEDDING:
        raise ModelError(f"{card.ref.name} gives embeddings and no flag; use: wsi-ai embed")


def _refuse_incomplete(cards: Sequence[ModelCard]) -> None:
    """No flag of a model whose card nobody has written goes anywhere.  Raises ModelError."""
    if names := [card.ref.name for card in cards if card.incomplete]:
        raise ModelError(
            f"{names[0]}: no flag of it is sent: {CARD_INCOMPLETE}; complete it:"
            " wsi-ai models init, without --trial"
        )


def _check_formats(formats: Sequence[str]) -> None:
    if unknown := [name for name in formats if name not in FORMATS]:
        raise OutputError(f"no format is called {unknown[0]}; there are {', '.join(FORMATS)}")
    if "dicom" in formats:
        check_dicom()
    if "parquet" in formats:
        check_parquet()
