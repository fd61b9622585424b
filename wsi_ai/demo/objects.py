"""An atlas of whole things (crypts, fat cells): each is drawn entirely or not at all."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_ai.demo.frame import F32, U8


@dataclass(frozen=True, slots=True)
class Objects:
    """Wrapped stain codes, the object's number at every pixel (0: none), and centres.

    `reach` says how far, in px, an object's centre must lie inside its layer.  Rows of
    `cx`, `cy` and `reach` are for numbers 1, 2, ...
    """

    period: int
    eosin: U8
    haem: U8
    number: NDArray[np.int16]
    cx: F32
    cy: F32
    reach: F32
