"""A site's models in one folder, by name and version; needs no network.

``content/<digest>/`` has a model's files as they were added, read-only, named by the SHA-256 over
all of them; ``names/<name>@<version>.json`` says which digest that is, and each file's own.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from wsi_ai.core.cards import CARD_INCOMPLETE, ModelCard
from wsi_ai.core.files import locked, sync, write_whole
from wsi_ai.core.regular_file import open_regular, read_regular
from wsi_ai.errors import ModelError, OutputError
from wsi_ai.models.manifest import load_variants
from wsi_ai.models.signing import SIGNATURE
from wsi_ai.schemas.reading import from_json

Files = dict[str, str]
"""SHA-256 in hex by name."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_RECORD_MOST = 1 << 24
_ASKED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63})(?:@([A-Za-z0-9][A-Za-z0-9.+_-]{0,31}))?")


@dataclass(frozen=True, slots=True)
class Entry:
    """One version of one model in the store."""

    name: str
    version: str
    digest: str
    folder: Path
    files: Files

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class ModelStore:
    """A folder that need not be there yet."""

    place: Path

    def add(self, model: Path) -> Entry:
        """Copy a model's folder in: all of it or nothing.  What is there already stays as it is.

        Raises ModelError where its card or files are not as they should be, or where other content
        has that name and version; OutputError where the disk refuses.
        """
        if load_variants(model)[0].incomplete:
            raise ModelError(f"not kept in the store: {CARD_INCOMPLETE}")
        with self._changing() as aside:
            _copy(model if model.is_dir() else model.parent, aside)
            card = load_variants(aside)[0]  # of the copy: that is what will run
            entry = self._entry(card, digests(aside))
            held = [known for known in self.entries() if str(known) == str(entry)]
            if held and held[0].digest != entry.digest:
                raise ModelError(
                    f"{entry} is in the store with other content; give this one another version"
                )
            if not entry.folder.exists():
                aside.rename(entry.folder)
            self._write_name(entry)
        return entry

    def entries(self) -> list[Entry]:
        """All models, by name and version.  Raises ModelError where the store is damaged."""
        return [self._read(path) for path in sorted(self.place.glob("names/*@*.json"))]

    def find(self, asked: str) -> Entry:
        """By ``NAME`` or ``NAME@VERSION``.  Raises ModelError."""
        match = _ASKED.fullmatch(asked)
        found = [e for e in self.entries() if match and e.name == match[1]]
        if match and match[2]:
            found = [entry for entry in found if entry.version == match[2]]
        if not found:
            raise ModelError(f"no model {asked} in the store; wsi-ai models list shows what is")
        if len(found) > 1:
            versions = ", ".join(str(entry) for entry in found)
            raise ModelError(f"the store has several versions of {asked}; give one: {versions}")
        return found[0]

    def check(self, entry: Entry) -> Path:
        """The folder of a model that is what was added.  Raises ModelError, which names a file
        that is not."""
        now = digests(entry.folder)
        changed = [n for n in {**entry.files, **now} if entry.files.get(n) != now.get(n)]
        if changed or content_digest(now) != entry.digest:
            raise ModelError(
                f"{entry} is not what was added to the store: {(changed or ['its record'])[0]}"
                " changed; remove it and add it again"
            )
        return entry.folder

    def remove(self, entry: Entry) -> None:
        """Raises OutputError."""
        with self._changing():
            self._name_file(entry).unlink(missing_ok=True)
            held = any(other.digest == entry.digest for other in self.entries())
            if not held and not entry.folder.is_symlink():
                shutil.rmtree(entry.folder, ignore_errors=True)

    @contextmanager
    def _changing(self) -> Iterator[Path]:
        """Alone with the store, and where to put together what is new: it is cleared away in the
        end, and what a killed process left there at the beginning."""
        aside = self.place / ".incoming"
        try:
            for name in ("names", "content"):
                (self.place / name).mkdir(parents=True, exist_ok=True)
            with (self.place / ".lock").open("w") as lock, locked(lock):
                shutil.rmtree(aside, ignore_errors=True)
                try:
                    yield aside
                finally:
                    shutil.rmtree(aside, ignore_errors=True)
        except OSError as error:
            raise OutputError(
                f"the model store cannot be changed: {error.strerror or error}"
            ) from None

    def _entry(self, card: ModelCard, files: Files) -> Entry:
        digest = content_digest(files)
        return Entry(card.ref.name, card.ref.version, digest, self._folder(digest), files)

    def _folder(self, digest: str) -> Path:
        return self.place / "content" / digest

    def _name_file(self, entry: Entry) -> Path:
        return self.place / "names" / f"{entry}.json"

    def _write_name(self, entry: Entry) -> None:
        record = json.dumps({"digest": entry.digest, "files": entry.files}, indent=1)
        write_whole(self._name_file(entry), record.encode())

    def _read(self, path: Path) -> Entry:
        name, _, version = path.stem.rpartition("@")
        try:
            record = from_json(read_regular(path, _RECORD_MOST))
            entry = Entry(
                name, version, record["digest"], self._folder(record["digest"]), record["files"]
            )
            sound = _is_sound(entry)
        except (AttributeError, OSError, ValueError, KeyError, TypeError):
            sound = False
        if not sound:
            raise ModelError(f"{path.name} in the model store is damaged; remove that file")
        return entry


def _is_sound(entry: Entry) -> bool:
    """A record is only a file that somebody may have changed: what it names lies in the store."""
    return (
        _ASKED.fullmatch(str(entry)) is not None
        and _DIGEST.fullmatch(entry.digest) is not None
        and all(_DIGEST.fullmatch(digest) for digest in entry.files.values())
        and content_digest(entry.files) == entry.digest
    )


def digests(folder: Path) -> Files:
    """Of every file but the signature, which may change while what is signed does not.

    Raises ModelError for what is neither file nor folder: a link could change without a trace.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ModelError(f"{name} in the model's folder is a link; put the file itself there")
        if path.is_file() and name != SIGNATURE:
            with open_regular(path) as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def content_digest(files: Files) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _copy(source: Path, target: Path) -> None:
    digests(source)
    shutil.copytree(source, target)
    for path in target.rglob("*"):
        if path.is_file():
            path.chmod(0o644 if path.name == SIGNATURE else 0o444)
            sync(path)
