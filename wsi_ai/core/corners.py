"""Corners of an outline, held in little room: of a large slide there are hundreds of thousands."""

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

_AT_ONCE = 4096


class Corners(Sequence[tuple[float, float]]):
    """As a tuple of (x, y), and equal to one with the same corners; but 16 bytes for each corner,
    where that takes 64 and more.  NumPy makes an array of it, (corners, 2), without a detour."""

    __slots__ = ("_places",)

    def __init__(self, places: NDArray[np.float64]) -> None:
        """(corners, 2); it is not to change any more."""
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, n: int) -> tuple[float, float]: ...
    @overload
    def __getitem__(self, n: slice) -> "Corners": ...
    def __getitem__(self, n: int | slice) -> "tuple[float, float] | Corners":
        if isinstance(n, slice):
            return Corners(self._places[n])
        x, y = self._places[n].tolist()
        return x, y

    def __iter__(self) -> Iterator[tuple[float, float]]:
        for first in range(0, len(self), _AT_ONCE):
            yield from map(tuple, self._places[first : first + _AT_ONCE].tolist())

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        return np.array(self._places, dtype, copy=copy)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))
