"""What a file of weights says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wsi_ai.core.cards import Activation, Layout

Shape = tuple[int | None, ...]
"""``None`` where an axis is free."""


def as_numbers(shape: Shape) -> Shape:
    """Of one tile: numbers that come as a picture of one pixel, (numbers, 1, 1), are numbers."""
    return shape[:1] if len(shape) == 3 and shape[1:] == (1, 1) else shape


@dataclass(frozen=True, slots=True)
class Inspected:
    """``None`` where the file does not say."""

    format: str
    layout: Layout
    dtype: str
    size_px: int | None
    """``None`` where the network takes tiles of any size."""
    shape: Shape
    """Of what it gives for one tile: (numbers,), (objects, columns) or (classes, height, width)."""
    activation: Activation | None
    """What is left to do to the output."""
    batch: int | None = None
    """Tiles at once, where it takes no other number."""
    names: tuple[str, ...] = ()
    """Of the classes."""
    architecture: str | None = None
    output: str = ""
    """The name of the output that holds the scores, where there are several."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Of the card, by dotted name: what stands beside the weights."""
    notes: tuple[str, ...] = ()
    """For a person to read."""

    @property
    def shape_told(self) -> str:
        return f"[{', '.join('?' if n is None else str(n) for n in self.shape)}]"


@dataclass(frozen=True, slots=True)
class SharedModel:
    """A model that others share, on this disk."""

    name: str
    weights: Path
    seen: Inspected
