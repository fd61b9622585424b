"""Tiles that were made, on disk: those used last, up to a budget."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wsi_ai.errors import OutputError

BUDGET_BYTES = 2 << 30
_PRUNED_TO = 0.8
_BEGINS, _ENDS = b"\xff\xd8", b"\xff\xd9"
_TOUCHED_AFTER_S = 3600


class TileCache:
    """JPEG tiles by the digest of their slide's bytes, their level, column and row.

    Others on the machine cannot read it: the tiles are of patients.  A disk that refuses costs
    speed and nothing else.  Threads and processes may share it.
    """

    def __init__(self, folder: Path, budget_bytes: int = BUDGET_BYTES) -> None:
        """Raises OutputError where the folder is somebody else's."""
        self._folder, self._budget = folder, budget_bytes
        self._lock = threading.Lock()
        self._held: int | None = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            state = folder.stat()
        except OSError as error:
            raise OutputError(f"the folder of made tiles: {error.strerror}") from None
        if state.st_uid != os.geteuid():
            raise OutputError("the folder of made tiles belongs to somebody else")
        folder.chmod(0o700)

    def get(self, fingerprint: str, name: str) -> bytes | None:
        """``None`` where there is none, or what is there is no whole tile."""
        path = self._folder / fingerprint[:32] / name
        try:
            data = path.read_bytes()
            if data.startswith(_BEGINS) and data.endswith(_ENDS):
                self._touch(path)
                return data
        except OSError:
            pass
        return None

    def put(self, fingerprint: str, name: str, data: bytes) -> None:
        path = self._folder / fingerprint[:32] / name
        aside = path.with_name(f".{name}.{os.getpid()}.{threading.get_ident()}")
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, exist_ok=True)
            aside.write_bytes(data)
            aside.replace(path)
            self._grown(len(data))

    def _touch(self, path: Path) -> None:
        """The time of the last use, to the hour."""
        state = path.stat()
        if state.st_mtime < time.time() - _TOUCHED_AFTER_S:
            os.utime(path)

    def _grown(self, size: int) -> None:
        with self._lock:
            if self._held is None:
                self._held = sum(state.st_size for _, state in self._files())
            else:
                self._held += size
            if self._held > self._budget:
                self._held = self._pruned()

    def _pruned(self) -> int:
        """Bytes that are left."""
        files = sorted(self._files(), key=lambda one: one[1].st_mtime_ns)
        held = sum(state.st_size for _, state in files)
        for path, state in files:
            if held <= self._budget * _PRUNED_TO:
                break
            with suppress(OSError):
                path.unlink()
            held -= state.st_size
        return held

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self._folder.glob("*/*"):
            with suppress(OSError):
                yield path, path.stat()


class Once:
    """One thread at a time makes what has one name; the others wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._making: dict[str, tuple[threading.Lock, int]] = {}

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        with self._lock:
            own, waiting = self._making.get(name, (threading.Lock(), 0))
            self._making[name] = own, waiting + 1
        try:
            with own:
                yield
        finally:
            with self._lock:
                own, waiting = self._making[name]
                if waiting == 1:
                    del self._making[name]
                else:
                    self._making[name] = own, waiting - 1
