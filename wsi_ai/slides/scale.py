"""How large a pixel is on the glass, as far as a file's word on it can be believed."""

import math
from dataclasses import dataclass

from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.errors import SlideError

LEAST_UM, MOST_UM = 0.05, 20.0
"""No scanner's pixel is as small, or as large; such a scale was written in another unit."""
_MOST_MM = 300.0
"""Along one side: the largest glass there is has 200."""
_MOST_PX = 1 << 20
"""Along one side of a slide whose scale is not known."""
_UM_AT_ONE = 4.0, 16.0
"""µm/px times magnification: 10 by convention, from 4.4 (large sensors' small pixels) to 13."""
_UNITS_UM = {
    "angstrom": 1e-4,
    "nanometer": 1e-3, "nm": 1e-3,
    "micrometer": 1.0, "micron": 1.0, "um": 1.0, "µm": 1.0, "μm": 1.0,
    "millimeter": 1e3, "mm": 1e3,
    "centimeter": 1e4, "cm": 1e4,
    "decimeter": 1e5, "dm": 1e5,
    "meter": 1e6, "m": 1e6,
    "picometer": 1e-6, "pm": 1e-6,
    "inch": 25_400.0, "in": 25_400.0,
    "foot": 304_800.0, "ft": 304_800.0,
    "yard": 914_400.0, "mil": 25.4,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scale:
    """What a file says of its scale; ``spacing`` is ``None`` where that cannot be believed."""

    spacing: Spacing | None = None
    doubt: str = ""
    """Why not, where the file says anything; for people."""


NO_SCALE = Scale()


def scale_of(x_um: float, y_um: float, power: float = 0.0) -> Scale:
    """From µm/px, and the magnification where the file has it: the two must go together.

    Nothing, a nonsense or a zero is no scale.
    """
    if not (0 < x_um < math.inf and 0 < y_um < math.inf):
        return NO_SCALE
    words = f"the file says {x_um:.3g} µm/px" if x_um == y_um else _both(x_um, y_um)
    if not all(LEAST_UM < um < MOST_UM for um in (x_um, y_um)):
        return Scale(doubt=f"{words}, which no scanner has")
    least, most = _UM_AT_ONE
    if 0 < power < math.inf and not least <= (x_um + y_um) / 2 * power <= most:
        return Scale(doubt=f"{words} at {power:.3g} x, which do not go together")
    return Scale(Spacing(x_um, y_um))


def _both(x_um: float, y_um: float) -> str:
    return f"the file says {x_um:.3g} x {y_um:.3g} µm/px"


def unit_um(name: str) -> float:
    """Micrometres of a unit of length, in any of its spellings; 0 for what is none."""
    plain = name.strip().lower().replace("metre", "meter")
    return _UNITS_UM.get(plain) or _UNITS_UM.get(plain.removesuffix("s"), 0.0)


def number(text: object) -> float:
    """All of the text, or 0: a part of ``2.5e-1`` or ``0,25`` is another number."""
    try:
        found = float(str(text))
    except ValueError:
        return 0.0
    return found if "_" not in str(text) else 0.0


def check_size(size: Size, spacing: Spacing | None) -> None:
    """Raises SlideError for what is larger than any glass."""
    if not (size.width and size.height):
        raise SlideError("the image has no pixels")
    if max(size.width, size.height) > (_MOST_PX if spacing is None else _MOST_MM * 1000 / LEAST_UM):
        raise SlideError(f"an image of {size.width} x {size.height} px: more than any slide has")
    if spacing is None:
        return
    width, height = size.width * spacing.x_um / 1000, size.height * spacing.y_um / 1000
    if max(width, height) > _MOST_MM:
        raise SlideError(f"an image of {width:.0f} x {height:.0f} mm: larger than any glass")
