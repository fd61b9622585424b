"""A DICOM archive that is asked again and again which whole slides it has: QIDO-RS (DICOM PS3.18,
10.6), for an archive tells nobody what comes."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from wsi_ai.errors import IdentityInDoubt, SlideError
from wsi_ai.service.arrivals import Arrival, admit
from wsi_ai.service.routing.facts import gathered, of_header
from wsi_ai.service.watching import book
from wsi_ai.service.watching.book import Entry, WatchState
from wsi_ai.service.watching.settled import Arrivals, refused, submitted
from wsi_ai.service.watching.watcher import WatchPace
from wsi_ai.slides.identity import dicom_claim, merged
from wsi_ai.slides.readers.dicom.case_header import words_of
from wsi_ai.slides.readers.dicom.reader import DAMAGE
from wsi_ai.slides.readers.dicomweb.address import archive_url, series_address
from wsi_ai.slides.readers.dicomweb.archive import Archive
from wsi_ai.slides.readers.dicomweb.instances import NoSlide, headers_of

log = logging.getLogger(__name__)

SOURCE = "dicomweb"
_JSON = "application/dicom+json"
_MOST_BYTES = 1 << 24
_AT_ONCE = 100
_MOST_SERIES = 100_000
_STUDY, _SERIES, _COUNT = "0020000D", "0020000E", "00201209"


@dataclass(slots=True)
class _Seen:
    count: int
    at_s: float
    looks: int = 1
    not_before_s: float = 0.0


@dataclass(slots=True)
class ArchiveWatch:
    """One archive; see ``watcher.FolderWatch``, of which it is the like."""

    address: str
    """``dicomweb://host/base``."""
    arrivals: Arrivals
    pace: WatchPace
    archive: Archive
    days: int = 7
    """Studies of the last days are asked for; of older ones nothing new is expected."""
    clock: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic
    gone: str | None = None
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _known: dict[str, Entry] | None = None

    def step(self) -> int:
        """Ask once.  Returns how many slides came.  Raises OutputError where the database
        refuses."""
        known = self._entries()
        try:
            listed = dict(self._listed())
        except SlideError as error:
            self._is_away(str(error))
            return 0
        self._is_back()
        for address, count in listed.items():
            self._see(address, count)
        return sum(self._take(address, count, known) for address, count in listed.items())

    def _entries(self) -> dict[str, Entry]:
        if self._known is None:
            self._known = book.below(self.arrivals.table.engine, self.address)
        return self._known

    def _listed(self) -> Iterator[tuple[str, int]]:
        """The address and the number of instances of each series.  Raises SlideError."""
        since = datetime.fromtimestamp(self.clock(), UTC) - timedelta(days=self.days)
        asked = {"Modality": "SM", "StudyDate": f"{since:%Y%m%d}-", "includefield": _COUNT,
                 "limit": _AT_ONCE}  # fmt: skip
        for offset in range(0, _MOST_SERIES, _AT_ONCE):
            query = urlencode({**asked, "offset": offset})
            answer = self.archive.get(
                f"{archive_url(self.address)}/series?{query}", _JSON, _MOST_BYTES
            )
            rows = _rows(answer.body)
            yield from (self._series(row) for row in rows)
            if len(rows) < _AT_ONCE:
                return

    def _series(self, row: Mapping[str, Any]) -> tuple[str, int]:
        try:
            study, series = row[_STUDY]["Value"][0], row[_SERIES]["Value"][0]
            count = int(row.get(_COUNT, {}).get("Value", [0])[0])
        except (LookupError, TypeError, ValueError, AttributeError):
            raise SlideError("the archive's list of series cannot be read") from None
        address = f"{self.address}/studies/{study}/series/{series}"
        series_address(address)  # of signs that an address has
        return address, count

    def _see(self, address: str, count: int) -> None:
        seen = self._seen.get(address)
        if seen is None or seen.count != count:
            self._seen[address] = _Seen(count, self.steady())
        else:
            seen.looks += 1

    def _take(self, address: str, count: int, known: dict[str, Entry]) -> int:
        entry, seen = known.get(address), self._seen[address]
        if entry is None or entry.size != count:
            entry = Entry(path=address, size=count, mtime_ns=0, since=self.clock(),
                          state=WatchState.SETTLING)  # fmt: skip
            self._write(entry)
        now_s = self.steady()
        quiet = seen.looks >= self.pace.looks and now_s - seen.at_s >= self.pace.dicom_quiet_s
        if entry.is_over or not quiet or now_s < seen.not_before_s:
            return 0
        came = self._come(entry, patient=now_s - seen.at_s < self.pace.patience_s)
        seen.not_before_s = now_s + self.pace.every_s
        self._write(came)
        return came.state in (WatchState.SUBMITTED, WatchState.UNROUTED)

    def _come(self, entry: Entry, *, patient: bool) -> Entry:
        try:
            arrival = self._arrival(entry)
        except NoSlide as error:
            return refused(entry, str(error))
        except IdentityInDoubt as error:
            return self.arrivals.in_doubt(self._bare(entry), entry, str(error))
        except SlideError as error:
            if patient:
                return replace(entry, reason=str(error))
            arrival = self._bare(entry)  # a worker says so, with a flag
        return submitted(entry, admit(self.arrivals.table, self.arrivals.choose, arrival))

    def _arrival(self, entry: Entry) -> Arrival:
        header = headers_of(self.archive, series_address(entry.path))[0]
        whose = self.arrivals.whose()
        own = {"trust": whose.trust, "network": whose.network or ""}
        try:
            claims = [dicom_claim(words_of(header)), whose.cases.every_slide]
            known = {name: value for name, value in own.items() if value}
            facts = gathered(of_header(header))
        except DAMAGE:
            raise SlideError("the archive's description of the series cannot be read") from None
        return replace(self._bare(entry), case=merged([known, *claims]), facts=facts)

    def _bare(self, entry: Entry) -> Arrival:
        whose = self.arrivals.whose()
        return Arrival(
            trust=whose.trust,
            network=whose.network,
            slide_uri=entry.path,
            source=SOURCE,
            case={},
            facts={},
            same=(str(entry.size),),
        )

    def _is_away(self, why: str) -> None:
        if self.gone is None:
            log.error("a watched archive does not answer: %s; nothing is forgotten", why)
            self._write(self._own(WatchState.GONE, why))
        self.gone = why

    def _is_back(self) -> None:
        own = self._entries().get(self.address)
        if own is None or own.state is not WatchState.FOLDER:
            self._write(self._own(WatchState.FOLDER, None))
        self.gone = None

    def _own(self, state: WatchState, reason: str | None) -> Entry:
        return Entry(path=self.address, size=0, mtime_ns=0, since=self.clock(), state=state,
                     reason=reason)  # fmt: skip

    def _write(self, entry: Entry) -> None:
        book.write(self.arrivals.table.engine, entry, self.clock())
        self._entries()[entry.path] = entry


def _rows(body: bytes) -> list[Mapping[str, Any]]:
    """Raises SlideError."""
    try:
        found = json.loads(body) if body.strip() else []
    except (ValueError, RecursionError):
        raise SlideError("the archive's list of series cannot be read") from None
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise SlideError("the archive's list of series cannot be read")
    return found
