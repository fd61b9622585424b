"""Where a file holds several images one is chosen by number or name, and none by chance."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.slides.scanner_files import write_ndpi
from tests.slides.test_dicom import series
from tests.slides.test_zarr import write as write_zarr
from wsi_ai.core.geometry import Size
from wsi_ai.errors import SlideError, UnknownFormat
from wsi_ai.slides.readers.images import Listed, chosen, listed
from wsi_ai.slides.registry import open_slide

Image = NDArray[np.uint8]
LEVELS = 60, 160, 220
"""Of grey-green; image n is all of the n-th."""
TILED = {"tile": (64, 64), "photometric": "rgb"}


def painted(n: int, side: int = 256) -> Image:
    return np.full((side, side, 3), (LEVELS[n], 200, LEVELS[n]), np.uint8)


def ome_tiff(folder: Path, name: str = "region") -> Path:
    path = folder / "several.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for n in range(3):
            about = {"Name": f"{name} {n + 1}", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
            writer.write(painted(n), subifds=1, metadata=about, **TILED)  # type: ignore[arg-type]
            writer.write(painted(n, 128), subfiletype=1, **TILED)  # type: ignore[arg-type]
    return path


def generic_tiff(folder: Path) -> Path:
    path = folder / "several.tif"
    with tifffile.TiffWriter(path) as writer:
        for n in range(3):
            writer.write(painted(n), metadata=None, **TILED)  # type: ignore[arg-type]
            small = painted(n, 128)
            writer.write(small, subfiletype=1, metadata=None, **TILED)  # type: ignore[arg-type]
    return path


def bioformats2raw(folder: Path, side: int = 256) -> Path:
    path = folder / "several.zarr"
    root = zarr.open_group(path, mode="w", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    root.create_group("OME").attrs["series"] = ["0", "1", "2"]
    for n in range(3):
        write_zarr(path / str(n), 4, pixels=painted(n, side if n else 256))
    return path


def one_group(folder: Path) -> Path:
    """Several images in the metadata of one Zarr group."""
    path = folder / "together.zarr"
    root = zarr.open_group(path, mode="w", zarr_format=2)
    images = []
    for n in range(3):
        inner = zarr.open_group(write_zarr(path / str(n), 4, pixels=painted(n)), mode="r")
        (image,) = inner.attrs.asdict()["multiscales"]
        datasets = [{**d, "path": f"{n}/{d['path']}"} for d in image["datasets"]]
        images.append({**image, "name": f"region {n + 1}", "datasets": datasets})
    root.attrs["multiscales"] = images
    return path


def dicom(folder: Path, **same: object) -> Path:
    """Three focal planes, each an instance of its own, and one small image of unknown plane."""
    place = folder / "series"
    place.mkdir(exist_ok=True)
    source = Path(pydicom.data.get_testdata_file("CT_small.dcm"))  # for its file meta only
    sides = {"Rows": 64, "Columns": 64, "SamplesPerPixel": 3, "PlanarConfiguration": 0}
    about = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.6", "BitsAllocated": 8, "BitsStored": 8,
        "HighBit": 7, "PixelRepresentation": 0, "PhotometricInterpretation": "RGB",
        "ImageType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
        "DimensionOrganizationType": "TILED_FULL", **sides, **same,
    }  # fmt: skip
    changes = []
    for n, side in ((0, 256), (1, 256), (2, 256), (0, 128)):
        origin = pydicom.Dataset()
        origin.ZOffsetInSlideCoordinateSystem = f"0.00{n}"
        pixels = painted(n, 64).tobytes() * (side // 64) ** 2
        changes.append({
            **about, "TotalPixelMatrixColumns": side, "TotalPixelMatrixRows": side,
            "NumberOfFrames": (side // 64) ** 2, "PixelData": pixels,
            "TotalPixelMatrixOriginSequence": [origin],
        })  # fmt: skip
    return series(place, source, changes)


Write = Callable[[Path], Path]
HOLDERS: list[Write] = [ome_tiff, generic_tiff, bioformats2raw, one_group, dicom]


@pytest.mark.parametrize("write", HOLDERS)
def test_without_a_choice_they_are_refused_and_listed(tmp_path: Path, write: Write) -> None:
    with pytest.raises(SlideError, match=r"0.*: 256 x 256 px; 1.*; 2.*choose one with --image"):
        open_slide(write(tmp_path))


@pytest.mark.parametrize("write", HOLDERS)
@pytest.mark.parametrize("number", range(3))
def test_the_chosen_one_is_read_on_every_level_and_stands_in_the_info(
    tmp_path: Path, write: Write, number: int
) -> None:
    with open_slide(write(tmp_path), image=str(number)) as slide:
        assert slide.info.image == f"image {number}"
        assert slide.info.size == Size(256, 256)
        for level, down in enumerate(slide.info.downsamples):
            side = round(256 / down)
            found = slide.read(level, 0, 0, side, side)
            np.testing.assert_array_equal(found, painted(number, side))


@pytest.mark.parametrize("write", HOLDERS)
@pytest.mark.parametrize("wanted", ["3", "-1", "macro"])
def test_one_that_is_not_there_is_refused_naming_what_is(
    tmp_path: Path, write: Write, wanted: str
) -> None:
    with pytest.raises(SlideError, match=r"no such image; --image takes one of 0.*; 1.*; 2"):
        open_slide(write(tmp_path), image=wanted)


@pytest.mark.parametrize("write", HOLDERS)
def test_whichever_is_chosen_the_bytes_are_the_same(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path)
    found = set()
    for number in "012":
        with open_slide(path, image=number) as slide:
            found.add(slide.info.fingerprint)
    assert len(found) == 1


@pytest.mark.parametrize("write", [ome_tiff, one_group])
def test_a_part_is_chosen_by_its_name(tmp_path: Path, write: Write) -> None:
    with open_slide(write(tmp_path), image="Region 2") as slide:
        assert slide.info.image == "image 1"


def svs(folder: Path) -> Path:
    """Focal planes, the coarser levels of all behind them."""
    path = folder / "planes.svs"
    with tifffile.TiffWriter(path) as writer:
        for side in (256, 64):
            for n, offset in enumerate((0.0, 1.5, -1.5)):
                about = f"Aperio Image Library v1|MPP = 0.5000|OffsetZ = {offset}"
                writer.write(painted(n, side), description=about, metadata=None, **TILED)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(
    ("wanted", "number"), [("", 0), ("0", 0), ("2", 2), ("focal plane 1.5", 1)]
)
def test_of_focal_planes_in_an_svs_the_first_or_the_chosen_one_is_read(
    tmp_path: Path, wanted: str, number: int
) -> None:
    with open_slide(svs(tmp_path), image=wanted) as slide:
        assert (slide.info.image, len(slide.info.downsamples)) == (f"image {number}", 2)
        np.testing.assert_array_equal(slide.read(1, 0, 0, 64, 64), painted(number, 64))


@pytest.mark.parametrize("planes", [(0, -2000, 2000), (-2000, 0, 2000)])
def test_of_focal_planes_in_an_ndpi_the_middle_or_the_chosen_one_is_read(
    tmp_path: Path, planes: tuple[int, ...]
) -> None:
    grey = np.full((256, 256, 3), 200, np.uint8)
    path = tmp_path / "stack.ndpi"
    write_ndpi(path, [grey, grey[:128, :128]], planes=planes)
    for number in range(3):
        for wanted in (str(number), f"focal plane {planes[number] / 1000}"):
            with open_slide(path, image=wanted) as slide:
                assert slide.info.image == f"image {number}"
                for level in (0, 1):
                    shade = slide.read(level, 0, 0, 64, 64).mean()
                    assert shade == pytest.approx(200 - 40 * number, abs=2)
    with open_slide(path) as slide:
        assert slide.info.image == f"image {planes.index(0)}"
    with pytest.raises(SlideError, match=r"focal plane -2\.0"):
        open_slide(path, image="3")


def test_a_name_that_may_be_a_slides_is_in_no_message(tmp_path: Path) -> None:
    path = ome_tiff(tmp_path, "S24-11873 Miller")
    for wanted in ("", "9"):
        with pytest.raises(SlideError) as refused:
            open_slide(path, image=wanted)
        assert "11873" not in str(refused.value)
        assert "Miller" not in str(refused.value)


def test_a_reduced_image_in_a_dicom_series_is_only_taken_where_it_is_of_the_same_plane(
    tmp_path: Path,
) -> None:
    path = dicom(tmp_path)
    for number, levels in (("0", 2), ("1", 1)):
        with open_slide(path, image=number) as slide:
            assert len(slide.info.downsamples) == levels


def test_instances_of_two_glasses_are_not_chosen_among(tmp_path: Path) -> None:
    """Whose slide it is would be read from whichever file comes first."""
    path = dicom(tmp_path)
    for n in range(3):
        data = pydicom.dcmread(path / f"{n}.dcm")
        data.ContainerIdentifier = f"G{n}"
        data.save_as(path / f"{n}.dcm")
    with pytest.raises(SlideError, match="put each into a folder of its own"):
        open_slide(path, image="1")


def test_small_images_beside_the_slide_need_no_choice(tmp_path: Path) -> None:
    with open_slide(bioformats2raw(tmp_path, side=60)) as slide:
        assert slide.info.image == "image 0"


def test_a_file_of_one_image_takes_0_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "one.tif"
    tifffile.imwrite(path, painted(0), tile=(64, 64), photometric="rgb")
    with open_slide(path, image="0") as slide:
        assert slide.info.image == ""
    with pytest.raises(SlideError, match="there is no such image"):
        open_slide(path, image="1")


def test_a_reader_that_cannot_choose_says_so(cmu: Path) -> None:
    with pytest.raises(SlideError, match="the reader openslide cannot choose an image"):
        open_slide(cmu, reader="openslide", image="1")
    with pytest.raises(UnknownFormat, match="not a DICOM file"):
        open_slide(cmu, reader="dicom", image="1")


@given(
    names=st.lists(st.text(max_size=4), min_size=1, max_size=5),
    wanted=st.one_of(st.text(max_size=4), st.integers(-2, 7).map(str)),
)
def test_a_choice_is_the_only_one_that_it_can_mean(names: list[str], wanted: str) -> None:
    images = [Listed(n, name, Size(9, 9)) for n, name in enumerate(names)]
    by_number = [n for n in range(len(names)) if str(n) == wanted]
    by_name = [n for n, name in enumerate(names) if name and name.casefold() == wanted.casefold()]
    meant = by_number or by_name
    if len(meant) == 1:
        assert chosen(images, wanted) == meant[0]
    else:
        with pytest.raises(SlideError) as refused:
            chosen(images, wanted)
        assert listed(images) in str(refused.value)


@pytest.mark.parametrize(
    ("side", "several"), [((192, 192), True), ((128, 256), True), ((128, 128), False)]
)
def test_another_image_that_is_not_much_smaller_is_no_less_another_one(
    tmp_path: Path, side: tuple[int, int], *, several: bool
) -> None:
    """A second piece of tissue would never be looked at; a level half as large is the same one."""
    path = tmp_path / "several.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(painted(0), metadata=None, **TILED)  # type: ignore[arg-type]
        other = painted(1)[: side[0], : side[1]]
        writer.write(other, metadata=None, **TILED)  # type: ignore[arg-type]
    if several:
        with pytest.raises(SlideError, match="choose one with --image"):
            open_slide(path)
        return
    with open_slide(path) as slide:
        assert slide.info.size == Size(256, 256)
