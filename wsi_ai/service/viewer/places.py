"""From what a person names to a shelf: results, slides, folders of either."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from wsi_ai.errors import InputError
from wsi_ai.results.folder import result_folder
from wsi_ai.results.listing import slide_stem
from wsi_ai.service.viewer.runs import as_text, slide_folders
from wsi_ai.service.viewer.shelf import Entry
from wsi_ai.slides.inputs import find_slides
from wsi_ai.slides.places import is_address
from wsi_ai.slides.readers.sniff import is_slide_file


def is_results(place: Path) -> bool:
    """Whether it is an OUT: a record of runs, or a slide's folder with results, lies in it."""
    if is_address(place) or not place.is_dir():
        return False
    return (place / "runs").is_dir() or any(
        next(f.glob("*/run.json"), None) for f in slide_folders(place)
    )


def entries_of(places: Sequence[Path], slides: Sequence[Path]) -> tuple[list[Entry], list[Path]]:
    """What can be shown, and all folders of slides' results.

    Slides are those that are named, and those beside OUT or in the working folder whose name has
    results.  A slide whose results are there and whose file was not found is listed too.  Raises
    InputError where a place is neither results nor slides.
    """
    outs = [place for place in places if is_results(place)]
    folders = [folder for out in outs for folder in slide_folders(out)]
    named = [place for place in places if place not in outs]
    wanted = [*named, *slides]
    paths = list(find_slides(wanted).slides) if wanted else []
    stems = {slide_stem(folder) for folder in folders}
    missing = stems - {stem for path in paths for stem in _stems(path)}
    paths += _beside(outs, missing)
    entries = [_entry(path, folders) for path in paths]
    found = {folder for entry in entries for folder in entry.results}
    lost = [folder for folder in folders if folder not in found]
    entries += [Entry(as_text(slide_stem(folder)), None, (folder,)) for folder in lost]
    if not entries:
        raise InputError("nothing to show: no slide was named, and no results are there")
    return entries, folders


def _entry(path: Path, folders: Iterable[Path]) -> Entry:
    stems = _stems(path)
    own = tuple(folder for folder in folders if slide_stem(folder) in stems)
    return Entry(as_text(path.name), path, own)


def _beside(outs: Sequence[Path], stems: set[str]) -> list[Path]:
    """Slides of these names in the folders that OUT lies in, and in the working folder."""
    found: dict[Path, None] = {}
    for folder in dict.fromkeys([*(out.absolute().parent for out in outs), Path.cwd()]):
        near = [path for path in _inside(folder) if _stems(path) & stems]
        fitting = [path for path in near if path not in outs and _is_slide(path)]
        found.update(dict.fromkeys(fitting))
    return list(found)


def _inside(folder: Path) -> list[Path]:
    """By name; nothing of a folder that may not be looked into."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _is_slide(path: Path) -> bool:
    try:
        if path.is_dir():
            return list(find_slides([path]).slides) == [path]
        return path.is_file() and is_slide_file(path)
    except (InputError, OSError):
        return False


def _stems(path: Path) -> set[str]:
    """What the folder of this slide's results may begin with."""
    names = path.stem, path.name.removesuffix(".zarr").removesuffix(".ome")
    texts = map(as_text, names)
    return {slide_stem(result_folder(Path(), text, "0" * 8, "model").parent) for text in texts}
