"""How a slide is stained, found once from some of its tiles.  Pure and deterministic."""

import numpy as np
from numpy.typing import NDArray

from wsi_ai.errors import StainUnclear
from wsi_ai.stains import (
    Macenko,
    MacenkoTarget,
    Recolour,
    Reinhard,
    ReinhardTarget,
    StainTarget,
    optical_density,
    to_lab,
)

Pixels = NDArray[np.uint8]
Plane = NDArray[np.float64]
_FAINT = 0.15
"""Optical density: a pixel below it in any channel is glass, or nearly."""
_TAIL = 1.0
"""Per cent: what lies beyond is taken for noise."""
_FEWEST = 4096
"""Pixels that an estimate needs."""
_ALIKE = np.deg2rad(5)
"""Two stains whose directions are closer than this are one; H&E lies about 20 degrees apart."""
_FLAT = 0.5
"""In units of CIELAB, where a difference of 1 is just about seen: below it there is no colour to
match."""


def find_stain(target: StainTarget, pixels: Pixels) -> Recolour:
    """What makes the colours of a slide, of which ``pixels`` (n, 3) are a sample, the target's.

    Raises StainUnclear where the sample does not say.
    """
    if len(pixels) < _FEWEST:
        raise StainUnclear(f"its stain cannot be found in {len(pixels)} pixels of tissue")
    if isinstance(target, MacenkoTarget):
        return _macenko(target, pixels)
    return _reinhard(target, pixels)


def _macenko(target: MacenkoTarget, pixels: Pixels) -> Macenko:
    """Slide to stains by the inverse of its two directions, stains to slide by the target's."""
    density = optical_density()[pixels]
    stained = density[np.all(density >= _FAINT, axis=1)]
    if len(stained) < _FEWEST:
        raise StainUnclear(f"its stain cannot be found: only {len(stained)} pixels looked stained")
    stains = _directions(stained)
    unmix = np.linalg.pinv(stains)
    most = np.percentile(density @ unmix.T, 100 - _TAIL, axis=0)
    if np.min(most) <= 0:
        raise StainUnclear("its stain cannot be found: one of the two is missing")
    wanted = np.stack([target.haematoxylin, target.eosin], axis=1)
    mix = (wanted @ np.diag(np.asarray(target.most) / most) @ unmix).T
    first, second, third = (_triple(row) for row in mix)
    return Macenko((first, second, third))


def _directions(stained: Plane) -> Plane:
    """(3, 2): haematoxylin, which absorbs more red, then eosin: the rims of the fan of densities in
    the plane of the two largest principal components."""
    values, vectors = np.linalg.eigh(np.cov(stained.T))
    plane = vectors[:, [2, 1]]
    plane = plane * np.where(plane.sum(axis=0) < 0, -1, 1)
    along = stained @ plane
    angle = np.arctan2(along[:, 1], along[:, 0])
    low, high = np.percentile(angle, [_TAIL, 100 - _TAIL])
    if high - low < _ALIKE or values[1] <= 0:
        raise StainUnclear("its stain cannot be found: all of it has one colour")
    rims = np.array([[np.cos(low), np.cos(high)], [np.sin(low), np.sin(high)]])
    found: Plane = plane @ rims
    return found if found[0, 0] > found[0, 1] else found[:, ::-1]


def _reinhard(target: ReinhardTarget, pixels: Pixels) -> Reinhard:
    """Of what is not glass, so that how much of it lies about does not matter."""
    shown = pixels[np.any(optical_density()[pixels] >= _FAINT, axis=1)]
    if len(shown) < _FEWEST:
        raise StainUnclear(f"its stain cannot be found: only {len(shown)} pixels are not glass")
    lab = to_lab(shown, np).astype(np.float64)
    spread = lab.std(axis=0)
    if np.min(spread) < _FLAT:
        raise StainUnclear("its stain cannot be found: all of it has one colour")
    scale = np.asarray(target.std) / spread
    shift = np.asarray(target.mean) - lab.mean(axis=0) * scale
    return Reinhard(_triple(scale), _triple(shift))


def _triple(numbers: Plane) -> tuple[float, float, float]:
    first, second, third = (float(number) for number in numbers)
    return first, second, third
