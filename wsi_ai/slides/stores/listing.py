"""The slides below a prefix of a bucket, as those of a folder are found: see ``inputs``."""

import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from wsi_ai.errors import InputError, SlideError
from wsi_ai.slides.places import as_written
from wsi_ai.slides.readers.sniff import SUFFIXES, is_picture, is_slide_zarr
from wsi_ai.slides.stores.address import ObjectAddress, object_address
from wsi_ai.slides.stores.objects import Part, listed, series_of, single
from wsi_ai.slides.stores.ranges import BytesFile, ObjectBytes, read_span
from wsi_ai.slides.stores.store import Store, open_store

_TIFF, _DICOM = (".tif", ".tiff"), (".dcm", "")
_ZARR = ("zarr.json", ".zgroup")
_SAYS = (*_ZARR, ".zattrs", ".zarray")
_CURRENT = "/current.json"
"""Beside it lie results, which are no slides: see ``results.bucket``."""
_MOST_SAID_BYTES = 1 << 20


@dataclass(slots=True)
class Below:
    """What was found."""

    slides: list[Path] = field(default_factory=list)
    passed_over: list[Path] = field(default_factory=list)
    is_folder: bool = True
    """False where the address was that of one object."""


def slides_below(place: Path) -> Below:
    """Raises InputError where the address is none, or the store cannot be asked."""
    try:
        address = object_address(place)
        if address.is_web or PurePosixPath(address.key).suffix.lower() in SUFFIXES:
            return Below([place], is_folder=False)
        store = open_store(address)
        if address.key and single(store, address) is not None:
            return Below([place], is_folder=False)
        found = Below()
        _sort(store, address, found)
    except SlideError as error:
        raise InputError(f"{as_written(place)}: {error}") from None
    return found


def _sort(store: Store, address: ObjectAddress, found: Below) -> None:
    zarr = defaultdict[str, list[Part]](list)
    folders = defaultdict[str, list[Part]](list)
    parts = listed(store, address.key, "")
    roots = _zarr_folders(parts)
    results = [part.key.removesuffix(_CURRENT) for part in parts if part.key.endswith(_CURRENT)]
    for part in parts:
        if part.key.startswith(tuple(f"{folder}/" for folder in results)):
            continue
        below = next((r for r in roots if part.key.startswith(f"{r}/")), None)
        if below is not None:
            zarr[below].append(part)
        elif _is_hidden(part):
            found.passed_over.append(address.at(part.key).path())
        else:
            folders[str(PurePosixPath(part.key).parent)].append(part)
    for folder, inside in zarr.items():
        kept = found.slides if _is_slide_zarr(store, folder, inside) else found.passed_over
        kept.append(address.at(folder).path())
    data = _data_folders(folders)
    for folder, inside in folders.items():
        if not any(folder == one or folder.startswith(f"{one}/") for one in data):
            _sort_folder(store, address, folder, inside, found)
    found.slides.sort()


def _zarr_folders(parts: Iterable[Part]) -> list[str]:
    """The outermost ones."""
    holding = sorted(
        str(PurePosixPath(part.key).parent)
        for part in parts
        if PurePosixPath(part.key).name in _ZARR
    )
    roots: list[str] = []
    for folder in holding:
        if not any(folder == root or folder.startswith(f"{root}/") for root in roots):
            roots.append(folder)
    return roots


def _is_hidden(part: Part) -> bool:
    return any(piece.startswith(".") for piece in PurePosixPath(part.name.lstrip("/")).parts)


def _data_folders(folders: Mapping[str, list[Part]]) -> set[str]:
    """Of MIRAX slides: they belong to the file of their name."""
    return {
        str(PurePosixPath(part.key).with_suffix(""))
        for parts in folders.values()
        for part in parts
        if part.key.lower().endswith(".mrxs")
    }


def _sort_folder(
    store: Store, address: ObjectAddress, folder: str, inside: list[Part], found: Below
) -> None:
    series: dict[str, Part] = {}
    dicom, slides = list[Part](), list[Part]()
    for part in inside:
        suffix = PurePosixPath(part.key).suffix.lower()
        if suffix in _DICOM and (of := series_of(store, part)) is not None:
            dicom.append(part)
            if of.images_tissue:
                series.setdefault(of.uid or part.key, part)
        elif suffix in SUFFIXES and not (suffix in _TIFF and _is_picture(store, part)):
            slides.append(part)
        else:
            found.passed_over.append(address.at(part.key).path())
    found.slides += [address.at(part.key).path() for part in slides]
    if not series:
        found.passed_over += [address.at(part.key).path() for part in dicom]
    elif len(series) == 1 and not slides and folder not in ("", "."):
        found.slides.append(address.at(folder).path())
    else:
        found.slides += [address.at(part.key).path() for part in series.values()]


def _is_picture(store: Store, part: Part) -> bool:
    source = ObjectBytes(store, part)
    file = BytesFile(source, part.size)
    try:
        picture = is_picture(file)  # type: ignore[arg-type]
        file.check()
        return picture
    finally:
        source.close()


def _is_slide_zarr(store: Store, folder: str, inside: list[Part]) -> bool:
    """By what its groups and arrays say of themselves."""
    with tempfile.TemporaryDirectory() as scratch:
        for part in _descriptions(folder, inside):
            place = Path(scratch, PurePosixPath(part.key).relative_to(folder))
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(read_span(store, part, 0, part.size))
        return is_slide_zarr(Path(scratch))


def _descriptions(folder: str, inside: list[Part]) -> Iterator[Part]:
    """Of the image and its finest array."""
    depth = len(PurePosixPath(folder).parts)
    for part in inside:
        place = PurePosixPath(part.key)
        if place.name in _SAYS and len(place.parts) <= depth + 2 and part.size <= _MOST_SAID_BYTES:
            yield part
