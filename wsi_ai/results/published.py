"""Where results count: in their folder on the disk, or in a store that the folder stands for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from wsi_ai.core.plugins import needs_extra
from wsi_ai.errors import OutputError
from wsi_ai.slides.stores.address import is_object


class Published(Protocol):
    """Threads and processes share it; a slide's folder is used by one at a time."""

    def fetch(self, folder: Path) -> None:
        """Bring the folder of a slide's results to what counts.  Only with the place claimed.
        Raises OutputError."""
        ...

    def look(self, folder: Path) -> None:
        """The same without a claim.  Raises OutputError, Busy."""
        ...

    def look_for(self, out: Path, stem: str, model: str) -> None:
        """The same of all slides of this name.  Raises OutputError, Busy."""
        ...

    def publish(self, folder: Path) -> None:
        """Make what the folder holds count.  Raises OutputError, also where another run was
        first: then that one's results count."""
        ...

    def publish_pages(self, out: Path) -> None:
        """What a run leaves beside slides' folders, for people.  Raises OutputError."""
        ...

    def shown(self, folder: Path) -> str:
        """Where a person finds the folder."""
        ...


@dataclass(frozen=True, slots=True)
class OnDisk:
    """The folders themselves count."""

    def fetch(self, folder: Path) -> None:
        return

    def look(self, folder: Path) -> None:
        return

    def look_for(self, out: Path, stem: str, model: str) -> None:
        return

    def publish(self, folder: Path) -> None:
        return

    def publish_pages(self, out: Path) -> None:
        return

    def shown(self, folder: Path) -> str:
        return str(folder)


@dataclass(frozen=True, slots=True)
class ResultsPlace:
    """A folder to work in, and what makes its results count."""

    folder: Path
    published: Published


def results_place(out: Path) -> ResultsPlace:
    """Of a folder, or of an address such as ``s3://bucket/prefix``, whose bucket is tried.  Raises
    OutputError."""
    if not is_object(out):
        return ResultsPlace(out, OnDisk())
    with needs_extra("s3", OutputError):
        from wsi_ai.results.bucket.mirror import mirror_of
    mirror = mirror_of(out)
    mirror.check()
    return ResultsPlace(mirror.local, mirror)


def local_results(place: Path) -> Path:
    """A folder with the results that count there: itself, or what an address holds, fetched.
    Raises OutputError."""
    if not is_object(place):
        return place
    with needs_extra("s3", OutputError):
        from wsi_ai.results.bucket.mirror import mirror_of, mirrored_folder
    return mirrored_folder(mirror_of(place))
