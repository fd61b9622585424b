"""Ranges of one version of an object: never bytes of another one."""

import io
import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

import obstore

from wsi_ai.errors import SlideChanged, TransportError
from wsi_ai.slides.readers.source import Bytes, Span
from wsi_ai.slides.stores.refusals import asked
from wsi_ai.slides.stores.store import Store

if TYPE_CHECKING:
    from obstore import GetOptions

_TRIES, _FIRST_WAIT_S = 5, 0.1
"""Of a body that breaks off; what fails before is tried again by the library."""
_GAP_BYTES = 1 << 20
"""What lies between two ranges and is read with them, for that takes no longer than asking."""
_MOST_BYTES = 8 << 20
"""Of one request, so that several run at once."""
_AT_ONCE = 16
_BLOCK_BYTES, _BLOCKS = 1 << 18, 64


class Version(Protocol):
    """One version of one object."""

    @property
    def key(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def e_tag(self) -> str | None: ...
    @property
    def changed(self) -> datetime: ...


def read_span(store: Store, version: Version, start: int, end: int) -> bytes:
    """Exactly these bytes.  Raises SlideChanged where the object is another one by now,
    TransportError."""
    for tried in range(_TRIES):
        if tried:
            time.sleep(_FIRST_WAIT_S * 2**tried)
        with asked():
            answer = obstore.get(store, version.key, options=_wanted(version, start, end))
        _check_same(answer.meta, version)
        try:
            with asked():
                data = bytes(answer.bytes())
        except TransportError:
            continue
        if len(data) == end - start:
            return data
    raise TransportError("the store's answers break off, again and again; run it again")


def _wanted(version: Version, start: int, end: int) -> "GetOptions":
    """A weak tag cannot be a condition (RFC 9110, 13.1.1)."""
    if version.e_tag and not version.e_tag.startswith("W/"):
        return {"range": (start, end), "if_match": version.e_tag}
    return {"range": (start, end), "if_unmodified_since": version.changed}


def _check_same(meta: "obstore.ObjectMeta", version: Version) -> None:
    """A server may not know conditions, and answer all the same."""
    if (tag_of(meta), meta["size"]) != (version.e_tag, version.size):
        raise SlideChanged("the object was replaced while it was read; run it again")


def tag_of(meta: "obstore.ObjectMeta") -> str | None:
    """In quotes, which Azure leaves out in a list, and only there."""
    tag = meta["e_tag"]
    return tag if tag is None or tag.startswith(('"', "W/")) else f'"{tag}"'


class ObjectBytes:
    """See ``source.Bytes``.  Raises SlideChanged where the object was replaced."""

    def __init__(self, store: Store, version: Version) -> None:
        self._store, self._version = store, version
        self._pool = ThreadPoolExecutor(_AT_ONCE, "ranges")

    @property
    def size(self) -> int:
        return self._version.size

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def read(self, at: int, count: int) -> bytes:
        return self.read_many([(at, count)])[0]

    def read_many(self, spans: Sequence[Span]) -> list[bytes]:
        there = [_within(span, self.size) for span in spans]
        groups = coalesced([span for span in there if span[1] > span[0]])
        if len(groups) == 1:
            bodies = [self._read(groups[0])]
        else:
            bodies = list(self._pool.map(self._read, groups))
        read = dict(zip(groups, bodies, strict=True))
        return [_cut(span, groups, read) for span in there]

    def _read(self, group: Span) -> bytes:
        return read_span(self._store, self._version, *group)


def coalesced(spans: Sequence[Span]) -> list[Span]:
    """The requests, as first byte and end, that cover spans of first byte and end."""
    found: list[Span] = []
    for start, end in sorted(set(spans)):
        if found and start <= found[-1][1] + _GAP_BYTES and end - found[-1][0] <= _MOST_BYTES:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


def _within(span: Span, size: int) -> Span:
    at, count = span
    if at < 0 or count <= 0:
        return 0, 0
    return min(at, size), min(at + count, size)


def _cut(span: Span, groups: Sequence[Span], read: dict[Span, bytes]) -> bytes:
    start, end = span
    if start >= end:
        return b""
    group = groups[bisect_right(groups, start, key=lambda one: one[0]) - 1]
    return read[group][start - group[0] : end - group[0]]


class BytesFile(io.RawIOBase):
    """A file to read headers from, block by block.

    What reads it may take any error for damage, and go on: ``check`` says whether one was the
    store's.
    """

    name = ""
    """pydicom asks for it."""

    def __init__(self, source: Bytes, size: int) -> None:
        self._source, self._size, self._at = source, size, 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._failed: TransportError | SlideChanged | None = None

    def check(self) -> None:
        """Raises TransportError, or SlideChanged."""
        if self._failed is not None:
            raise self._failed

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError("no place before the beginning")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._at))
        done = 0
        while done < count:
            number, inside = divmod(self._at, _BLOCK_BYTES)
            piece = self._block(number)[inside : inside + count - done]
            view[done : done + len(piece)] = piece
            done += len(piece)
            self._at += len(piece)
        return count

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            start = number * _BLOCK_BYTES
            try:
                block = self._source.read(start, min(_BLOCK_BYTES, self._size - start))
            except (TransportError, SlideChanged) as error:
                self._failed = error
                raise
            self._blocks[number] = block
            while len(self._blocks) > _BLOCKS:
                self._blocks.popitem(last=False)
        return self._blocks[number]
