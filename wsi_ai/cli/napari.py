"""``wsi-ai open-in-napari``."""

from collections.abc import Sequence
from pathlib import Path

from wsi_ai.cli.output import Exit, exit_on_error, say
from wsi_ai.core.plugins import from_extra
from wsi_ai.errors import InputError
from wsi_ai.service.napari import add_layers, layers_of
from wsi_ai.service.viewer.places import entries_of, is_results
from wsi_ai.service.viewer.runs import model_folders, open_results
from wsi_ai.slides.registry import open_slide


@exit_on_error
def show(out: Path, slides: Sequence[Path]) -> int:
    """The first slide of OUT whose file is there; results of other bytes are left out, and said."""
    if not is_results(out):
        raise InputError(f"no results of a run in {out}")
    napari = from_extra("napari", "napari", InputError)
    entries, _ = entries_of([out], slides)
    entry = next((one for one in entries if one.path is not None and one.results), None)
    if entry is None or entry.path is None:
        raise InputError("the slides of these results were not found; name them: --slides")
    with open_slide(entry.path) as slide:
        folders = [model for folder in entry.results for model in model_folders(folder)]
        found = [open_results(folder, slide.info) for folder in folders]
        for one in found:
            if one.refused:
                say(f"{one.model}: not shown: {one.refused}")
        add_layers(napari.Viewer(), layers_of(slide, [one for one in found if not one.refused]))
        napari.run()
    return Exit.OK
