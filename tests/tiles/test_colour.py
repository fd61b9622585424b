"""A slide's own colour profile, applied where the model asks for it."""

import dataclasses
import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.tiles.memory import MemoryLevel, memory_slide, noise
from tests.tiles.test_decode_once import a_plan, assert_alike, taken
from wsi_ai.core.cards import Colour
from wsi_ai.core.contracts import Slide
from wsi_ai.core.geometry import Size
from wsi_ai.core.values import TilePlan
from wsi_ai.errors import SlideError
from wsi_ai.tiles.reading import HostTiles, RegionTiles

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def shifted_profile() -> bytes:
    """sRGB whose red and blue primaries are swapped, as no real scanner has them."""
    data = bytearray(SRGB)
    red, blue = data.find(b"rXYZ"), data.find(b"bXYZ")
    data[red : red + 4], data[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(data)


def glass_profile(intent: ImageCms.Intent) -> bytes:
    """sRGB on a yellowish glass, which the absolute intent leaves in (ICC.1:2022 7.2.15)."""
    data = bytearray(SRGB)
    white = int.from_bytes(data[data.find(b"wtpt") + 4 :][:4], "big")
    data[64:68] = int(intent).to_bytes(4, "big")
    data[white + 8 : white + 20] = struct.pack(">3i", *(int(v * 65536) for v in (0.8, 0.85, 0.6)))
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


@pytest.mark.parametrize(
    "intent", [ImageCms.Intent.PERCEPTUAL, ImageCms.Intent.ABSOLUTE_COLORIMETRIC]
)
def test_the_profiles_own_intent_is_followed(slide: Slide, intent: ImageCms.Intent) -> None:
    def read(profile: bytes | None) -> np.ndarray:
        return taken(HostTiles(8, 2)(slide, plan_with(slide, profile, Colour.SRGB), 0))[0][1]

    image, profile = Image.fromarray(read(None)[3]), io.BytesIO(glass_profile(intent))
    srgb = ImageCms.createProfile("sRGB")
    wanted = ImageCms.profileToProfile(image, profile, srgb, renderingIntent=intent)
    np.testing.assert_array_equal(read(glass_profile(intent))[3], np.asarray(wanted))


def test_tiles_are_shrunk_first_and_then_converted(slide: Slide) -> None:
    plan = plan_with(slide, shifted_profile(), Colour.SRGB)
    plan = dataclasses.replace(plan, read_px=Size(50, 50))
    assert_alike(taken(HostTiles(8, 2)(slide, plan, 0)), taken(RegionTiles(8, 2)(slide, plan, 0)))


def test_a_damaged_profile_is_this_slides_own_failure(slide: Slide) -> None:
    with pytest.raises(SlideError, match="colour profile"):
        taken(HostTiles(8, 2)(slide, plan_with(slide, b"no profile", Colour.SRGB), 0))
