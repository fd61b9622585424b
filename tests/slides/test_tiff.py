"""Tiled TIFF: the same pixels as OpenSlide, in every codec, and what is damaged says so."""

import math
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import openslide as library
import pytest
import tifffile
from numpy.typing import NDArray

from tests.tiles.memory import noise
from wsi_ai.core.geometry import Spacing
from wsi_ai.errors import SlideError, TileUnreadable, UnknownFormat
from wsi_ai.run.process import prepare_process
from wsi_ai.slides.readers.tiff.reader import open_slide

Image = NDArray[np.uint8]
FIXTURES = ["cmu-1-small-region.svs", "tcga-cr-7395-01a-01-ts1.svs", "cmu1_generic_pyramid.tif"]


def theirs(path: Path, level: int = 0) -> Image:
    """A whole level through OpenSlide."""
    with library.OpenSlide(path) as slide:
        pixels = slide.read_region((0, 0), level, slide.level_dimensions[level])
        return np.asarray(pixels.convert("RGB"))


def whole(path: Path, level: int = 0) -> Image:
    """A whole level through ours."""
    with open_slide(path) as slide:
        size = slide.encoded_level(level).size
        return slide.read(level, 0, 0, size.width, size.height)


@pytest.fixture(scope="module")
def tissue(shared_data: Path) -> Image:
    return theirs(shared_data / "slides" / FIXTURES[0])[900:1300, 700:1200]


@pytest.mark.parametrize("name", FIXTURES)
def test_pixels_and_geometry_are_openslides(shared_data: Path, name: str) -> None:
    path = shared_data / "slides" / name
    with library.OpenSlide(path) as reference, open_slide(path) as slide:
        assert slide.info.downsamples == reference.level_downsamples
        mpp = reference.properties.get("openslide.mpp-x")
        assert slide.info.spacing == (Spacing(float(mpp), float(mpp)) if mpp else None)
        levels = range(reference.level_count)
    for level in levels:
        np.testing.assert_array_equal(whole(path, level), theirs(path, level))


@pytest.mark.parametrize(
    ("compression", "options"),
    [
        (None, {}),
        ("lzw", {}),
        ("lzw", {"predictor": 2}),
        ("deflate", {}),
        ("deflate", {"predictor": 2}),
        ("zstd", {}),
        ("packbits", {}),
        ("webp", {"compressionargs": {"lossless": True}}),
        ("jpeg2000", {"compressionargs": {"reversible": True}}),
    ],
)
@pytest.mark.parametrize("bigtiff", [False, True])
def test_lossless_codecs_give_back_what_was_stored(
    tmp_path: Path,
    tissue: Image,
    compression: str | None,
    options: dict[str, object],
    bigtiff: object,
) -> None:
    path = tmp_path / "slide.tif"
    tifffile.imwrite(
        path,
        tissue,
        tile=(112, 96),
        photometric="rgb",
        compression=compression,
        bigtiff=bool(bigtiff),
        **options,  # type: ignore[arg-type]
    )
    np.testing.assert_array_equal(whole(path), tissue)


@pytest.mark.parametrize("colours", ["rgb", "ycbcr"])
@pytest.mark.parametrize("sampling", ["444", "422", "420"])
def test_jpeg_colours_are_as_tagged(
    tmp_path: Path, tissue: Image, colours: str, sampling: str
) -> None:
    path = tmp_path / "slide.tif"
    subsampling = {"444": (1, 1), "422": (2, 1), "420": (2, 2)}[sampling]
    if colours == "rgb" and sampling != "444":
        pytest.skip("RGB is not subsampled")
    tifffile.imwrite(
        path,
        tissue,
        tile=(112, 96),
        photometric=colours,
        compression="jpeg",
        subsampling=subsampling,
    )
    np.testing.assert_array_equal(whole(path), theirs(path))


@pytest.mark.parametrize("tagged", ["rgb", "ycbcr"])
@pytest.mark.parametrize("inside", ["RGB", "YCBCR"])
def test_the_tiff_tag_goes_over_the_jpegs_own_word(
    tmp_path: Path, tissue: Image, tagged: str, inside: str
) -> None:
    """A JFIF or Adobe segment that contradicts the tag is not heeded, as in OpenSlide."""
    path = tmp_path / "slide.tif"
    tiles = [
        imagecodecs.jpeg8_encode(
            np.ascontiguousarray(tissue[:256, x : x + 256]),
            level=90,
            colorspace="RGB",
            outcolorspace=inside,
            subsampling="444",
        )
        for x in (0, 200)
    ]
    tifffile.imwrite(
        path,
        iter(tiles),
        shape=(256, 512, 3),
        dtype=np.uint8,
        tile=(256, 256),
        photometric=tagged,
        compression="jpeg",
        subsampling=(1, 1),
    )
    np.testing.assert_array_equal(whole(path), theirs(path))


def test_grey_is_read_as_rgb(tmp_path: Path, tissue: Image) -> None:
    path = tmp_path / "slide.tif"
    grey = np.ascontiguousarray(tissue[..., 1])
    tifffile.imwrite(path, grey, tile=(112, 96), photometric="minisblack", compression="jpeg")
    np.testing.assert_array_equal(whole(path), theirs(path))


def test_premultiplied_alpha_lies_on_white(tmp_path: Path, tissue: Image) -> None:
    path = tmp_path / "slide.tif"
    alpha = np.linspace(0, 255, tissue.shape[1]).astype(np.uint8)[None, :, None]
    alpha = np.broadcast_to(alpha, (*tissue.shape[:2], 1))
    pixels = np.concatenate([(tissue.astype(int) * alpha // 255).astype(np.uint8), alpha], -1)
    tifffile.imwrite(path, pixels, tile=(112, 96), photometric="rgb", extrasamples=["assocalpha"])
    wanted = pixels[..., :3].astype(int) + 255 - alpha
    np.testing.assert_array_equal(whole(path), wanted)


def ome(path: Path, pixels: Image, um: tuple[float, float]) -> None:
    with tifffile.TiffWriter(path, ome=True) as writer:
        options = {
            "tile": (64, 64),
            "photometric": "rgb",
            "compression": "jpeg2000",
            "compressionargs": {"reversible": True},
        }
        about = {"PhysicalSizeX": um[0], "PhysicalSizeY": um[1]}
        writer.write(pixels, subifds=2, metadata=about, **options)  # type: ignore[arg-type]
        for step in (2, 4):
            writer.write(pixels[::step, ::step], subfiletype=1, **options)  # type: ignore[arg-type]


def test_an_ome_pyramid_in_subifds_is_read(tmp_path: Path, tissue: Image) -> None:
    path = tmp_path / "slide.ome.tif"
    ome(path, tissue, (0.25, 0.26))
    with open_slide(path) as slide:
        assert slide.info.spacing == Spacing(0.25, 0.26)
        assert slide.info.vendor == "ome-tiff"
        assert slide.info.downsamples == (1.0, 2.0, 4.0)
    np.testing.assert_array_equal(whole(path, 2), tissue[::4, ::4])


_FINE, _COARSE = '"0.0005" "0.0004"', '"0.001" "0.0008"'
_LEVEL = """<DataObject ObjectType="PixelDataRepresentation">
<Attribute Name="DICOM_PIXEL_SPACING">{}</Attribute></DataObject>"""
PHILIPS = f"""<DataObject ObjectType="DPUfsImport"><Attribute Name="PIM_DP_SCANNED_IMAGES"><Array>
<DataObject ObjectType="DPScannedImage"><Attribute Name="PIM_DP_IMAGE_TYPE">WSI</Attribute>
<Attribute Name="PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE"><Array>
{_LEVEL.format(_FINE)}
{_LEVEL.format(_COARSE)}
</Array></Attribute></DataObject></Array></Attribute></DataObject>"""


@pytest.fixture
def philips(tmp_path: Path, tissue: Image) -> Path:
    """Two levels; the second tile of the first is not there, as in glass."""
    pixels = tissue.copy()
    pixels[:128, 128:256] = 243
    return philips_slide(tmp_path / "slide.tiff", pixels)


def philips_slide(path: Path, tissue: Image) -> Path:
    """Two levels; the second tile of the first is not there."""

    def tiles(pixels: Image, missing: int) -> Iterator[bytes]:
        for n in range(math.prod(-(-side // 128) for side in pixels.shape[:2])):
            y, x = (128 * i for i in divmod(n, -(-pixels.shape[1] // 128)))
            tile = np.pad(pixels[y : y + 128, x : x + 128], ((0, 128), (0, 128), (0, 0)))[
                :128, :128
            ]
            yield b"" if n == missing else imagecodecs.jpeg8_encode(np.ascontiguousarray(tile), 90)

    with tifffile.TiffWriter(path) as writer:
        for step in (1, 2):
            pixels = tissue[:384:step, :384:step]
            writer.write(
                tiles(pixels, 1 if step == 1 else -1),
                shape=pixels.shape,
                dtype=np.uint8,
                tile=(128, 128),
                photometric="ycbcr",
                compression="jpeg",
                subsampling=(2, 2),
                description=PHILIPS if step == 1 else "",
                software="Philips DP v1.0",
                metadata=None,
            )
    return path


def test_what_philips_did_not_scan_is_white(philips: Path, tissue: Image) -> None:
    pixels = whole(philips)
    assert (pixels[:128, 128:256] == 255).all()
    assert np.abs(pixels[:128, :128].astype(int) - tissue[:128, :128]).mean() < 6
    with open_slide(philips) as slide:
        assert slide.info.vendor == "philips"
        assert slide.info.spacing == Spacing(0.4, 0.5)
        assert slide.info.downsamples == (1.0, 2.0)


def test_a_tile_that_is_not_there_is_lost_where_a_coarser_level_shows_tissue(
    tmp_path: Path, tissue: Image
) -> None:
    path = philips_slide(tmp_path / "slide.tiff", tissue)
    with open_slide(path) as slide:
        assert slide.read(0, 0, 0, 128, 128).std() > 0
        with pytest.raises(TileUnreadable, match="another level"):
            slide.read(0, 128, 0, 128, 128)


@pytest.mark.parametrize(
    ("said", "um"),
    [("0.252", 0.252), (" 2.52e-1 ", 0.252), ("0,252", None), ("-1", None), ("inf", None)],
)
def test_aperios_scale_is_read_whole_or_not_at_all(
    tmp_path: Path, tissue: Image, said: str, um: float | None
) -> None:
    path = tmp_path / "slide.svs"
    about = f"Aperio Image Library\n500x400 |AppMag = 20|MPP = {said}|Left = 3"
    tifffile.imwrite(path, tissue, tile=(128, 128), description=about, metadata=None)
    with open_slide(path) as slide:
        assert slide.info.vendor == "aperio"
        assert slide.info.spacing == (um and Spacing(um, um))


def test_a_mask_of_the_image_is_no_level(tmp_path: Path, tissue: Image) -> None:
    """As other programs keep transparency: 5 is both reduced and a mask."""
    path = tmp_path / "slide.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(tissue, tile=(128, 128))
        writer.write(tissue[::2, ::2], tile=(128, 128), subfiletype=1)
        writer.write(np.full((200, 250), 255, np.uint8), tile=(128, 128), subfiletype=1)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[2].tags["NewSubfileType"].overwrite(5)
    with open_slide(path) as slide:
        assert slide.info.downsamples == (1.0, 2.0)
    np.testing.assert_array_equal(whole(path, 1), tissue[::2, ::2])


def test_elsewhere_a_tile_of_no_bytes_cannot_be_read(tmp_path: Path, tissue: Image) -> None:
    path = tmp_path / "slide.tif"
    tifffile.imwrite(
        path,
        iter([imagecodecs.jpeg8_encode(tissue[:128, :128].copy(), 90), b""]),
        shape=(128, 256, 3),
        dtype=np.uint8,
        tile=(128, 128),
        photometric="ycbcr",
        compression="jpeg",
        subsampling=(2, 2),
    )
    with open_slide(path) as slide:
        assert slide.read(0, 0, 0, 128, 128).std() > 0
        with pytest.raises(TileUnreadable):
            slide.read(0, 100, 0, 128, 128)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("stripes", {"rowsperstrip": 16}),
        ("planes", {"tile": (64, 64), "planarconfig": "separate"}),
    ],
)
def test_what_is_no_grid_of_interleaved_tiles_is_declined(
    tmp_path: Path, kind: str, options: dict[str, object]
) -> None:
    path = tmp_path / "slide.tif"
    pixels = noise(128, 128).astype(options.pop("dtype", np.uint8))  # type: ignore[arg-type]
    if kind == "planes":
        pixels = np.moveaxis(pixels, -1, 0)
    tifffile.imwrite(path, pixels, photometric="rgb", **options)  # type: ignore[arg-type]
    with pytest.raises(UnknownFormat):
        open_slide(path)


@pytest.mark.parametrize(
    "name", ["broken.svs", "bad_empty.svs", "bad_truncated_8bytes.svs", "bad_truncated_half.svs"]
)
def test_damaged_files_are_refused(shared_data: Path, name: str) -> None:
    with pytest.raises(SlideError) as refused:
        open_slide(shared_data / "damaged" / name)
    assert name.split(".")[0] not in str(refused.value)


def test_three_corrupt_tiles_are_just_those_that_cannot_be_read(shared_data: Path) -> None:
    with open_slide(shared_data / "damaged" / "bad_corrupt_tiles_12_37_60.svs") as slide:
        unreadable = []
        for n in range(130):
            row, col = divmod(n, 10)
            try:
                slide.read(0, col * 240, row * 240, 240, 240)
            except TileUnreadable:
                unreadable.append(n)
    assert unreadable == [12, 37, 60]


def test_a_directory_that_is_cut_off_is_no_line_in_the_log(
    tmp_path: Path, tissue: Image, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cut.tif"
    with tifffile.TiffWriter(path) as file:
        for level in (tissue, tissue[::2, ::2]):
            file.write(level, tile=(128, 128), photometric="rgb", metadata=None)
    with tifffile.TiffFile(path) as whole_file:
        first, second = (page.offset for page in whole_file.pages)
    data = path.read_bytes()
    entries = int.from_bytes(data[first : first + 2], "little")
    link = first + 2 + 12 * entries
    assert int.from_bytes(data[link : link + 4], "little") == second
    path.write_bytes(data[:link] + (10**8).to_bytes(4, "little") + data[link + 4 :])
    prepare_process()
    with open_slide(path) as slide:
        assert len(slide.info.downsamples) == 1
    assert not caplog.records
