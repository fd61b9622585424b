"""Which slides a run is about: by content, each once, and nothing silently lost."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
import tifffile
import zarr

from wsi_ai.errors import InputError
from wsi_ai.slides.inputs import find_slides


def names(slides: tuple[Path, ...], root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in slides]


def write_slide(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.zeros((64, 64, 3), np.uint8), tile=(32, 32), photometric="rgb")
    return path


def write_zarr(folder: Path, dtype: str) -> None:
    group = zarr.open_group(folder, mode="w", zarr_format=3)
    group.create_array("0", shape=(3, 64, 64), chunks=(3, 64, 64), dtype=dtype)
    axes = [{"name": "c"}, {"name": "y"}, {"name": "x"}]
    group.attrs["ome"] = {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}


def write_dicom(path: Path, source: Path, series: str, kind: str = "VOLUME") -> None:
    data = pydicom.dcmread(source)
    data.SeriesInstanceUID, data.ImageType = series, ["ORIGINAL", "PRIMARY", kind, "NONE"]
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path)


@pytest.fixture
def jpeg_dicom(shared_data: Path) -> Path:
    return shared_data / "dicom" / "wsi2dcm" / "jpeg.dcm"


def test_a_folder_gives_its_slides_by_content_and_counts_what_it_passes_over(
    tmp_path: Path,
) -> None:
    write_slide(tmp_path / "deep" / "er" / "named.as-you-like")
    write_slide(tmp_path / "b.svs")
    tifffile.imwrite(tmp_path / "label.tif", np.zeros((300, 200, 3), np.uint8))
    for name in ("cases.csv", "truth.geojson", ".hidden.svs", "thumb.png", "pipe-less"):
        (tmp_path / name).write_bytes(b"{}")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "c.svs").write_bytes(b"")
    found = find_slides([tmp_path])
    assert names(found.slides, tmp_path) == ["b.svs", "deep/er/named.as-you-like"]
    over = {"label.tif", "cases.csv", "truth.geojson", ".hidden.svs", "thumb.png", "pipe-less"}
    assert {path.name for path in found.passed_over} == {*over, ".git"}
    assert "1 .geojson" in found.passed_over_by_kind()


def test_a_damaged_slide_in_a_folder_is_taken_so_that_it_is_told(shared_data: Path) -> None:
    folder = shared_data / "damaged"
    found = find_slides([folder])
    assert list(found.slides) == sorted(folder.glob("*.svs"))
    assert not found.passed_over


def test_a_large_tiff_that_is_not_tiled_is_taken_and_one_cut_short_too(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "wide.tif", np.zeros((8, 5000, 3), np.uint8))
    tifffile.imwrite(tmp_path / "small.tif", np.zeros((8, 50, 3), np.uint8))
    (tmp_path / "cut.bin").write_bytes(b"II*\0\xff\xff")
    (tmp_path / "gone.svs").symlink_to(tmp_path / "nowhere")
    found = find_slides([tmp_path])
    assert names(found.slides, tmp_path) == ["cut.bin", "gone.svs", "wide.tif"]


def test_zarr_images_are_slides_and_heatmaps_are_not(tmp_path: Path) -> None:
    write_zarr(tmp_path / "slide.ome.zarr", "uint8")
    write_zarr(tmp_path / "heatmap.ome.zarr", "float32")
    write_zarr(tmp_path / "damaged.zarr", "uint8")
    (tmp_path / "damaged.zarr" / "zarr.json").write_text("{")
    found = find_slides([tmp_path])
    assert names(found.slides, tmp_path) == ["damaged.zarr", "slide.ome.zarr"]
    assert names(found.passed_over, tmp_path) == ["heatmap.ome.zarr"]


def test_a_folder_of_one_dicom_series_is_one_slide_and_of_two_is_two(
    jpeg_dicom: Path, tmp_path: Path
) -> None:
    for n, kind in enumerate(("LABEL", "VOLUME", "VOLUME")):
        write_dicom(tmp_path / "one" / f"{n}.dcm", jpeg_dicom, "1.2.3", kind)
    for n, series in enumerate(("1.2.4", "1.2.5", "1.2.5")):
        write_dicom(tmp_path / "two" / f"{n}", jpeg_dicom, series)
    write_dicom(tmp_path / "labels" / "l.dcm", jpeg_dicom, "1.2.6", "LABEL")
    found = find_slides([tmp_path])
    assert names(found.slides, tmp_path) == ["one", "two/0", "two/1"]
    assert names(found.passed_over, tmp_path) == ["labels/l.dcm"]


def test_the_files_of_one_dicom_series_named_by_a_shells_star_are_one_slide(
    jpeg_dicom: Path, tmp_path: Path
) -> None:
    for n in range(3):
        write_dicom(tmp_path / f"{n}.dcm", jpeg_dicom, "1.2.3")
    found = find_slides(sorted(tmp_path.glob("*.dcm")))
    assert names(found.slides, tmp_path) == ["0.dcm"]


def test_the_data_folder_of_a_mirax_slide_belongs_to_it(tmp_path: Path) -> None:
    (tmp_path / "m.mrxs").write_bytes(b"")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "Data0000.dat").write_bytes(b"x")
    found = find_slides([tmp_path])
    assert names(found.slides, tmp_path) == ["m.mrxs"]
    assert not found.passed_over


def test_what_is_named_twice_runs_once(tmp_path: Path) -> None:
    slide = write_slide(tmp_path / "a" / "s.svs")
    (tmp_path / "link.svs").symlink_to(slide)
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "note.png").touch()
    again = tmp_path / "a" / ".." / "a" / "s.svs"
    found = find_slides([slide, tmp_path, again, tmp_path])
    assert found.slides == (slide,)
    assert found.passed_over == (tmp_path / "note.png",)


def test_results_in_the_folder_of_slides_are_left_alone(
    tmp_path: Path,
) -> None:
    write_slide(tmp_path / "s.svs")
    write_zarr(tmp_path / "out" / "x" / "copy.ome.zarr", "uint8")
    found = find_slides([tmp_path], out=tmp_path / "out")
    assert names(found.slides, tmp_path) == ["s.svs"]
    assert not found.passed_over


def test_a_list_is_relative_to_its_folder_and_keeps_what_is_not_there(tmp_path: Path) -> None:
    listed = tmp_path / "slides.txt"
    listed.write_text("\ufeff# a note\n\nsub/a.svs\n  b #2.svs  \n/gone/c.svs\nhttps://h/d.svs\n")
    assert find_slides([listed]).slides == (
        tmp_path / "sub/a.svs", tmp_path / "b #2.svs", Path("/gone/c.svs"), Path("https://h/d.svs"),
    )  # fmt: skip


def test_a_table_gives_each_slide_its_own_micrometres(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("mpp, slide ,note\n0.25,a.svs,x\n,b.svs,\n0.5,c.svs\n0.25,a.svs,again\n")
    found = find_slides([table])
    assert names(found.slides, tmp_path) == ["a.svs", "b.svs", "c.svs"]
    assert found.mpp == {tmp_path / "a.svs": 0.25, tmp_path / "c.svs": 0.5}


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.csv", "file;mpp\na;1\n", "a column 'slide' is needed; its columns are: file, mpp"),
        ("t.csv", "slide,mpp\na.svs,0,25\nb.svs,x\n", "line 2: mpp is to be 0.01 to 100"),
        ("t.csv", "slide,mpp\n ,0.5\n", "line 2: no slide is named"),
        ("t.csv", "slide,mpp\na.svs,0.5\na.svs,0.25\n", "line 3: the same slide with another mpp"),
        ("t.csv", 'slide\n"a.svs\n', "t.csv: line 2: its quotes"),
        ("t.csv", "slide\n", "names no slide"),
        ("t.txt", "# nothing\n", "names no slide"),
        ("t.txt", b"\xff\xfe", "is not UTF-8"),
    ],
)
def test_a_table_or_list_that_is_not_as_it_should_be_is_told(
    tmp_path: Path, name: str, content: str | bytes, told: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=told.replace(".", r"\.")):
        find_slides([path])


def test_a_typing_error_and_an_empty_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no such file or folder: .*nowhere"):
        find_slides([tmp_path / "nowhere.svs"])
    with pytest.raises(InputError, match="no slide in the folder"):
        find_slides([tmp_path])


def test_a_name_that_is_too_long_for_the_disk_is_a_slide_that_is_not_there(tmp_path: Path) -> None:
    """Its slide then says so, and the others run."""
    long = f"{'x' * 300}.svs"
    (tmp_path / "list.txt").write_text(f"{long}\n")
    assert find_slides([tmp_path / "list.txt"]).slides == (tmp_path / long,)
    with pytest.raises(InputError, match="no such file"):
        find_slides([tmp_path / long])


@pytest.mark.parametrize("text", ["slide,mpp\na.svs,2_5\n", "slide\na\0.svs\n"])
def test_a_row_that_cannot_be_meant_is_refused_by_its_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(InputError, match="line 2"):
        find_slides([tmp_path / "table.csv"])
