"""Slides in, embeddings out: a vector for each tile, and no flag."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.contracts import Watcher
from wsi_ai.core.seals import site_key
from wsi_ai.errors import ModelError
from wsi_ai.heatmaps import check_hdf5
from wsi_ai.models.approval import approved_card
from wsi_ai.models.site import load_site
from wsi_ai.results.folder import check_folder
from wsi_ai.run.assembly import Assembly
from wsi_ai.run.no_ops import NoPost, NoWatcher
from wsi_ai.run.on_devices import devices_of, on_devices, recorded
from wsi_ai.run.options import RunOptions
from wsi_ai.run.outcome import Embedded
from wsi_ai.run.run_record import RunLog
from wsi_ai.run.several_models import refuse_same_model
from wsi_ai.run.vector_answer import vectors_for
from wsi_ai.tiles.extent import check_extent, strided
from wsi_ai.triage.policy import load_policy


def embed_slides(
    slides: Sequence[Path],
    model: Path | Sequence[Path],
    out: Path,
    options: RunOptions | None = None,
    watch: Watcher | None = None,
    *,
    hdf5: bool = False,
) -> Iterator[Embedded]:
    """Write what the encoder of one model, or of each of several, makes of every tile of each
    slide, in order.  Tiles that several want are decoded once.

    A slide that fails says why, and the next one runs.  What was inferred survives a kill.  A
    model's card is of an embedding, or of a slide classification, whose encoder is taken.
    ``out/runs`` gets a record of the run; of several devices each has a process of its own, see
    ``run_slides``.

    Raises OutputError, InputError, ModelError, PolicyError or DeviceError before any slide.
    """
    options = options or RunOptions()
    devices = devices_of(options)
    check_folder(out)
    site_key()  # what is written is sealed with it
    if hdf5:
        check_hdf5()
    models = [model] if isinstance(model, Path) else model
    cards, policy = _cards(models, options), load_policy(options.policy)
    check_extent(options.extent, slides)
    answer_for = vectors_for(out, hdf5=hdf5, extent=options.extent)
    assembly = Assembly(answer_for, policy, options, cards)
    outcomes = on_devices(assembly, devices, slides, watch or NoWatcher(), NoPost())
    yield from recorded(RunLog(out, cards, devices), outcomes)


def _cards(models: Sequence[Path], options: RunOptions) -> list[ModelCard]:
    cards, site = list[ModelCard](), load_site(options.trusted_keys)
    for model in models:
        card = approved_card(model, site)
        if not card.gives_vectors:
            raise ModelError(
                f"{card.ref.name} is a {card.task.value} model and gives no embeddings;"
                " use: wsi-ai run"
            )
        refuse_same_model(card, cards)
        cards.append(strided(card, options.extent.stride_px if options.extent else None))
    return cards
