"""The pages of a folder of results: an index, a contact sheet, and each slide's models side by
side.  All are made anew from the flags that lie there."""

import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from wsi_ai.core.files import in_turn, write_whole
from wsi_ai.core.flags import Level
from wsi_ai.errors import OutputError, disk_errors
from wsi_ai.results.pages.entries import Entry, entries, not_started
from wsi_ai.results.pages.page import page

log = logging.getLogger(__name__)
INDEX, SHEET, MODELS = "index.html", "contact-sheet.html", "models.html"
_LOCK = ".index.lock"
_PICTURES = "'self' file: data:"
"""Where the pictures of these pages may come from: the files beside them."""


def write_index(out: Path) -> list[Entry]:
    """Write the pages of ``out``; return their lines.

    Runs that end at the same time write one after the other, each after it has looked: so the last
    one has seen what all have left.  Raises OutputError.
    """
    if not out.is_dir():
        raise OutputError(f"{out} is no folder of results")
    with disk_errors(), in_turn(out / _LOCK):
        found = entries(out)
        by_slide = _by_slide(found)
        stopped = not_started(out)
        for name, script in ((INDEX, "index.js"), (SHEET, "")):
            _write(out / name, _listed(name, script, found, by_slide, stopped))
        for folder, answers in by_slide.items():
            if len(answers) > 1:
                _write(out / folder / MODELS, _models(folder, answers))
            else:
                (out / folder / MODELS).unlink(missing_ok=True)
    return found


def renew_index(out: Path) -> None:
    """Write the pages of ``out`` where that can be done: no run fails for want of them."""
    try:
        write_index(out)
    except OutputError as error:
        log.warning("the index of the results was not written: %s", error)


def _by_slide(found: Iterable[Entry]) -> dict[Path, list[Entry]]:
    """The answers to each slide that has a folder."""
    made = dict[Path, list[Entry]]()
    for entry in found:
        if entry.folder is not None:
            made.setdefault(entry.folder, []).append(entry)
    return made


def _write(path: Path, text: str) -> None:
    """Where it says anything new: of ten thousand slides, few pages change."""
    content = text.encode("utf-8")
    if not path.is_file() or path.read_bytes() != content:
        write_whole(path, content)


def _listed(
    name: str,
    script: str,
    found: list[Entry],
    by_slide: dict[Path, list[Entry]],
    stopped: str,
) -> str:
    counts = Counter(entry.level for entry in found)
    return page(
        name,
        script,
        images=_PICTURES,
        entries=found,
        slides=len({entry.folder or entry.slide for entry in found}),
        counts=[(level.value, counts[level.value]) for level in _ORDER],
        several={folder: MODELS for folder, answers in by_slide.items() if len(answers) > 1},
        top=Path(),
        stopped=stopped,
    )


_ORDER = (Level.EXPEDITE, Level.NOT_ASSESSED, Level.STANDARD)


def _models(folder: Path, answers: list[Entry]) -> str:
    levels = {entry.level for entry in answers}
    ordered = sorted(answers, key=lambda entry: entry.model)
    return page(MODELS, images=_PICTURES, entries=ordered, folder=folder, differ=len(levels) > 1)
