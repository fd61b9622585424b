"""Which slides can be looked at together: those of jobs that are over, by their fingerprint."""

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sqlalchemy import Engine, and_, select

from wsi_ai.delivery.outbox.database import reading
from wsi_ai.delivery.receiver.tables import newest
from wsi_ai.results.written import FLAG, RECORD, as_object
from wsi_ai.schemas.reading import TABLE_BYTES, content_of
from wsi_ai.service.access.who import Role, Who
from wsi_ai.service.database.tables import room_op
from wsi_ai.service.jobs import JobState, job
from wsi_ai.service.rooms import notes
from wsi_ai.service.rooms.notes import Room
from wsi_ai.service.slide_places import NotClear, NotReady, found_file
from wsi_ai.service.viewer.shelf import Entry

SID = re.compile(r"[0-9a-f]{32}([0-9a-f]{32})?")
_SID_LENGTH, _TRUST_LENGTH = 32, 8
_KNOWN_FOR_S, _MISSED_FOR_S, _MOST_KNOWN = 60.0, 2.0, 512
_MOST_JOBS = 50


@dataclass(frozen=True, slots=True)
class FoundSlide:
    """A slide of one trust, and where its file and its results lie."""

    room: Room
    entry: Entry
    origin_px: tuple[int, int] = (0, 0)
    """Where on the glass QuPath counts from."""

    @property
    def sid(self) -> str:
        """As it stands in addresses."""
        return self.room.slide[:_SID_LENGTH]

    @property
    def key(self) -> str:
        """The viewer's own name of it: the same bytes of two trusts have results of their own."""
        trust = sha256(self.room.trust.encode()).hexdigest()
        return self.sid + trust[:_TRUST_LENGTH]


def me(who: Who) -> str:
    """By which a page knows that somebody else has signed in: it sends no note under their name."""
    return sha256(who.subject.encode()).hexdigest()[:16]


def may_annotate(who: Who, room: Room) -> bool:
    """By right, or because the slide was shared with them: a consult is to say something."""
    shared = (room.slide, room.trust) in who.opened
    return shared or who.may(Role.ANNOTATE, room.trust, room.network)


@dataclass(frozen=True, slots=True)
class SlidesOf:
    """All methods raise OutputError where the database refuses."""

    engine: Engine
    _known: OrderedDict[str, tuple[float, Sequence[FoundSlide]]] = field(
        default_factory=OrderedDict, repr=False, compare=False
    )
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def seen_by(self, who: Who, sid: str) -> FoundSlide | None:
        """Where several trusts have the same bytes, that of their own trust comes first."""
        for known_for_s in (_KNOWN_FOR_S, _MISSED_FOR_S):
            rooms = [(found, found.room) for found in self.find(sid, known_for_s)]
            seen = [found for found, it in rooms if who.sees(it.slide, it.trust, it.network)]
            if seen:
                return min(seen, key=lambda one: (one.room.trust != who.trust, one.room.trust))
        return None

    def by_key(self, key: str) -> FoundSlide | None:
        """By the viewer's own name of it."""
        found = self.find(key[:_SID_LENGTH])
        return next((one for one in found if one.key == key), None)

    def find(self, sid: str, known_for_s: float = _KNOWN_FOR_S) -> Sequence[FoundSlide]:
        """Of every trust that has it.  What was found is believed for a while: a slide is hundreds
        of requests, and no index leads from a fingerprint to its job."""
        if not SID.fullmatch(sid):
            return ()
        now = time.monotonic()
        with self._lock:
            at, known = self._known.get(sid, (now - _KNOWN_FOR_S, ()))
        if now - at < (known_for_s if known else _MISSED_FOR_S):
            return known
        found = tuple(self._found(sid))
        with self._lock:
            self._known[sid] = now, found
            self._known.move_to_end(sid)
            while len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        return found

    def _found(self, sid: str) -> Iterator[FoundSlide]:
        """The newest job of each trust speaks."""
        trusts = set[str]()
        for row in self._jobs(sid[:8]):
            if row.trust not in trusts:
                folder = Path(unquote(urlsplit(row.result_uri).path))
                slide = _fingerprint(folder)
                if slide.startswith(sid):
                    trusts.add(row.trust)
                    yield _slide(Room(slide, row.trust, row.network), row, folder)
        for slide, row in self._judged_now(sid):
            if row.trust not in trusts:
                trusts.add(row.trust)
                yield _slide(Room(slide, row.trust, row.network), row, None)

    def _judged_now(self, sid: str) -> Sequence[tuple[str, Any]]:
        """Fingerprint and job of slides whose flag came early: of their results nothing lies
        there yet."""
        case = job.c.case
        same = (
            newest.c.trust == job.c.trust,
            newest.c.accession == case["accession"].as_string(),
            newest.c.slide == case["slide_id"].as_string(),
        )
        here = newest.c.image_sha256.startswith(sid), job.c.state == JobState.RUNNING
        found = select(newest.c.image_sha256, job).join(job, and_(*same)).where(*here)
        with reading(self.engine) as connection:
            rows = connection.execute(found.limit(_MOST_JOBS))
            return [(row.image_sha256, row) for row in rows]

    def _jobs(self, beginning: str) -> Sequence[Any]:
        """Whose results lie in a folder that ends with the beginning of the fingerprint."""
        here = job.c.result_uri.contains(f"-{beginning}/", autoescape=True)
        found = select(job).where(here).order_by(job.c.created.desc()).limit(_MOST_JOBS)
        with reading(self.engine) as connection:
            return connection.execute(found).all()


def purge_notes(engine: Engine) -> int:
    """Notes on slides that no job's results are of any more, so that nobody can open them.  Returns
    of how many slides.  Raises OutputError."""
    rooms = select(room_op.c.room).distinct()
    with reading(engine) as connection:
        keys = connection.scalars(rooms).all()
    slides, known = {key.partition("/")[0] for key in keys}, SlidesOf(engine)
    gone = [slide for slide in slides if not known.find(slide)]
    return sum(bool(notes.purge(engine, slide)) for slide in gone)


class Entries(Mapping[str, Entry]):
    """For a shelf, whose ids are ``FoundSlide.key``; which there are is asked one by one."""

    def __init__(self, slides: SlidesOf) -> None:
        self._slides = slides

    def __getitem__(self, key: str) -> Entry:
        found = self._slides.by_key(key)
        if found is None:
            raise KeyError(key)
        return found.entry

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _slide(room: Room, row: Any, folder: Path | None) -> FoundSlide:
    path = _path(row.slide_uri)
    names = [row.case.get("accession"), row.case.get("slide_id")]
    name = " · ".join(dict.fromkeys(filter(None, names))) or (path.name if path else "Slide")
    if folder is None:
        return FoundSlide(room, Entry(name, path))
    return FoundSlide(room, Entry(name, path, (folder.parent,)), _origin_px(folder))


def _path(address: str) -> Path | None:
    """``None`` where it lies with another system, or is gone."""
    if address.startswith("file:"):
        try:
            return found_file(address)
        except (NotReady, NotClear):
            return None
    return Path(address) if address.startswith("/") else None


def _fingerprint(folder: Path) -> str:
    """Of the slide that results are of; nothing where they cannot be read."""
    try:
        found = as_object(content_of(folder / FLAG, TABLE_BYTES))["slide"]["image_sha256"]
    except (OSError, ValueError, LookupError, TypeError):
        return ""
    return found if isinstance(found, str) else ""


def _origin_px(folder: Path) -> tuple[int, int]:
    try:
        slide = as_object(content_of(folder / RECORD, TABLE_BYTES))["slide"]
        left, top = slide.get("origin_px", (0, 0))
        return int(left), int(top)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return 0, 0
