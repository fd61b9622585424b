"""``wsi-ai watch`` and ``wsi-ai watched``."""

import hashlib
import logging
import platform
import signal
import threading
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy import Engine

from wsi_ai.app import make_folder
from wsi_ai.cli.output import Exit, exit_on_error, log_to, say
from wsi_ai.cli.service_arguments import WatchArguments
from wsi_ai.core.logs import LogSettings
from wsi_ai.core.software import software
from wsi_ai.core.wording import counted
from wsi_ai.delivery.posting import Posting, open_posting
from wsi_ai.errors import InputError, SlideError
from wsi_ai.service.database.opening import existing_service_database
from wsi_ai.service.local_runs import LocalRuns
from wsi_ai.service.opening import models_for, open_queue
from wsi_ai.service.queue import Queue
from wsi_ai.service.watching import book
from wsi_ai.service.watching.archive import ArchiveWatch
from wsi_ai.service.watching.book import WatchState
from wsi_ai.service.watching.rounds import Rounds
from wsi_ai.service.watching.settled import Arrivals
from wsi_ai.service.watching.slides import SiteTable
from wsi_ai.service.watching.watcher import FolderWatch, WatchPace
from wsi_ai.service.work import Worker
from wsi_ai.service.workers import WATCH, Station
from wsi_ai.slides.places import as_written
from wsi_ai.slides.readers.dicomweb.address import archive_url, is_dicomweb
from wsi_ai.slides.readers.dicomweb.archive import Archive

_SHOWN = WatchState.GONE, WatchState.REFUSED, WatchState.SETTLING, WatchState.UNROUTED


@exit_on_error
def run(folders: Sequence[Path], database: str, trust: str, arguments: WatchArguments) -> int:
    """Until SIGTERM or SIGINT."""
    log_to(LogSettings(logging.WARNING))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    site = SiteTable(trust, arguments.network, arguments.cases)
    site()
    choose = models_for(arguments.routing, arguments.model or [], arguments.trusted_keys)
    pace = WatchPace(every_s=arguments.every_s, patience_s=60 * arguments.patience_minutes)
    with open_posting(arguments.send or [], database, arguments.audit_file) as posting:
        queue = open_queue(posting.relay.outbox.engine)
        archives = [_archive(one) for one in folders if is_dicomweb(one)]
        places = _places([one for one in folders if not is_dicomweb(one)], queue.engine)
        if arguments.take_over:
            book.forget_folders(queue.engine, places)
        arrivals = Arrivals(queue, choose, site)
        archive = Archive()
        rounds = Rounds(
            [
                *(FolderWatch(place, arrivals, pace) for place in places),
                *(ArchiveWatch(one, arrivals, pace, archive, arguments.days) for one in archives),
            ],
            stop,
            arguments.every_s,
            _station([*map(str, places), *archives]),
            _undertaker(posting, queue, arguments.out, stop) if arguments.out else None,
        )
        say(f"watching {_counted(places, archives)}; stop with Ctrl-C")
        rounds.run()
        archive.close()
    return Exit.OK


@exit_on_error
def list_watched(database: str) -> int:
    """Exit status 1 if a folder is gone, or a file was refused or has no model."""
    with existing_service_database(database) as engine:
        for entry in book.entries(engine, _SHOWN):
            why = f": {entry.reason}" if entry.reason else ""
            say(f"{entry.state}  {entry.path}{why}")
        counts = book.counts(engine)
    say(", ".join(f"{counts.get(state, 0)} {state}" for state in WatchState))
    bad = WatchState.GONE, WatchState.REFUSED, WatchState.UNROUTED
    return Exit.SOME if any(counts.get(state) for state in bad) else Exit.OK


def _places(folders: Sequence[Path], engine: Engine) -> list[Path]:
    """Where links lead, each once.  Raises InputError for one that is not there, and never was: a
    mistyped one would be silent."""
    places = list(dict.fromkeys(folder.resolve() for folder in folders))
    for place in places:
        if not place.is_dir() and not book.below(engine, place):
            raise InputError(f"there is no such folder: {place}")
        if any(place != other and place.is_relative_to(other) for other in places):
            raise InputError(f"{place} lies in another folder that is watched")
    return places


def _undertaker(
    posting: Posting, queue: Queue, out: Path, stop: threading.Event
) -> Callable[[], bool]:
    """Where no worker is left, what killed them is said from here."""
    make_folder(out)
    return Worker(queue, LocalRuns(out, queue, posting), stop).bury


def _archive(place: Path) -> str:
    """An archive's address, as series of it begin.  Raises InputError."""
    try:
        archive_url(place)
    except SlideError as error:
        raise InputError(str(error)) from None
    return as_written(place).rstrip("/")


def _counted(places: Sequence[Path], archives: Sequence[str]) -> str:
    found = [(len(places), "folder"), (len(archives), "archive")]
    return " and ".join(counted(number, what) for number, what in found if number)


def _station(places: Sequence[str]) -> Station:
    """The same folders on the same machine are the same watcher."""
    digest = hashlib.sha256("\n".join(sorted(places)).encode()).hexdigest()[:8]
    return Station(uuid.uuid4().hex, platform.node()[:100], f"{WATCH}{digest}", software())
