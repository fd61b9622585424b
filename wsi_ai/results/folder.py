"""A folder of results appears whole or not at all."""

import ctypes
import json
import logging
import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.files import lock_at_once, sync
from wsi_ai.core.values import SlideInfo
from wsi_ai.errors import Busy, OutputError, disk_errors
from wsi_ai.slides.places import as_written, is_address

log = logging.getLogger(__name__)
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_LONGEST_STEM, _MOST_BYTES = 120, 240


@contextmanager
def claimed(target: Path) -> Iterator[None]:
    """Claim ``target``'s place, so that two runs cannot work on it at once; a killed run's claim
    ends with it.  Raises Busy, or OutputError where the disk refuses."""
    lock = hidden(target, "lock")
    with disk_errors():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle = lock_at_once(lock)
        except BlockingIOError:
            raise Busy("another run is at work on this slide") from None
    try:
        _recover(target)
        yield
    finally:
        lock.unlink()
        os.close(handle)


class Places:
    """The places that one run works on: a slide that comes to the same place as another, because it
    has the same name and the same content, waits until that one is done."""

    def __init__(self, fetch: Callable[[Path], None] = lambda _: None) -> None:
        """``fetch`` brings a place to what counts, before it is looked at."""
        self._fetch = fetch
        self._taken: set[Path] = set()
        self._unplaced: set[Path] = set()
        self._change = threading.Condition()

    @contextmanager
    def claimed(self, target: Path) -> Iterator[None]:
        """``claimed``, after waiting for one's turn."""
        with self._change:
            self._change.wait_for(lambda: target not in self._taken)
            self._taken.add(target)
        try:
            with claimed(target):
                self._fetch(target)
                yield
        finally:
            with self._change:
                self._taken.remove(target)
                self._change.notify_all()

    def await_name(self, name: Path) -> None:
        """Until no other slide of this name is without a place: whoever comes later must not take
        that one's place before it knows it."""
        with self._change:
            self._change.wait_for(lambda: name not in self._unplaced)

    @contextmanager
    def unplaced(self, name: Path) -> Iterator[None]:
        """A slide of this name is under way, and its place is not known yet."""
        with self._change:
            self._unplaced.add(name)
        try:
            yield
        finally:
            with self._change:
                self._unplaced.remove(name)
                self._change.notify_all()


@contextmanager
def fresh_folder(target: Path) -> Iterator[Path]:
    """An empty folder next to ``target``, which takes its name and place when the block ends well.

    A crash leaves ``target`` either as it was or as it should be; what lies aside is cleared away
    the next time.  One process at a time.  Raises OutputError where the disk refuses.
    """
    aside = hidden(target, "new")
    try:
        with disk_errors():
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            yield aside
            _flush(aside)
            _replace(aside, target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def hidden(target: Path, suffix: str) -> Path:
    """Where ``target``'s files are while it is not finished."""
    return target.with_name(f".{target.name}.{suffix}")


def _recover(target: Path) -> None:
    """Bring the old folder back where a crash came between the two renames of ``_replace``."""
    old = hidden(target, "old")
    if old.exists() and not target.exists():
        old.rename(target)


def _replace(new: Path, target: Path) -> None:
    if not target.exists():
        new.rename(target)
    elif _exchange(new, target):
        shutil.rmtree(new)
    else:
        old = hidden(target, "old")
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
        new.rename(target)
        shutil.rmtree(old)
    sync(target.parent)


def _exchange(a: Path, b: Path) -> bool:
    """Swap two folders in one step (renameat2(2)); false where system or disk cannot."""
    call = getattr(ctypes.CDLL(None), "renameat2", None)
    if call is None:
        return False
    done = call(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE)
    return bool(done == 0)


def _flush(folder: Path) -> None:
    """Written through to the disk, so that a power cut cannot leave the name without the
    content."""
    for place, _, names in os.walk(folder):
        for name in names:
            sync(Path(place, name))
        sync(Path(place))


def make_folder(out: Path) -> None:
    """Make the folder for results.  Raises OutputError where nothing can be written."""
    _refuse_address(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot write to {out}: {error.strerror}; choose another --out"
        ) from None
    if not os.access(out, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write to {out}: no permission; choose another --out")
    if out.stat().st_mode & stat.S_IWOTH:
        log.warning("everybody can write to the folder of results: chmod o-w %s", out)


def check_folder(out: Path) -> None:
    """That results can go there, without making it.  Raises OutputError."""
    _refuse_address(out)
    there = next(place for place in (out, *out.absolute().parents) if place.exists())
    if not there.is_dir():
        raise OutputError(f"cannot write to {out}: {there} is no folder; choose another --out")
    if not os.access(there, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write to {out}: no permission; choose another --out")


def _refuse_address(out: Path) -> None:
    if is_address(out):
        raise OutputError(
            f"these results go to a folder on a disk, and {as_written(out)} is an address"
        )


def folder_for(out: Path, slide: SlideInfo, card: ModelCard) -> Path:
    """Where the results of this slide by this model go."""
    return result_folder(out, slide.slide_id, slide.fingerprint, card.ref.label)


def result_folder(out: Path, slide_stem: str, fingerprint: str, model: str) -> Path:
    """``OUT/<slide stem>-<fingerprint 8>/<model>``."""
    return out / f"{_cut(slide_stem[:_LONGEST_STEM])}-{fingerprint[:8]}" / model


def _cut(stem: str) -> str:
    """At most so many bytes, as a file system counts, and whole letters."""
    return os.fsencode(stem)[:_MOST_BYTES].decode("utf-8", "ignore")


def of_any_bytes(place: Path) -> Iterator[Path]:
    """The places of all slides of this name by this model, whatever their bytes."""
    out, name = place.parent.parent, place.parent.name
    for folder in out.iterdir() if out.is_dir() else ():
        if folder.name.startswith(name[:-8]) and len(folder.name) == len(name):
            yield folder / place.name


def has_begun(place: Path) -> bool:
    """Whether there are results, or what a run that is over has kept."""
    return any(path.exists() for path in (place, *(hidden(place, s) for s in ("kept", "old"))))


def may_be_taken(name: Path) -> bool:
    """Whether a slide of this name was begun before, or is another run's now: by these bytes, or by
    others."""
    places = of_any_bytes(name)
    return any(has_begun(place) or hidden(place, "lock").exists() for place in places)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=2, ensure_ascii=False)
        file.write("\n")
