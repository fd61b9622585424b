"""A slide's own colour profile, applied where the model asks for it."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.reading.memory import MemoryLevel, memory_slide, noise
from tests.reading.test_decode_once import a_plan, taken
from wsi_ai.cards import Colour
from wsi_ai.contracts import Slide
from wsi_ai.errors import SlideError
from wsi_ai.geometry import Size
from wsi_ai.reading import HostTiles, RegionTiles
from wsi_ai.values import TilePlan

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def shifted_profile() -> bytes:
    """sRGB whose red and blue primaries are swapped, as no real scanner has them."""
    data = bytearray(SRGB)
    red, blue = data.find(b"rXYZ"), data.find(b"bXYZ")
    data[red : red + 4], data[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(data)


def plan_with(slide: Slide, profile: bytes | None, color: Colour) -> TilePlan:
    plan = a_plan(slide, 32, 40)
    return dataclasses.replace(
        plan,
        slide=dataclasses.replace(plan.slide, icc_profile=profile),
        spec=dataclasses.replace(plan.spec, color=color),
    )


@pytest.fixture
def slide() -> Slide:
    return memory_slide(MemoryLevel(noise(150, 120), Size(64, 64)))


@pytest.mark.parametrize("source", [HostTiles, RegionTiles])
def test_the_profile_is_applied_only_where_the_model_asks(
    slide: Slide, source: type[HostTiles] | type[RegionTiles]
) -> None:
    def read(profile: bytes | None, color: Colour) -> np.ndarray:
        plan = plan_with(slide, profile, color)
        return np.concatenate([pixels for _, pixels in taken(source(8, 2)(slide, plan, 0))])

    raw = read(None, Colour.RAW)
    np.testing.assert_array_equal(read(shifted_profile(), Colour.RAW), raw)
    np.testing.assert_array_equal(read(None, Colour.SRGB), raw)
    changed = read(shifted_profile(), Colour.SRGB)
    profile = ImageCms.getOpenProfile(io.BytesIO(shifted_profile()))
    srgb = ImageCms.createProfile("sRGB")
    wanted = ImageCms.profileToProfile(Image.fromarray(raw[3]), profile, srgb)
    np.testing.assert_array_equal(changed[3], np.asarray(wanted))
    assert np.abs(changed.astype(int) - raw).mean() > 5


def test_a_damaged_profile_is_this_slides_own_failure(slide: Slide) -> None:
    with pytest.raises(SlideError, match="colour profile"):
        taken(HostTiles(8, 2)(slide, plan_with(slide, b"no profile", Colour.SRGB), 0))
