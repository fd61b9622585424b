"""From a scanner's own colours to sRGB, where a model asks for it."""

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from wsi_ai.core.cards import Colour
from wsi_ai.core.values import TilePlan
from wsi_ai.errors import SlideError

Finish = Callable[[NDArray[np.uint8]], None]
"""Changes a tile's pixels, uint8 (height, width, 3), in place.  Threads share it."""


def finisher(plan: TilePlan) -> Finish | None:
    """The change of colours that the plan's tiles still need, if any.  A slide without a profile is
    assumed to be sRGB.  Raises SlideError for a damaged profile."""
    profile = plan.slide.icc_profile
    return to_srgb(profile) if profile and plan.spec.color is Colour.SRGB else None


def to_srgb(profile: bytes) -> Finish:
    """Uses the profile's own rendering intent, through Little CMS."""
    try:
        own = ImageCms.getOpenProfile(io.BytesIO(profile))
        intent = ImageCms.Intent(ImageCms.getDefaultIntent(own))
        srgb = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(own, srgb, "RGB", "RGB", intent)
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise SlideError(
            f"its colour profile cannot be used: {error}; a model for raw colours can"
        ) from None

    def finish(pixels: NDArray[np.uint8]) -> None:
        pixels[...] = np.asarray(ImageCms.applyTransform(Image.fromarray(pixels), transform))

    return finish
