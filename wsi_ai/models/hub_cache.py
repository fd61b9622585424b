"""The folder in which Hugging Face's library keeps what it downloaded.

``models--OWNER--NAME/snapshots/<revision>/`` has a link for each file to ``../../blobs/<digest>``:
https://huggingface.co/docs/huggingface_hub/guides/manage-cache.
"""

import re
from pathlib import Path

_REPOSITORY = re.compile(r"models--(?:[A-Za-z0-9._-]+?--)?([A-Za-z0-9._-]+)")


def repository_of(path: Path) -> Path | None:
    """The repository's folder in such a cache that a snapshot, or a file of it, lies in; ``None``
    elsewhere.  Links are not followed."""
    whole = path.absolute()
    for folder in (whole, *whole.parents):
        if _REPOSITORY.fullmatch(folder.name) and whole.is_relative_to(folder / "snapshots"):
            return folder
    return None


def repository_name(path: Path) -> str | None:
    """What that repository is called, without its owner."""
    folder = repository_of(path)
    match = folder and _REPOSITORY.fullmatch(folder.name)
    return match[1] if match else None


def within(path: Path, folder: Path) -> bool:
    """Whether a file lies in ``folder``, or where its link of a hub's cache leads to: among the
    files of the same repository.  Raises OSError for a name that no file has, or links that go
    round in a circle."""
    try:
        aim = path.resolve()
        repository = repository_of(folder)
        places = [folder.resolve(), *([repository.resolve() / "blobs"] if repository else [])]
    except (RuntimeError, ValueError):
        raise OSError(22, "no name of a file", path.name) from None
    return any(aim.is_relative_to(place) for place in places)
