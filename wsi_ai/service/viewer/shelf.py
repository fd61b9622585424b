"""Which slides are shown, and those of them that are open."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from wsi_ai.core.contracts import Slide
from wsi_ai.core.values import SlideInfo
from wsi_ai.errors import SlideError
from wsi_ai.run.unchanged import file_states
from wsi_ai.service.viewer.cache import TileCache
from wsi_ai.service.viewer.pyramid import ServedLevel, served_levels
from wsi_ai.service.viewer.runs import Results, model_folders, open_results

_MOST_OPEN = 8
_LOOKED_AT_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A slide by name, and the folders of results that may be its own."""

    name: str
    """It may be personal data: it goes to the page, and into no address and no log."""
    path: Path | None
    """``None`` where results are there and the slide's file was not found."""
    results: tuple[Path, ...] = ()
    """``OUT/<slide>-<8 of its SHA-256>``."""


class OpenEntry:
    """A slide that is open, as it is sent."""

    def __init__(self, slide: Slide, path: Path, cache: TileCache, found: Sequence[Path]) -> None:
        self.slide, self.path = slide, path
        self.levels: tuple[ServedLevel, ...] = served_levels(slide, cache)
        self._found, self._states = found, file_states(path)
        self._looked = time.monotonic()
        self._results: Mapping[str, Results] = {}

    @property
    def info(self) -> SlideInfo:
        return self.slide.info

    @property
    def key(self) -> str:
        """Stands in the address of every picture, so that no browser shows one of other bytes."""
        return self.info.fingerprint[:16]

    def read_results(self) -> list[Results]:
        """Of each model, those of these bytes; of other bytes, that they are not shown."""
        folders = [model for folder in self._found for model in model_folders(folder)]
        found = [open_results(folder, self.info) for folder in folders]
        self._results = {one.key: one for one in found if not one.refused}
        return found

    def results(self, key: str) -> Results:
        """Those that the page was given.  Raises LookupError where they are no longer there, or
        others are in their place."""
        if key not in self._results:
            self.read_results()
        found = self._results[key]
        if not found.are_current():
            raise LookupError(key)
        return found

    def is_current(self) -> bool:
        """Whether the file is the one that was opened; looked at once a second."""
        if time.monotonic() - self._looked > _LOOKED_AT_AFTER_S:
            self._looked = time.monotonic()
            return file_states(self.path) == self._states
        return True


Open = Callable[[Path], Slide]


@dataclass(slots=True, eq=False)
class _Held:
    entry: OpenEntry
    users: int = 0


@dataclass(slots=True, eq=False)
class Shelf:
    """Opens slides when they are asked for, and closes those that were not for longest."""

    entries: Mapping[str, Entry]
    """By an id that names nobody."""
    cache: TileCache
    open_slide: Open
    results: tuple[Path, ...] = ()
    """All folders of slides' results, where one may be known by its bytes alone."""
    _held: OrderedDict[str, _Held] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _opening: dict[str, threading.Lock] = field(default_factory=dict)

    @contextmanager
    def opened(self, slide: str) -> Iterator[OpenEntry]:
        """Raises LookupError where there is none, SlideError where it does not open."""
        entry = self.entries[slide]
        if entry.path is None:
            raise SlideError("the slide's file was not found; name it, or its folder: --slides")
        with self._lock:
            own = self._opening.setdefault(slide, threading.Lock())
        with own:
            held = self._take(slide) or self._open(slide, entry, entry.path)
        try:
            yield held.entry
        finally:
            self._give_back(held)

    def close(self) -> None:
        with self._lock:
            held = list(self._held.values())
            self._held.clear()
        for one in held:
            one.entry.slide.__exit__(None, None, None)

    def _take(self, slide: str) -> _Held | None:
        with self._lock:
            held = self._held.get(slide)
            if held is None:
                return None
            if not held.entry.is_current():
                del self._held[slide]
                self._close_unused([held])
                return None
            held.users += 1
            self._held.move_to_end(slide)
            return held

    def _open(self, slide: str, entry: Entry, path: Path) -> _Held:
        opened = self.open_slide(path)
        digest = opened.info.fingerprint[:8]
        others = [one for one in self.results if one.name.endswith(f"-{digest}")]
        folders = dict.fromkeys((*entry.results, *others))
        held = _Held(OpenEntry(opened, path, self.cache, list(folders)), 1)
        with self._lock:
            self._held[slide] = held
            idle = [name for name, one in self._held.items() if one.users == 0]
            let_go = idle[: max(0, len(self._held) - _MOST_OPEN)]
            self._close_unused([self._held.pop(name) for name in let_go])
        return held

    def _give_back(self, held: _Held) -> None:
        with self._lock:
            held.users -= 1
            if held.users == 0 and held not in self._held.values():
                held.entry.slide.__exit__(None, None, None)

    @staticmethod
    def _close_unused(held: Sequence[_Held]) -> None:
        for one in held:
            if one.users == 0:
                one.entry.slide.__exit__(None, None, None)
