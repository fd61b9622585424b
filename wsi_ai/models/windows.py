"""How a model's tiles overlap, and how large they are where the model does not mind.  Pure."""

import math
from dataclasses import dataclass

OVERLAP_COST = 1.15
"""Pixels inferred for one pixel of the slide, at most, where the window's size is free."""
RAMP_PX = 16
"""Over so many pixels one window passes into the next."""
SMALLEST_PX, LARGEST_PX = 512, 2048


@dataclass(frozen=True, slots=True)
class FreeSize:
    """What a network of free input size asks of its window."""

    multiple_of: int
    margin_px: int
    """Along the edges, pixels whose scores would change if more were seen."""
    scale: float
    """Pixels of the output to one of the window."""
    largest_px: int = LARGEST_PX


@dataclass(frozen=True, slots=True)
class FittedWindow:
    size_px: int
    stride_px: int

    @property
    def cost(self) -> float:
        """Pixels inferred for one pixel of the slide."""
        return (self.size_px / self.stride_px) ** 2


def fitted(free: FreeSize) -> FittedWindow:
    """The smallest window of ``SMALLEST_PX`` or more whose overlap costs no more than
    ``OVERLAP_COST``; the largest allowed where none does.

    A larger one would win little and see more of the glass beside the tissue.  Neighbours share
    both their margins, which are not used, and a ramp between them.  Raises ValueError where not
    even the largest is larger than that.
    """
    whole = math.ceil(1 / free.scale)
    unit = math.lcm(free.multiple_of, whole)
    overlap = 2 * whole * math.ceil((2 * free.margin_px + RAMP_PX) / (2 * whole))
    largest = free.largest_px // unit * unit
    if largest <= overlap:
        raise ValueError(
            f"a window of {free.largest_px} px at most does not hold its margins"
            f" (2 x {free.margin_px} px) and {RAMP_PX} px more, in multiples of {unit} px"
        )
    for size in range(unit * math.ceil(SMALLEST_PX / unit), largest + 1, unit):
        window = FittedWindow(size, size - overlap)
        if size > overlap and window.cost <= OVERLAP_COST:
            return window
    return FittedWindow(largest, largest - overlap)
