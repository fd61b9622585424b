"""The public door: slides in, results out.

>>> from wsi_ai import run_slides
>>> for outcome in run_slides("slide.svs", "models/demo-tumour", "out"):   # doctest: +SKIP
...     print(outcome.slide, outcome.level, outcome.folder)
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Unpack

from wsi_ai.core.contracts import Post, Slide, Watcher
from wsi_ai.core.geometry import Spacing
from wsi_ai.errors import ModelError
from wsi_ai.results.folder import make_folder
from wsi_ai.results.open_result import Region, Result, open_heatmap, open_result
from wsi_ai.run import embed_slides as embedding
from wsi_ai.run import run_slides as running
from wsi_ai.run.compare_readers import compare_readers
from wsi_ai.run.line import LineSlide, run_line
from wsi_ai.run.no_ops import NoWatcher
from wsi_ai.run.options import RunOptions
from wsi_ai.run.outcome import Embedded, Outcome
from wsi_ai.run.own_card import OwnCard, own_card
from wsi_ai.run.run_silently import run_silently
from wsi_ai.run.run_slides import give_up
from wsi_ai.slides import registry
from wsi_ai.slides.inputs import Inputs, find_slides

__all__ = [
    "Embedded",
    "Inputs",
    "LineSlide",
    "NoWatcher",
    "Outcome",
    "OwnCard",
    "Region",
    "Result",
    "RunOptions",
    "compare_readers",
    "embed_slides",
    "find_slides",
    "give_up",
    "make_folder",
    "open_heatmap",
    "open_result",
    "open_slide",
    "run_line",
    "run_silently",
    "run_slides",
]

Place = str | Path
Network = Callable[[Any], Any]


def run_slides(
    slides: Place | Sequence[Place],
    model: Place | Sequence[Place] | Network,
    out: Place,
    options: RunOptions | None = None,
    watch: Watcher | None = None,
    post: Post | None = None,
    **card: Unpack[OwnCard],
) -> Iterator[Outcome]:
    """See ``run.run_slides.run_slides``.

    ``model`` may also be a network in memory: a ``torch.nn.Module``, or anything that takes
    float32 tiles (n, 3, height, width) and gives scores (n, classes).  What a model.toml would say
    of it comes as keywords, see ``OwnCard``::

        run_slides(slides, net, "out", size_px=224, mpp=0.5, classes=["tumour"], threshold=0.5)

    Such a model posts nothing, and infers anew at each run.
    """
    found = _paths(slides)
    if isinstance(model, str | Path | Sequence):
        if card:
            raise ModelError(f"{', '.join(card)}: only of a network in memory; a model has a card")
        return running.run_slides(found, _paths(model), Path(out), options, watch, post)
    if post is not None:
        raise ModelError("a network in memory posts no flags: save it as a model, docs/models.md")
    return running.run_own(found, model, own_card(card), Path(out), options, watch)


def embed_slides(
    slides: Place | Sequence[Place],
    model: Place | Sequence[Place],
    out: Place,
    options: RunOptions | None = None,
    watch: Watcher | None = None,
    *,
    hdf5: bool = False,
) -> Iterator[Embedded]:
    """See ``run.embed_slides.embed_slides``."""
    found, models = _paths(slides), _paths(model)
    return embedding.embed_slides(found, models, Path(out), options, watch, hdf5=hdf5)


def open_slide(
    path: Place, mpp: float | None = None, reader: str | None = None, image: str = ""
) -> Slide:
    """An open slide, by the first reader that takes it; ``mpp`` takes the place of what the file
    says.  See ``slides.registry.open_slide``."""
    spacing = None if mpp is None else Spacing(mpp, mpp)
    return registry.open_slide(Path(path), spacing, reader, image)


def _paths(places: Place | Sequence[Place]) -> list[Path]:
    named = [places] if isinstance(places, str | Path) else places
    return [Path(place) for place in named]
