"""Watched folders: looked at again and again, for no share tells what others write to it."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from wsi_ai.core.wording import counted
from wsi_ai.service.watching.book import (
    Entry,
    WatchState,
    below,
    identity_fields,
    write,
)
from wsi_ai.service.watching.folder_look import Kind, Look, Unit, look_at
from wsi_ai.service.watching.settled import Arrivals

log = logging.getLogger(__name__)

_AGAIN_S = 60.0
_ONCE_MORE = "its second try"


@dataclass(frozen=True, slots=True)
class WatchPace:
    every_s: float = 15.0
    looks: int = 3
    """In a row, that find a file as it was, before it is taken."""
    dicom_quiet_s: float = 60.0
    """A series may grow by another file: nothing says which is the last."""
    patience_s: float = 600.0
    """How long a file that does not open, or of which the table does not say whose it is, may stay
    so before it is taken as it is."""


@dataclass(slots=True)
class _Seen:
    unit: Unit
    at_s: float
    """On a clock that nobody sets."""
    looks: int = 1
    not_before_s: float = 0.0
    """Until then it is not tried to open it again."""


@dataclass(slots=True)
class FolderWatch:
    """One folder.  What was seen of files that settle is in memory, and begins anew with it; what
    was decided is in the database."""

    folder: Path
    arrivals: Arrivals
    pace: WatchPace
    clock: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic
    gone: str | None = None
    """Why the folder is not what it was."""
    _seen: dict[Path, _Seen] = field(default_factory=dict)
    _known: dict[str, Entry] | None = None
    _tried: set[str] = field(default_factory=set)
    """Files that were being opened when this watcher's predecessor ended."""
    _killers: set[str] = field(default_factory=set)
    """Those where it was so twice: they are not opened here any more."""
    _refused: dict[str, int] = field(default_factory=dict)
    """With which turn of the site's table a file was looked at last."""

    def step(self) -> int:
        """Look once.  Returns how many slides came.  Raises OutputError where the database refuses:
        then the next look goes on from here."""
        look = look_at(self.folder)
        self._see(look)
        self.arrivals.whose()  # read anew, where it is another one
        known = self._entries()
        if self._is_gone(look, known) or look is None:
            return 0
        return sum(self._take(unit, known) for unit in look.units)

    def _see(self, look: Look | None) -> None:
        """Also while the database is away."""
        for unit in look.units if look else ():
            seen = self._seen.get(unit.path)
            if seen is None or seen.unit != unit:
                self._seen[unit.path] = _Seen(unit, self.steady())
            else:
                seen.looks += 1

    def _entries(self) -> dict[str, Entry]:
        if self._known is None:
            self._known = below(self.arrivals.table.engine, self.folder)
            died = [e for e in self._known.values() if e.state is WatchState.OPENING]
            self._killers = {entry.path for entry in died if entry.reason == _ONCE_MORE}
            self._tried = {entry.path for entry in died}
        return self._known

    def _is_gone(self, look: Look | None, known: dict[str, Entry]) -> bool:
        """A share that is unmounted leaves an empty folder in its place: nothing of what was known
        is there, and nothing in it is believed."""
        files = {path for path, entry in known.items() if path != str(self.folder)}
        own = known.get(str(self.folder))
        before = self.gone
        self.gone = _why_gone(look, own, files)
        if look is not None and self.gone is None and not _is(own, look):
            self._write(self._own(look, WatchState.FOLDER, None))
        elif self.gone is not None and before is None:
            log.error(
                "share gone: a watched folder is not what it was: %s; nothing is forgotten",
                self.gone,
            )
            self._write(self._own(look, WatchState.GONE, self.gone))
        return self.gone is not None

    def _own(self, look: Look | None, state: WatchState, reason: str | None) -> Entry:
        """What is known of the folder stays known while it is gone."""
        own = self._entries().get(str(self.folder))
        number, device = (own.size, own.mtime_ns) if own else (0, 0)
        if state is WatchState.FOLDER and look is not None:
            number, device = identity_fields(look.identity)
        return Entry(
            path=str(self.folder),
            size=number,
            mtime_ns=device,
            since=self.clock(),
            state=state,
            reason=reason,
        )

    def _write(self, entry: Entry) -> None:
        write(self.arrivals.table.engine, entry, self.clock())
        self._entries()[entry.path] = entry

    def _take(self, unit: Unit, known: dict[str, Entry]) -> int:
        path = str(unit.path)
        entry = known.get(path)
        as_it_was = entry is not None and (entry.size, entry.mtime_ns) == (
            unit.size,
            unit.mtime_ns,
        )
        if entry is not None and as_it_was and entry.is_over and not self._anew(entry):
            return 0
        if not _is_text(path):
            return self._refuse_name(unit, known)
        if entry is None or not as_it_was:
            entry = self._settling(unit)
            self._write(entry)
        return self._come(unit, entry) if self._is_settled(unit) else 0

    def _is_settled(self, unit: Unit) -> bool:
        seen, now_s = self._seen[unit.path], self.steady()
        needed_s = self.pace.dicom_quiet_s if unit.kind is Kind.DICOM else 0.0
        quiet = seen.looks >= self.pace.looks and now_s - seen.at_s >= needed_s
        return quiet and now_s >= seen.not_before_s

    def _anew(self, entry: Entry) -> bool:
        """Whether what was refused may be another thing by now, though the file is the same: the
        site's table changed since, or nobody remembers."""
        turn = self.arrivals.whose.turn
        return entry.state is WatchState.REFUSED and self._refused.get(entry.path) != turn

    def _come(self, unit: Unit, entry: Entry) -> int:
        seen, now_s = self._seen[unit.path], self.steady()
        opens = entry.path not in self._killers
        if opens:
            why = _ONCE_MORE if entry.path in self._tried else None
            self._write(replace(entry, state=WatchState.OPENING, reason=why))
        patient = now_s - seen.at_s < self.pace.patience_s
        came = self.arrivals.come(unit, entry, opens=opens, patient=patient)
        self._write(came)
        self._refused[entry.path] = self.arrivals.whose.turn
        if not came.is_over:
            seen.not_before_s = now_s + min(_AGAIN_S, now_s - seen.at_s)
        return came.state in (WatchState.SUBMITTED, WatchState.UNROUTED)

    def _settling(self, unit: Unit) -> Entry:
        return Entry(
            path=str(unit.path),
            size=unit.size,
            mtime_ns=unit.mtime_ns,
            since=self.clock(),
            state=WatchState.SETTLING,
        )

    def _refuse_name(self, unit: Unit, known: dict[str, Entry]) -> int:
        shown = str(unit.path).encode("utf-8", "backslashreplace").decode()
        if shown not in known:
            why = "its name is no text; rename it"
            entry = replace(self._settling(unit), path=shown, state=WatchState.REFUSED, reason=why)
            self._write(entry)
        return 0


def _is(own: Entry | None, look: Look) -> bool:
    known = None if own is None else (own.size, own.mtime_ns)
    return (
        own is not None
        and own.state is WatchState.FOLDER
        and known == identity_fields(look.identity)
    )


def _why_gone(look: Look | None, own: Entry | None, files: set[str]) -> str | None:
    """Where a folder is another one, but what was known is in it, a share was mounted anew."""
    if look is None:
        return "a watched folder cannot be read"
    if not files or own is None:
        return None
    if any(str(unit.path) in files for unit in look.units):
        return None
    if not look.units:
        return f"a watched folder is empty, and {counted(len(files), 'file')} were known in it"
    if (own.size, own.mtime_ns) != identity_fields(look.identity):
        return "another folder is in a watched one's place, and nothing that was known is in it"
    return None


def _is_text(path: str) -> bool:
    """PostgreSQL, and JSON, keep no others."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
