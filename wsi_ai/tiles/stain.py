"""One slide's colours made those that a model was trained on: what a card asks for, and what is
done to the pixels.

Macenko et al., "A method for normalizing histology slides for quantitative analysis", ISBI 2009;
Reinhard et al., "Color transfer between images", IEEE CG&A 2001, whose matching of means and
deviations is done in CIELAB here, as pathology's tools do it, not in the paper's own space.
The constants of ``staining`` and these are those of torchstain, so that its results come out.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Triple = tuple[float, float, float]
Matrix = tuple[Triple, Triple, Triple]
GLASS = 240.0
"""Of 255: the light that Macenko's optical density is measured against."""

_SRGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_TO_CONES = _SRGB_TO_XYZ / _SRGB_TO_XYZ.sum(axis=1, keepdims=True)
"""Linear sRGB to X/Xn, Y/Yn, Z/Zn for the white that sRGB's own primaries add up to (D65)."""
_TO_LAB = np.array([[0.0, 116.0, 0.0], [500.0, -500.0, 0.0], [0.0, 200.0, -200.0]])
_LAB_SHIFT = np.array([-16.0, 0.0, 0.0])
_KNEE = 6 / 29
"""Below its cube CIELAB is linear."""


class Recolour(Protocol):
    """Changes the colours of one slide's tiles.  The same wherever the pixels are."""

    def __call__(self, pixels: Any, xp: Any) -> Any:
        """uint8 RGB (..., 3) to as many; ``xp`` is the library they are of: numpy or torch."""
        ...

    def as_dict(self) -> dict[str, Any]:
        """For the record."""
        ...


@dataclass(frozen=True, slots=True)
class MacenkoTarget:
    """Two stains, each a direction in optical density (red, green, blue), and how much of them the
    darkest hundredth of the tissue has.  The default is the reference of Macenko's own code."""

    haematoxylin: Triple = (0.5626, 0.7201, 0.4062)
    eosin: Triple = (0.2159, 0.8012, 0.5581)
    most: tuple[float, float] = (1.9705, 1.0308)


@dataclass(frozen=True, slots=True)
class ReinhardTarget:
    """Means and deviations in CIELAB.  The default is slideflow's: of about 50,000 tiles of 450
    slides of TCGA (its preset v3)."""

    mean: Triple = (65.22132, 28.934267, -14.142519)
    std: Triple = (15.800227, 9.263783, 6.0213304)


StainTarget = MacenkoTarget | ReinhardTarget


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
    """Of each of the 256 levels, as Macenko's code counts it: -ln((level + 1) / glass)."""
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
    """Light of each of sRGB's 256 levels (IEC 61966-2-1)."""
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
    """Kept: a copy to a device makes the host wait for all that was asked of it before."""
    numbers = np.frombuffer(table, np.float32).reshape(shape).tolist()
    return xp.asarray(numbers, dtype=xp.float32, device=device)


def _bytes(values: Any, xp: Any) -> Any:
    return xp.asarray(xp.clip(xp.round(values), 0, 255), dtype=xp.uint8)
