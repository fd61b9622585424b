"""A slide at an object's address, opened by the readers that open files."""

import hashlib
import json
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from wsi_ai.core.contracts import EncodedSlide, Slide, VouchedSlide
from wsi_ai.core.geometry import Spacing
from wsi_ai.errors import SlideChanged, UnknownFormat
from wsi_ai.slides.readers.far import FarLevel
from wsi_ai.slides.readers.fingerprint import FileState, already_hashed
from wsi_ai.slides.readers.stored import StoredSlide
from wsi_ai.slides.readers.tiff.reader import info_of, read_pyramid
from wsi_ai.slides.stores.address import ObjectAddress, object_address
from wsi_ai.slides.stores.cache import SlideCache
from wsi_ai.slides.stores.objects import Part, objects_of
from wsi_ai.slides.stores.ranges import BytesFile, ObjectBytes
from wsi_ai.slides.stores.staging import Copy, staged
from wsi_ai.slides.stores.store import Store, endpoint_of, open_store

log = logging.getLogger(__name__)
_STARTS = 3
"""Times that a copy is begun, where the object is replaced meanwhile."""


def open_object(path: Path, open_copy: Callable[[Path], Slide]) -> Slide:
    """Copied to the disk, and opened there.  Raises StagingFull where that has no room."""
    address = object_address(path)
    copy = copied(open_store(address), address)
    with ExitStack() as held:
        held.callback(copy.close)
        with already_hashed(copy.files):
            slide = open_copy(copy.path)
        return _held(slide, held.pop_all())


def open_far(path: Path, spacing: Spacing | None, image: str) -> Slide:
    """Opened where it lies: only tiles that are wanted are fetched.

    Raises UnknownFormat where it has to be copied: it is no tiled TIFF file, or its object does not
    say its own SHA-256; else as a reader, and TransportError.
    """
    address = object_address(path)
    store = open_store(address)
    objects = objects_of(store, address)
    if len(objects.parts) != 1 or not objects.parts[0].sha256:
        raise UnknownFormat("its object does not say its own SHA-256")
    return _far(store, objects.parts[0], spacing, image)


def state_of_object(path: Path) -> FileState:
    """Of the versions that are there now.  Raises TransportError, SlideError."""
    address = object_address(path)
    objects = objects_of(open_store(address), address)
    tags = json.dumps([[part.key, part.e_tag, part.size] for part in objects.parts])
    number = int.from_bytes(hashlib.sha256(tags.encode()).digest()[:8])
    changed = max(part.changed.timestamp() for part in objects.parts)
    return number, objects.size, int(changed * 1e9), 0


def copied(store: Store, address: ObjectAddress) -> Copy:
    where = f"{endpoint_of(address)} {address.scheme}://{address.container}"
    cache = SlideCache.from_settings()
    for left in reversed(range(_STARTS)):
        try:
            return staged(store, where, objects_of(store, address), cache)
        except SlideChanged:
            if not left:
                raise
            log.info("an object was replaced while it was copied: it is copied anew")
    raise SlideChanged("the object is replaced again and again; run it again")


def _far(store: Store, part: Part, spacing: Spacing | None, image: str) -> StoredSlide:
    with ExitStack() as opened:
        source = ObjectBytes(store, part)
        opened.callback(source.close)
        file = BytesFile(source, part.size)
        try:
            pyramid = read_pyramid(file, image)  # type: ignore[arg-type]
        finally:
            file.check()
        levels = [FarLevel(tiles.on(source), source) for tiles in pyramid.levels]
        info = info_of(Path(part.name).stem, part.sha256, pyramid, spacing)
        return StoredSlide(info, levels, opened.pop_all().close)


def _held(slide: Slide, held: ExitStack) -> Slide:
    """The same, which lets go of its copy when it is left."""
    return _HeldTiles(slide, held) if isinstance(slide, EncodedSlide) else _Held(slide, held)


class _Held:
    def __init__(self, slide: Slide, held: AbstractContextManager[object]) -> None:
        self._slide, self._held = slide, held
        self.info, self.read = slide.info, slide.read

    def unchanged(self) -> bool:
        """See ``contracts.VouchedSlide``."""
        return not isinstance(self._slide, VouchedSlide) or self._slide.unchanged()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        with self._held:
            self._slide.__exit__(t, e, tb)


class _HeldTiles(_Held):
    def __init__(self, slide: EncodedSlide, held: AbstractContextManager[object]) -> None:
        super().__init__(slide, held)
        self.encoded_level = slide.encoded_level
