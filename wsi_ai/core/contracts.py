"""What a plug-in can supply.  Each contract has a test suite in ``wsi_ai.testing``."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.flags import Standing
from wsi_ai.core.geometry import Size
from wsi_ai.core.values import Encoding, Predictions, SlideInfo, SlideScores, TileBatch, TilePlan
from wsi_ai.errors import TileUnreadable


class Slide(Protocol):
    """An open slide.  ``read`` may be called from several threads at once."""

    @property
    def info(self) -> SlideInfo: ...

    def read(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """uint8 RGB shaped (height, width, 3): ``width`` x ``height`` pixels of ``level`` whose
        corner is the level-0 pixel (x, y).  What lies outside the slide, or was never scanned, is
        white.

        Raises TileUnreadable where the stored pixels cannot be decoded; later reads elsewhere
        still work.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None: ...


class EncodedLevel(Protocol):
    """One level of a slide as its file stores it: a grid of compressed tiles, none overlapping."""

    @property
    def size(self) -> Size:
        """The size of the stored part, in the level's own pixels.  It is the whole level, unless
        only a part of the glass was scanned."""
        ...

    @property
    def corner(self) -> tuple[int, int]:
        """x and y on the level of the first tile's corner; everything outside the stored part is
        white."""
        ...

    @property
    def encoding(self) -> Encoding: ...

    def encoded(self, col: int, row: int) -> bytes | None:
        """One tile, complete in itself; ``None`` where the format says that nothing was scanned.

        May be called from several threads at once.  Raises TileUnreadable.
        """
        ...


@runtime_checkable
class LevelInBlocks(EncodedLevel, Protocol):
    """A level that lies so far away that tiles are to be asked for many at a time."""

    def encoded_many(self, tiles: Sequence[tuple[int, int]]) -> list[bytes | TileUnreadable | None]:
        """As ``encoded``, of columns and rows; an unreadable tile does not hold back the others.

        Raises TransportError where the store fails.
        """
        ...


@runtime_checkable
class EncodedSlide(Slide, Protocol):
    """A slide that also hands out its tiles undecoded, so that each is decoded only once."""

    def encoded_level(self, level: int) -> EncodedLevel: ...


@runtime_checkable
class VouchedSlide(Slide, Protocol):
    """A slide that is read through files that stay open, so that it can vouch for its fingerprint
    whatever has become of the name."""

    def unchanged(self) -> bool:
        """Whether the bytes behind its open files are still those of ``info.fingerprint``; reads
        them again where a file was written to.  Raises SlideError."""
        ...


class TileSource(Protocol):
    """Reads a plan, beginning with tile ``start``.  A batch's pixels belong to the caller until it
    takes the next batch.  Each batch holds those of the next ``batch_size`` tiles of the plan that
    could be read; it is empty where none could."""

    @property
    def batch_size(self) -> int: ...

    @property
    def description(self) -> str:
        """Where tiles are decoded, for the record: the pixels of two sources may differ."""
        ...

    def __call__(self, slide: Slide, plan: TilePlan, start: int) -> Iterator[TileBatch]: ...


class Runtime(Protocol):
    """Runs one model.  Lazy: it takes a batch only when it has room for one."""

    @property
    def card(self) -> ModelCard: ...

    @property
    def batch_size(self) -> int:
        """Number of tiles that it wants at once."""
        ...

    @property
    def description(self) -> str:
        """Library, version, device and precision that are really used, for example ``onnxruntime
        1.32.0/cpu/fp32``."""
        ...

    def predict(self, batches: Iterable[TileBatch]) -> Iterator[Predictions]:
        """One ``Predictions`` for each batch, in order.  Raises DeviceError."""
        ...


@runtime_checkable
class RuntimeWithSource(Runtime, Protocol):
    """A runtime that knows how tiles reach it fastest: through memory that its device copies from,
    or decoded on the device itself."""

    def source(self, threads: int) -> TileSource:
        """A source for batches of its own size.  ``threads`` is the number of threads that read."""
        ...


@dataclass(frozen=True, slots=True)
class Copy:
    """One way between host and device."""

    byte_count: int
    run: Callable[[], None]
    """Copies once, and returns when all of it is there."""


@dataclass(frozen=True, slots=True)
class Copies:
    """A batch's pixels to the device and its outputs back, and a large block on the same ways."""

    to_device: Copy
    to_host: Copy
    large_to_device: Copy
    large_to_host: Copy


@runtime_checkable
class RuntimeOnDevice(Runtime, Protocol):
    """A runtime whose device has memory of its own."""

    def copies(self) -> AbstractContextManager[Copies]:
        """As ``predict`` makes them, between memory that is held inside the context.  Raises
        DeviceError."""
        ...


class Aggregator(Protocol):
    """The second network of a slide classification."""

    def __call__(self, features: NDArray[np.float32]) -> SlideScores:
        """Takes the vectors (tiles, features) of all tiles that have one; there is at least one.

        Raises ModelError or DeviceError.
        """
        ...


class Watcher(Protocol):
    """Is notified of how far a slide has come.  Called by one thread at a time."""

    def started(self, slide: Path) -> None: ...

    def planned(self, tiles: int, done: int) -> None:
        """``done`` of the ``tiles`` were inferred by an earlier, unfinished run."""
        ...

    def passed(self, done: int) -> None:
        """``done`` is the number of tiles that have passed in all, read or left out."""
        ...

    def beside(self) -> "Watcher":
        """Another watcher of the same run, for slides that run at the same time on another
        device."""
        ...


class Post(Protocol):
    """Where a decided flag goes."""

    def put(self, flag: Mapping[str, Any]) -> dict[str, Any]:
        """Keep the flag until it is delivered, and return it as it was kept: with its revision and
        action.  A flag that says the same as the last one is not kept again.

        Raises OutputError.
        """
        ...

    def put_early(self, flag: Mapping[str, Any]) -> dict[str, Any]:
        """The same for an early flag, which a finished one will follow: kept only if it raises the
        level."""
        ...

    def standing(self, flag_id: str) -> Standing | None:
        """What was last put under this id; ``None`` where that is nothing, or was taken back.

        Raises OutputError.
        """
        ...
