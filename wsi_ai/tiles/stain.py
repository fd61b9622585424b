"""Stain normalisation: brings a slide's colours to those that a model was trained on.

Macenko et al., "A method for normalizing histology slides for quantitative analysis", ISBI 2009;
Reinhard et al., "Color transfer between images", IEEE CG&A 2001.  Reinhard's matching of means and
deviations is done in CIELAB here, as pathology's tools do it, and not in the paper's own space.
The constants are those of torchstain, so that its results come out.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import MacenkoTarget, ReinhardTarget, StainTarget, Triple
from wsi_ai.core.values import Recolour
from wsi_ai.errors import StainUnclear

Matrix = tuple[Triple, Triple, Triple]
GLASS = 240.0
"""Of 255: the light against which Macenko's optical density is measured."""

_SRGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_TO_CONES = _SRGB_TO_XYZ / _SRGB_TO_XYZ.sum(axis=1, keepdims=True)
"""Linear sRGB to X/Xn, Y/Yn, Z/Zn for the white point of sRGB's own primaries (D65)."""
_TO_LAB = np.array([[0.0, 116.0, 0.0], [500.0, -500.0, 0.0], [0.0, 200.0, -200.0]])
_LAB_SHIFT = np.array([-16.0, 0.0, 0.0])
_KNEE = 6 / 29
"""Below its cube CIELAB is linear."""


@dataclass(frozen=True, slots=True)
class Macenko:
    """Optical density, times ``mix``."""

    mix: Matrix

    def __call__(self, pixels: Any, xp: Any) -> Any:
        """See ``Recolour``."""
        density = _looked_up(optical_density(), pixels, xp) @ _like(self.mix, pixels, xp)
        return _bytes(GLASS * xp.exp(-density), xp)

    def as_dict(self) -> dict[str, Any]:
        """See ``Recolour``."""
        return {"method": "macenko", "mix": [list(row) for row in self.mix]}


@dataclass(frozen=True, slots=True)
class Reinhard:
    """CIELAB, times ``scale`` plus ``shift``."""

    scale: Triple
    shift: Triple

    def __call__(self, pixels: Any, xp: Any) -> Any:
        """See ``Recolour``."""
        lab = to_lab(pixels, xp)
        matched = lab * _like(self.scale, pixels, xp) + _like(self.shift, pixels, xp)
        return _bytes(255 * _from_lab(matched, xp), xp)

    def as_dict(self) -> dict[str, Any]:
        """See ``Recolour``."""
        return {"method": "reinhard", "scale": list(self.scale), "shift": list(self.shift)}


def optical_density() -> NDArray[np.float64]:
    """For each of the 256 levels, as Macenko's code counts it: -ln((level + 1) / glass)."""
    return -np.log((np.arange(256) + 1) / GLASS)


def to_lab(pixels: Any, xp: Any) -> Any:
    """uint8 sRGB (..., 3) to CIELAB, float32."""
    cones = _looked_up(_linear(), pixels, xp) @ _like(_TO_CONES.T, pixels, xp)
    bent = xp.where(cones > _KNEE**3, cones ** (1 / 3), cones / (3 * _KNEE**2) + 4 / 29)
    return bent @ _like(_TO_LAB.T, pixels, xp) + _like(_LAB_SHIFT, pixels, xp)


def _from_lab(lab: Any, xp: Any) -> Any:
    """CIELAB to sRGB in 0..1; what no screen can show is clipped."""
    bent = (lab - _like(_LAB_SHIFT, lab, xp)) @ _like(np.linalg.inv(_TO_LAB).T, lab, xp)
    cones = xp.where(bent > _KNEE, bent**3, 3 * _KNEE**2 * (bent - 4 / 29))
    linear = xp.clip(cones @ _like(np.linalg.inv(_TO_CONES).T, lab, xp), 0, 1)
    return xp.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)


def _linear() -> NDArray[np.float64]:
    """Linear light for each of sRGB's 256 levels (IEC 61966-2-1)."""
    level = np.arange(256) / 255
    return np.where(level > 0.04045, ((level + 0.055) / 1.055) ** 2.4, level / 12.92)


def _looked_up(table: NDArray[np.float64], pixels: Any, xp: Any) -> Any:
    return _like(table, pixels, xp)[xp.asarray(pixels, dtype=xp.int32)]


def _like(numbers: Any, pixels: Any, xp: Any) -> Any:
    """As float32 where the pixels are."""
    table = np.asarray(numbers, np.float32)
    return _placed(table.tobytes(), table.shape, xp, pixels.device)


@lru_cache(maxsize=64)
def _placed(table: bytes, shape: tuple[int, ...], xp: Any, device: Any) -> Any:
    """Kept, because a copy to a device makes the host wait for all that was asked of the device
    before."""
    numbers = np.frombuffer(table, np.float32).reshape(shape).tolist()
    return xp.asarray(numbers, dtype=xp.float32, device=device)


def _bytes(values: Any, xp: Any) -> Any:
    return xp.asarray(xp.clip(xp.round(values), 0, 255), dtype=xp.uint8)


Pixels = NDArray[np.uint8]
Plane = NDArray[np.float64]
_FAINT = 0.15
"""Optical density: a pixel below it in any channel is glass, or nearly so."""
_TAIL = 1.0
"""Per cent at either end that count as noise."""
_FEWEST = 4096
"""Number of pixels that an estimate needs."""
_ALIKE = np.deg2rad(5)
"""Two stains whose directions are closer than this are one; H&E lies about 20 degrees apart."""
_FLAT = 0.5
"""In units of CIELAB, where a difference of 1 is barely seen: with less spread there is no colour
to match."""


def find_stain(target: StainTarget, pixels: Pixels) -> Recolour:
    """The change of colours from a slide, of which ``pixels`` (n, 3) are a sample, to the target.

    Raises StainUnclear where the sample is not enough to tell.
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
    """Only of what is not glass, so that the amount of glass does not matter."""
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
