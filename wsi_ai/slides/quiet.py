"""Files that are still being copied into a folder come to rest before they are judged."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from wsi_ai.core.quiet import QUIET_S

_Look = tuple[tuple[str, int, int], ...]
"""Each file's name, size and time of its last change in ns."""


def at_rest(
    slides: Iterable[Path],
    quiet_s: float = QUIET_S,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Sequence[Path], Sequence[Path]]:
    """Those whose files were left alone for ``quiet_s`` seconds, and those that still change.

    Waits once, and only where a file was changed lately: a clock that goes wrong costs a wait, and
    never lets a growing file through.
    """
    slides = list(slides)
    if quiet_s <= 0:
        return slides, []
    first = {slide: _look(slide) for slide in slides}
    young = [slide for slide in slides if not _is_old(first[slide], now(), quiet_s)]
    if young:
        sleep(quiet_s)
    growing = {slide for slide in young if _look(slide) != first[slide]}
    return [s for s in slides if s not in growing], [s for s in slides if s in growing]


def _is_old(look: _Look, now_s: float, quiet_s: float) -> bool:
    return all(quiet_s <= now_s - changed_ns / 1e9 for _, _, changed_ns in look)


def _look(slide: Path) -> _Look:
    """Of one that cannot be looked at nothing is known: it is judged, and says so itself."""
    try:
        files = sorted(slide.rglob("*")) if slide.is_dir() else [slide]
        seen = [(str(file), file.stat()) for file in files]
    except (OSError, ValueError):
        return ()
    return tuple((name, stat.st_size, stat.st_ctime_ns) for name, stat in seen)
