"""Where results lie in an OUT: ``OUT/<slide stem>-<8 of its SHA-256>/<model>``."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

_SLIDE = re.compile(r"(?P<stem>.+)-[0-9a-f]{8}", re.DOTALL)


def slide_folders(out: Path) -> list[Path]:
    """By name.  Raises OSError where OUT cannot be looked into."""
    return [folder for folder in _folders(out) if _SLIDE.fullmatch(folder.name)]


def model_folders(slide_folder: Path) -> list[Path]:
    """By name, whatever is in them; what is hidden is unfinished, or kept aside.  Raises
    OSError."""
    return [folder for folder in _folders(slide_folder) if not folder.name.startswith(".")]


def result_folders(out: Path) -> Iterator[Path]:
    """Of all slides and models; without those that cannot be looked into."""
    for slide in or_empty(slide_folders, out):
        yield from or_empty(model_folders, slide)


def or_empty(folders: Callable[[Path], list[Path]], place: Path) -> list[Path]:
    """No folders where they cannot be listed."""
    try:
        return folders(place)
    except OSError:
        return []


def slide_stem(slide_folder: Path) -> str:
    """The beginning of the slide's name, as its folder has it; of another folder, all of it."""
    named = _SLIDE.fullmatch(slide_folder.name)
    return named["stem"] if named else slide_folder.name


def _folders(place: Path) -> list[Path]:
    with os.scandir(place) as found:
        names = [entry.name for entry in found if entry.is_dir()]
    return [place / name for name in sorted(names)]
