"""Whether a slide's files are still those that were hashed."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from wsi_ai.core.plugins import needs_extra
from wsi_ai.errors import SlideError
from wsi_ai.slides.readers.dicom.is_dicom import is_dicom
from wsi_ai.slides.readers.fingerprint import FileState, state_of
from wsi_ai.slides.stores.address import is_object


def file_states(path: Path) -> Mapping[Path, FileState]:
    """Of every file of the slide that can be seen, or of its objects in a store; nothing for an
    archive.  Raises SlideError where a store cannot be asked."""
    if is_object(path):
        with needs_extra("s3", SlideError):
            from wsi_ai.slides.stores.opening import state_of_object
        return {path: state_of_object(path)}
    found = dict[Path, FileState]()
    for file in _files(path):
        try:
            seen = file.stat()
        except (OSError, ValueError):
            continue
        found[file] = state_of(seen)
    return found


def _files(path: Path) -> Iterator[Path]:
    yield path
    try:
        if path.is_dir():
            yield from _below(path)
        elif path.suffix.lower() in (".mrxs", ".vms", ".vmu"):
            data = path.with_suffix("")
            yield from _below(data if data.is_dir() else path.parent)
        elif is_dicom(path):
            yield from (file for file in path.parent.iterdir() if file.is_file())
    except OSError:
        return


def _below(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)
