"""``wsi-ai view``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wsi_ai.cli.output import Exit, exit_on_error, say, terminated_as_interrupted
from wsi_ai.core.contracts import Slide
from wsi_ai.core.environment import cache_folder
from wsi_ai.core.geometry import Spacing
from wsi_ai.results.published import local_results
from wsi_ai.service.viewer.cache import TileCache
from wsi_ai.service.viewer.places import entries_of, is_results
from wsi_ai.service.viewer.serve import serve
from wsi_ai.service.viewer.shelf import Shelf
from wsi_ai.slides.readers.sniff import SUFFIXES
from wsi_ai.slides.registry import open_slide
from wsi_ai.slides.stores.address import is_object


@dataclass(frozen=True, slots=True)
class ViewOptions:
    """Of ``wsi-ai view``."""

    port: int
    mpp: float | None = None
    image: str = ""
    with_label: bool = False


@exit_on_error
def view(places: Sequence[Path], slides: Sequence[Path], options: ViewOptions) -> int:
    """Serve until stopped."""
    entries, results = entries_of([*map(_here, places)], slides)
    spacing = Spacing(options.mpp, options.mpp) if options.mpp else None

    def opened(path: Path) -> Slide:
        return open_slide(path, spacing, image=options.image)

    numbered = {str(number): entry for number, entry in enumerate(entries, 1)}
    cache = TileCache(cache_folder() / "viewer")
    shelf = Shelf(numbered, cache, opened, tuple(results))
    with terminated_as_interrupted():
        try:
            serve(shelf, options.port, _begun, with_label=options.with_label)
        except KeyboardInterrupt:
            say("stopped")
    return Exit.OK


def _here(place: Path) -> Path:
    """Results that lie in a bucket are fetched; a slide there stays where it is."""
    if not is_object(place) or place.suffix.lower() in SUFFIXES:
        return place
    folder = local_results(place)
    return folder if is_results(folder) else place


def _begun(address: str, for_other_viewers: str) -> None:
    say(f"open {address}")
    say("it opens once, in one browser; Ctrl-C ends the viewer")
    say(f"other viewers: {for_other_viewers}/slides/1/iiif/info.json (IIIF 3.0)")
    say(f"           or: {for_other_viewers}/slides/1/deepzoom.dzi (Deep Zoom)")
