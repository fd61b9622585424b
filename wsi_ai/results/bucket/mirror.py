"""A folder on the disk that stands for a place in a store.

Results are made in the folder as ever.  What counts is in the store: it is looked at before a slide
is judged, and what was judged is sent there whole.
"""

import hashlib
import json
import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from uuid import uuid4

import obstore

from wsi_ai.core.environment import cache_folder, from_environment
from wsi_ai.core.files import write_whole
from wsi_ai.errors import OutputError, ResultError, disk_errors
from wsi_ai.results.bucket.current import NAME, Current
from wsi_ai.results.bucket.objects import (
    Damaged,
    check_bucket,
    current_of,
    make_current,
    put_file,
    results_store,
    sweep,
    take_file,
)
from wsi_ai.results.folder import claimed, fresh_folder, hidden
from wsi_ai.results.listing import slide_stem
from wsi_ai.schemas.reading import Unreadable, from_json
from wsi_ai.slides.stores.address import ObjectAddress, object_address
from wsi_ai.slides.stores.store import Store, endpoint_of, open_store

log = logging.getLogger(__name__)
_SCRATCH = "WSI_AI_SCRATCH"
_AT_ONCE = 8
_TOP, _RECORDS = ("*.html", "*.csv", "*.md", "*.groovy"), 3
"""Of a run, for people: the last one to end writes them, and the newest records."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """See ``published.Published``."""

    address: ObjectAddress
    """Of the prefix that all results are below."""
    local: Path

    def check(self) -> None:
        """That results can go there, safely.  Raises OutputError."""
        check_bucket(self.store(), self.address.key)

    def fetch(self, folder: Path) -> None:
        store, place = self.store(), self._place(folder)
        try:
            found = current_of(store, place)
        except ResultError as error:
            raise OutputError(str(error)) from None
        note = _Note.of(folder)
        with disk_errors():
            if found is None:
                if note is not None:  # it counted once, and was taken away
                    shutil.rmtree(folder, ignore_errors=True)
                    _note_path(folder).unlink(missing_ok=True)
                return
            current, tag = found
            if note is None or note.tag != tag or not (folder.is_dir() or note.damaged):
                _take(store, place, current, folder).write(folder, tag)

    def look(self, folder: Path) -> None:
        with claimed(folder):
            self.fetch(folder)

    def look_for(self, out: Path, stem: str, model: str) -> None:
        for slide in self._folders(self.address.key):
            if slide_stem(Path(slide)) == stem:
                self.look(out / slide / model)

    def look_at_all(self) -> None:
        """Raises OutputError."""
        places = [
            self.local / slide / model
            for slide in self._folders(self.address.key)
            for model in self._folders(_join(self.address.key, slide))
        ]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(self.look, places))

    def publish(self, folder: Path) -> None:
        note, digest = _Note.of(folder), _digest(folder)
        if note is not None and note.digest == digest:
            return
        store, place, run = self.store(), self._place(folder), uuid4()
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        names = [path.relative_to(folder).as_posix() for path in files]
        with disk_errors(), ThreadPoolExecutor(_AT_ONCE) as pool:
            keys = [f"{place}/{run}/{name}" for name in names]
            written = list(pool.map(lambda key, path: put_file(store, key, path), keys, files))
        current = Current(run, dict(zip(names, written, strict=True)))
        tag = make_current(store, place, current, note.tag if note else None)
        _Note(tag, digest).write(folder, tag)
        sweep(store, place, current)

    def publish_pages(self, out: Path) -> None:
        store = self.store()
        records = sorted(out.glob("runs/*.json"))[-_RECORDS:]
        for path in [*records, *(path for pattern in _TOP for path in sorted(out.glob(pattern)))]:
            name = path.relative_to(out).as_posix()
            put_file(store, _join(self.address.key, name), path)

    def shown(self, folder: Path) -> str:
        return str(self.address.at(self._place(folder)))

    def store(self) -> Store:
        """Raises OutputError."""
        with results_store():
            return open_store(self.address)

    def _place(self, folder: Path) -> str:
        return _join(self.address.key, folder.relative_to(self.local).as_posix())

    def _folders(self, place: str) -> list[str]:
        with results_store():
            found = obstore.list_with_delimiter(self.store(), f"{place}/" if place else "")
        names = [PurePosixPath(one).name for one in found["common_prefixes"]]
        return [name for name in names if name not in ("", ".", "..", "runs")]


def mirror_of(place: Path) -> Mirror:
    """The folder is this machine's own, one for each address.  Raises OutputError."""
    with results_store():
        address = object_address(place)
    if address.is_web:
        raise OutputError("results cannot be written behind https://; give s3://BUCKET/PREFIX")
    base = Path(from_environment(_SCRATCH) or cache_folder() / "results")
    name = hashlib.sha256(f"{endpoint_of(address)} {address}".encode()).hexdigest()[:24]
    return Mirror(address, base.absolute() / name)


def mirrored_folder(mirror: Mirror) -> Path:
    """Of one slide by one model, where that is what the address names; else of all.  Raises
    OutputError."""
    place = mirror.address
    if _is_one_answer(mirror):
        above = PurePosixPath(place.key).parent.parent
        whole = mirror_of(place.at("" if str(above) == "." else str(above)).path())
        folder = whole.local / PurePosixPath(place.key).relative_to(above)
        whole.look(folder)
        return folder
    mirror.look_at_all()
    return mirror.local


def _is_one_answer(mirror: Mirror) -> bool:
    """Whether the address is that of one slide by one model.  Raises OutputError."""
    try:
        return current_of(mirror.store(), mirror.address.key) is not None
    except ResultError:
        return True


@dataclass(frozen=True, slots=True)
class _Note:
    """What the folder held when it and the store were last the same."""

    tag: str
    digest: str
    """Empty where what is in the store is damaged."""

    @property
    def damaged(self) -> bool:
        return not self.digest

    @classmethod
    def of(cls, folder: Path) -> "_Note | None":
        try:
            said = from_json(_note_path(folder).read_bytes())
            return cls(str(said["tag"]), str(said["digest"]))
        except (OSError, Unreadable, LookupError, TypeError):
            return None

    def write(self, folder: Path, tag: str) -> None:
        said = {"tag": tag, "digest": self.digest}
        with disk_errors():
            write_whole(_note_path(folder), json.dumps(said).encode())


def _take(store: Store, place: str, current: Current, folder: Path) -> _Note:
    """What counts, into the folder; one object that is damaged, and there is nothing."""
    try:
        with fresh_folder(folder) as aside, ThreadPoolExecutor(_AT_ONCE) as pool:
            jobs = [
                pool.submit(take_file, store, f"{place}/{current.run}/{name}", told, aside / name)
                for name, told in current.objects.items()
            ]
            for job in jobs:
                job.result()
    except Damaged:
        shutil.rmtree(folder, ignore_errors=True)
        log.warning("results in the store are damaged; the slide is judged anew")
        return _Note("", "")
    return _Note("", _digest(folder))


def _digest(folder: Path) -> str:
    whole = hashlib.sha256()
    for name in ("flag.json", "run.json"):
        path = folder / name
        whole.update(path.read_bytes() if path.is_file() else b"")
    return whole.hexdigest()


def _note_path(folder: Path) -> Path:
    return hidden(folder, NAME)


def _join(prefix: str, name: str) -> str:
    return f"{prefix}/{name}" if prefix else name
