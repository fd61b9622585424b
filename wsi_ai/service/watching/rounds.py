"""A watcher: its folders, one after another, until it is stopped."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wsi_ai.errors import OutputError
from wsi_ai.service import workers
from wsi_ai.service.watching.archive import ArchiveWatch
from wsi_ai.service.watching.watcher import FolderWatch
from wsi_ai.service.workers import Doing, Station

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rounds:
    """Killed at any moment, it has lost nothing: what is in the folders is still there."""

    folders: Sequence[FolderWatch | ArchiveWatch]
    stop: threading.Event
    every_s: float
    station: Station
    dead: Callable[[], bool] | None = None
    """Says of one job that it is dead; false where there was none.  ``None``: a worker does it."""

    def run(self) -> None:
        while not self.stop.is_set():
            self.step()
            self.stop.wait(self.every_s)
        table = self.folders[0].arrivals.table
        try:
            workers.leave(table.engine, self.station.worker_id, table.clock())
        except OutputError as error:
            log.error("it could not be said that this watcher ended: %s", error)  # noqa: TRY400

    def step(self) -> int:
        """Look at every folder once.  Returns how many slides came."""
        came = 0
        for folder in self.folders:
            try:
                came += folder.step()
            except OutputError as error:
                log.error("what came is not written down yet: %s", error)  # noqa: TRY400
        try:
            self._beat()
            while self.dead is not None and self.dead():
                pass
        except OutputError as error:
            log.error("the queue cannot be used: %s", error)  # noqa: TRY400
        return came

    def _beat(self) -> None:
        table = self.folders[0].arrivals.table
        if workers.beat(table.engine, self.station, Doing(), table.clock()):
            self.stop.set()
