"""DICOM whole-slide images: every transfer syntax reads alike, and what is no slide says so."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openslide as library
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import RLELossless, generate_uid

from wsi_ai.core.contracts import Slide
from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.errors import SlideError, TileUnreadable, UnknownFormat
from wsi_ai.slides import registry
from wsi_ai.slides.readers.dicom.reader import open_slide
from wsi_ai.testing import SlideContract

Image = NDArray[np.uint8]


def whole(path: Path, level: int = 0) -> Image:
    with open_slide(path) as slide:
        size = slide.encoded_level(level).size
        return slide.read(level, 0, 0, size.width, size.height)


@pytest.fixture
def wsi2dcm(shared_data: Path) -> Path:
    return shared_data / "dicom" / "wsi2dcm"


@pytest.fixture
def highdicom(shared_data: Path) -> Path:
    return shared_data / "dicom" / "highdicom"


class TestDicom(SlideContract):
    @pytest.fixture(params=["jpeg", "jpeg2000", "raw"])
    def slide(self, wsi2dcm: Path, request: pytest.FixtureRequest) -> Iterator[Slide]:
        with open_slide(wsi2dcm / f"{request.param}.dcm") as slide:
            yield slide


def test_the_three_transfer_syntaxes_read_alike(wsi2dcm: Path) -> None:
    raw, lossless, jpeg = (whole(wsi2dcm / f"{n}.dcm") for n in ("raw", "jpeg2000", "jpeg"))
    np.testing.assert_array_equal(raw, lossless)
    assert np.abs(raw.astype(int) - jpeg).mean() < 3


@pytest.mark.parametrize("name", ["raw", "jpeg2000", "jpeg"])
def test_pixels_and_spacing_are_openslides(wsi2dcm: Path, name: str) -> None:
    path = wsi2dcm / f"{name}.dcm"
    with library.OpenSlide(path) as reference, open_slide(path) as slide:
        theirs = reference.read_region((0, 0), 0, reference.dimensions).convert("RGB")
        um = float(reference.properties["openslide.mpp-x"])
        assert slide.info.spacing == Spacing(um, um)
    np.testing.assert_array_equal(whole(path), np.asarray(theirs))


def test_the_scale_is_said_between_rows_first(tmp_path: Path, wsi2dcm: Path) -> None:
    def edit(data: Dataset) -> None:
        (groups,) = data.SharedFunctionalGroupsSequence
        groups.PixelMeasuresSequence[0].PixelSpacing = [0.0005, 0.00025]
        del data.ImagedVolumeWidth

    with open_slide(edited(tmp_path, wsi2dcm / "raw.dcm", edit)) as slide:
        assert slide.info.spacing == Spacing(0.25, 0.5)


def test_a_stream_that_cannot_be_rgb_is_ycbcr_whatever_the_header_says(
    tmp_path: Path, wsi2dcm: Path
) -> None:
    """Its colours are stored at half the width."""

    def edit(data: Dataset) -> None:
        data.PhotometricInterpretation = "RGB"

    path = edited(tmp_path, wsi2dcm / "jpeg.dcm", edit)
    np.testing.assert_array_equal(whole(path), whole(wsi2dcm / "jpeg.dcm"))


def test_the_colour_profile_is_that_of_the_optical_path(tmp_path: Path, wsi2dcm: Path) -> None:
    def edit(data: Dataset) -> None:
        data.OpticalPathSequence = [Dataset()]
        data.OpticalPathSequence[0].ICCProfile = b"a profile!"

    with open_slide(edited(tmp_path, wsi2dcm / "raw.dcm", edit)) as slide:
        assert slide.info.icc_profile == b"a profile!"


def two_planes(data: Dataset) -> None:
    data.TotalPixelMatrixFocalPlanes = 2


def two_paths(data: Dataset) -> None:
    data.OpticalPathSequence = [Dataset(), Dataset()]


@pytest.mark.parametrize("edit", [two_planes, two_paths])
def test_several_planes_or_paths_are_refused(
    tmp_path: Path, wsi2dcm: Path, edit: Callable[[Dataset], object]
) -> None:
    with pytest.raises(SlideError, match="several focal planes or optical paths"):
        open_slide(edited(tmp_path, wsi2dcm / "raw.dcm", edit))


def test_jpeg_ls_reads_with_and_without_a_table_of_offsets(highdicom: Path) -> None:
    stored = pydicom.dcmread(highdicom / "sm_image.dcm").pixel_array
    wanted = stored.reshape(5, 5, 10, 10, 3).swapaxes(1, 2).reshape(50, 50, 3)
    for name in ("sm_image", "sm_image_jpegls", "sm_image_jpegls_nobot"):
        np.testing.assert_array_equal(whole(highdicom / f"{name}.dcm"), wanted)


def series(folder: Path, source: Path, changes: list[dict[str, object]]) -> Path:
    """Instances of one series, each the source with some changes."""
    for n, change in enumerate(changes):
        data = pydicom.dcmread(source)
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        for name, value in change.items():
            setattr(data, name, value)
        data.save_as(folder / f"{n}.dcm")
    return folder


def edited(folder: Path, source: Path, edit: Callable[[Dataset], object]) -> Path:
    """One file, changed."""
    data = pydicom.dcmread(source)
    edit(data)
    data.save_as(folder / "edited.dcm")
    return folder / "edited.dcm"


def cut(header: Dataset, n: int) -> bytes:
    """The first ``n`` frames' pixels."""
    return bytes(header.PixelData[: n * header.Rows * header.Columns * 3])


def test_a_folder_is_a_pyramid_and_labels_are_left_aside(tmp_path: Path, wsi2dcm: Path) -> None:
    raw = pydicom.dcmread(wsi2dcm / "raw.dcm")
    half = {
        "TotalPixelMatrixColumns": 478, "TotalPixelMatrixRows": 357, "NumberOfFrames": 4,
        "PixelData": cut(raw, 4),
    }  # fmt: skip
    label = {"ImageType": ["ORIGINAL", "PRIMARY", "LABEL", "NONE"]}
    folder = series(tmp_path, wsi2dcm / "raw.dcm", [half, label, {}])
    for path in (folder, folder / "0.dcm", folder / "1.dcm", folder / "2.dcm"):
        with open_slide(path) as slide:
            assert slide.info.size == Size(957, 715)
            assert [round(d) for d in slide.info.downsamples] == [1, 2]
    before = open_slide(folder).info.fingerprint
    assert before == open_slide(folder / "2.dcm").info.fingerprint
    coarse = pydicom.dcmread(folder / "0.dcm")
    coarse.PixelData = cut(raw, 5)[-len(coarse.PixelData) :]
    coarse.save_as(folder / "0.dcm")
    assert open_slide(folder).info.fingerprint != before


def test_what_lies_beside_of_another_series_is_another_slide(tmp_path: Path, wsi2dcm: Path) -> None:
    raw = pydicom.dcmread(wsi2dcm / "raw.dcm")
    other = {
        "TotalPixelMatrixColumns": 478, "TotalPixelMatrixRows": 357, "NumberOfFrames": 4,
        "PixelData": cut(raw, 4), "SeriesInstanceUID": generate_uid(),
    }  # fmt: skip
    folder = series(tmp_path, wsi2dcm / "raw.dcm", [{}, other])
    for name, width in (("0.dcm", 957), ("1.dcm", 478)):
        with open_slide(folder / name) as slide:
            assert (slide.info.size.width, slide.info.downsamples) == (width, (1.0,))


def test_a_label_alone_is_refused_with_its_reason(tmp_path: Path, wsi2dcm: Path) -> None:
    label = {"ImageType": ["ORIGINAL", "PRIMARY", "LABEL", "NONE"]}
    with pytest.raises(SlideError, match="LABEL"):
        open_slide(series(tmp_path, wsi2dcm / "raw.dcm", [label]))


def sparse_frames(source: Path, places: list[int]) -> dict[str, object]:
    """Some frames of ``sm_image.dcm``, and where they lie in its grid of 5 x 5."""
    stored, groups = pydicom.dcmread(source).PixelData, []
    for n in places:
        row, col = divmod(n, 5)
        place, group = Dataset(), Dataset()
        place.ColumnPositionInTotalImagePixelMatrix = col * 10 + 1
        place.RowPositionInTotalImagePixelMatrix = row * 10 + 1
        group.PlanePositionSlideSequence = [place]
        groups.append(group)
    return {
        "DimensionOrganizationType": "TILED_SPARSE", "NumberOfFrames": len(places),
        "PerFrameFunctionalGroupsSequence": groups,
        "PixelData": b"".join(stored[n * 300 : n * 300 + 300] for n in places),
    }  # fmt: skip


def test_sparse_tiles_that_are_not_there_are_white(tmp_path: Path, highdicom: Path) -> None:
    full = whole(highdicom / "sm_image.dcm")
    sparse = sparse_frames(highdicom / "sm_image.dcm", [0, 7, 24])
    pixels = whole(series(tmp_path, highdicom / "sm_image.dcm", [sparse]))
    np.testing.assert_array_equal(pixels[10:20, 20:30], full[10:20, 20:30])
    assert (pixels[10:20, :20] == 255).all()


def test_two_frames_in_one_place_are_refused(tmp_path: Path, highdicom: Path) -> None:
    """Two planes of focus, say: which one the model saw would be chance."""
    twice = sparse_frames(highdicom / "sm_image.dcm", [0, 7, 7])
    with pytest.raises(SlideError, match="several frames in one place"):
        open_slide(series(tmp_path, highdicom / "sm_image.dcm", [twice]))


def test_parts_of_a_concatenation_are_one_level(tmp_path: Path, highdicom: Path) -> None:
    source = highdicom / "sm_image.dcm"
    stored, uid = pydicom.dcmread(source).PixelData, generate_uid()
    parts: list[dict[str, object]] = [
        {
            "ConcatenationUID": uid, "ConcatenationFrameOffsetNumber": first,
            "NumberOfFrames": count, "PixelData": stored[first * 300 : (first + count) * 300],
        }
        for first, count in ((0, 11), (11, 14))
    ]  # fmt: skip
    np.testing.assert_array_equal(whole(series(tmp_path, source, parts)), whole(source))


@pytest.mark.parametrize(
    "other",
    [
        {"PhotometricInterpretation": "YBR_FULL"},
        {"Rows": 5, "Columns": 20},
        {"TotalPixelMatrixRows": 40},
    ],
)
def test_parts_of_one_image_that_are_not_alike_are_refused(
    tmp_path: Path, highdicom: Path, other: dict[str, object]
) -> None:
    """Read by the first one's rule, the second one's colours or places would be others."""
    source = highdicom / "sm_image.dcm"
    stored, uid = pydicom.dcmread(source).PixelData, generate_uid()
    parts: list[dict[str, object]] = [
        {
            "ConcatenationUID": uid, "ConcatenationFrameOffsetNumber": first,
            "NumberOfFrames": count, "PixelData": stored[first * 300 : (first + count) * 300],
        }
        for first, count in ((0, 11), (11, 14))
    ]  # fmt: skip
    with pytest.raises(SlideError, match="differ"):
        open_slide(series(tmp_path, source, [parts[0], {**parts[1], **other}]))


def test_where_a_part_is_missing_its_frames_cannot_be_read(tmp_path: Path, highdicom: Path) -> None:
    source = highdicom / "sm_image.dcm"
    part: dict[str, object] = {
        "ConcatenationUID": generate_uid(), "ConcatenationFrameOffsetNumber": 0,
        "NumberOfFrames": 11, "PixelData": pydicom.dcmread(source).PixelData[: 11 * 300],
    }  # fmt: skip
    with open_slide(series(tmp_path, source, [part])) as slide:
        slide.read(0, 0, 0, 50, 20)
        with pytest.raises(TileUnreadable, match="missing"):
            slide.read(0, 0, 40, 10, 10)


@pytest.mark.parametrize("moved_px", [-10, 50])
def test_a_frame_beside_the_image_is_refused_and_leaves_no_white_place(
    tmp_path: Path, highdicom: Path, moved_px: int
) -> None:
    moved = sparse_frames(highdicom / "sm_image.dcm", [0, 20])
    groups: Any = moved["PerFrameFunctionalGroupsSequence"]
    groups[1].PlanePositionSlideSequence[0].ColumnPositionInTotalImagePixelMatrix += moved_px
    with pytest.raises(SlideError, match="outside the image"):
        open_slide(series(tmp_path, highdicom / "sm_image.dcm", [moved]))


def test_places_for_fewer_frames_than_there_are_is_what_the_refusal_says(
    tmp_path: Path, highdicom: Path
) -> None:
    few = sparse_frames(highdicom / "sm_image.dcm", [0, 7, 24])
    del few["PerFrameFunctionalGroupsSequence"][2]  # type: ignore[attr-defined]
    with pytest.raises(SlideError, match="says of 2 frames where they lie; there are 3"):
        open_slide(series(tmp_path, highdicom / "sm_image.dcm", [few]))


@pytest.mark.parametrize("said", [0.0005, [0.0005, 0.0005, 0.0005], [0, 0], None])
def test_a_spacing_that_is_none_never_stops_a_slide_that_is_given_one(
    tmp_path: Path, highdicom: Path, said: object
) -> None:
    def edit(data: Dataset) -> None:
        measures = data.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        measures.PixelSpacing = said

    path = edited(tmp_path, highdicom / "sm_image.dcm", edit)
    assert open_slide(path).info.spacing is None
    assert open_slide(path, Spacing(0.5, 0.5)).info.spacing == Spacing(0.5, 0.5)


def test_a_transfer_syntax_that_nobody_knows_is_named(tmp_path: Path, highdicom: Path) -> None:
    def edit(data: Dataset) -> None:
        data.file_meta.TransferSyntaxUID = "1.2.3.4"

    with pytest.raises(SlideError, match=r"transfer syntax 1\.2\.3\.4 is not supported"):
        open_slide(edited(tmp_path, highdicom / "sm_image.dcm", edit))


def test_frames_off_the_grid_are_refused(tmp_path: Path, highdicom: Path) -> None:
    moved = sparse_frames(highdicom / "sm_image.dcm", [0, 7])
    groups: Any = moved["PerFrameFunctionalGroupsSequence"]
    groups[1].PlanePositionSlideSequence[0].RowPositionInTotalImagePixelMatrix += 3
    with pytest.raises(SlideError, match="grid"):
        open_slide(series(tmp_path, highdicom / "sm_image.dcm", [moved]))


def test_run_lengths_are_decoded(tmp_path: Path, highdicom: Path) -> None:
    data = pydicom.dcmread(highdicom / "sm_image.dcm")
    data.compress(RLELossless, generate_instance_uid=False)
    data.save_as(tmp_path / "rle.dcm")
    np.testing.assert_array_equal(whole(tmp_path / "rle.dcm"), whole(highdicom / "sm_image.dcm"))


def test_frames_in_several_fragments_are_joined(tmp_path: Path, wsi2dcm: Path) -> None:
    data = pydicom.dcmread(wsi2dcm / "jpeg.dcm")
    frames = list(pydicom.encaps.generate_frames(data.PixelData, number_of_frames=12))
    data.PixelData = encapsulate(frames, fragments_per_frame=3)
    data.save_as(tmp_path / "parts.dcm")
    np.testing.assert_array_equal(whole(tmp_path / "parts.dcm"), whole(wsi2dcm / "jpeg.dcm"))


def test_a_frame_of_nothing_cannot_be_read(tmp_path: Path, wsi2dcm: Path) -> None:
    data = pydicom.dcmread(wsi2dcm / "jpeg.dcm")
    frames = list(pydicom.encaps.generate_frames(data.PixelData, number_of_frames=12))
    data.PixelData = encapsulate([frames[0], b"\0\0", *frames[2:]])
    data.save_as(tmp_path / "empty.dcm")
    with open_slide(tmp_path / "empty.dcm") as slide:
        slide.read(0, 0, 0, 200, 200)
        with pytest.raises(TileUnreadable):
            slide.read(0, 256, 0, 20, 20)


@pytest.mark.parametrize("name", ["seg_image_sm_dots", "sm_annotations", "sm_image_grayscale"])
def test_what_is_no_slide_is_refused(highdicom: Path, name: str) -> None:
    with pytest.raises(SlideError) as refused:
        open_slide(highdicom / f"{name}.dcm")
    assert not isinstance(refused.value, UnknownFormat)


def test_what_is_no_dicom_is_declined(cmu: Path, tmp_path: Path) -> None:
    for path in (cmu, tmp_path):
        with pytest.raises(UnknownFormat):
            open_slide(path)


def test_a_file_cut_short_is_refused_or_loses_frames(tmp_path: Path, wsi2dcm: Path) -> None:
    whole_file = (wsi2dcm / "raw.dcm").read_bytes()
    path = tmp_path / "cut.dcm"
    path.write_bytes(whole_file[: len(whole_file) // 2])
    with open_slide(path) as slide:
        slide.read(0, 0, 0, 256, 256)
        with pytest.raises(TileUnreadable):
            slide.read(0, 500, 600, 100, 100)


def test_a_file_that_is_dicom_and_tiff_at_once_is_read_as_dicom(
    tmp_path: Path, wsi2dcm: Path
) -> None:
    """As in archives whose files open in programs for TIFF as well."""
    data = bytearray((wsi2dcm / "jpeg.dcm").read_bytes())
    data[:8] = b"II*\0" + (132).to_bytes(4, "little")
    path = tmp_path / "both.dcm"
    path.write_bytes(data)
    with registry.open_slide(path) as slide:
        assert slide.info.reader == "dicom"


def test_a_scale_that_does_not_go_with_the_size_on_the_glass_is_not_believed(
    tmp_path: Path, wsi2dcm: Path
) -> None:
    def edit(data: Dataset) -> None:
        data.ImagedVolumeWidth = float(data.ImagedVolumeWidth) * 2

    with open_slide(edited(tmp_path, wsi2dcm / "raw.dcm", edit)) as slide:
        assert slide.info.spacing is None
        assert "by the size of what it images" in slide.info.scale_doubt


def test_frames_of_several_fragments_are_found_by_the_extended_table(
    tmp_path: Path, wsi2dcm: Path
) -> None:
    source = pydicom.dcmread(wsi2dcm / "jpeg.dcm")
    frames = list(generate_frames(source.PixelData, number_of_frames=int(source.NumberOfFrames)))
    items, offsets, at = b"", [], 0
    for frame in frames:
        offsets.append(at)
        middle = len(frame) // 4 * 2
        for part in (frame[:middle], frame[middle:]):
            items += b"\xfe\xff\x00\xe0" + len(part).to_bytes(4, "little") + part
            at += 8 + len(part)

    def edit(data: Dataset) -> None:
        data.ExtendedOffsetTable = b"".join(n.to_bytes(8, "little") for n in offsets)
        data.ExtendedOffsetTableLengths = b"".join(len(f).to_bytes(8, "little") for f in frames)
        empty = b"\xfe\xff\x00\xe0\0\0\0\0"
        data.PixelData = empty + items + b"\xfe\xff\xdd\xe0\0\0\0\0"
        data["PixelData"].is_undefined_length = True

    path = edited(tmp_path, wsi2dcm / "jpeg.dcm", edit)
    np.testing.assert_array_equal(whole(path), whole(wsi2dcm / "jpeg.dcm"))


def test_an_image_type_without_its_third_word_is_what_the_refusal_says(
    tmp_path: Path, highdicom: Path
) -> None:
    path = edited(
        tmp_path,
        highdicom / "sm_image.dcm",
        lambda data: setattr(data, "ImageType", ["ORIGINAL", "PRIMARY"]),
    )
    with pytest.raises(SlideError, match="ImageType does not say what it shows"):
        open_slide(path)
