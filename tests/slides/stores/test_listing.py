"""A prefix of a bucket lists its slides as a folder does."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from tests.stand_in_runs import write_slide
from wsi_ai.errors import InputError, SlideError
from wsi_ai.slides.headers import header_of, header_of_open
from wsi_ai.slides.identity import load_cases
from wsi_ai.slides.inputs import find_slides
from wsi_ai.slides.registry import open_slide
from wsi_ai.testing import ObjectStore, Stored

BUCKET = "s3://slides"


def upload(folder: Path, store: ObjectStore) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            key = path.relative_to(folder).as_posix()
            store.objects[f"slides/{key}"] = Stored(path.read_bytes())


def write_zarr(folder: Path, *, label: bool = False) -> None:
    group = zarr.open_group(folder, mode="w", zarr_format=3)
    pixels = np.full((3, 64, 64), 200, np.uint8)
    group.create_array("0", data=pixels, chunks=(3, 32, 32))
    axes = [{"name": "c", "type": "channel"}, {"name": "y"}, {"name": "x"}]
    said = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    group.attrs["ome"] = said | ({"image-label": {}} if label else {})
    if label:
        group.create_array("1", data=np.zeros((8, 8), np.float32))
        group.attrs["ome"] = {"multiscales": [{"axes": axes[1:], "datasets": [{"path": "1"}]}]}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    for name in ("a/one.tif", "a/b/two.tif", "three.tif", "a/.hidden/four.tif", "m/.five.tif"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        write_slide(tree / name, side=128)
    (tree / "notes.txt").write_text("nothing")
    (tree / "a/broken.svs").write_bytes(b"no slide at all")
    tifffile.imwrite(tree / "a/label.tif", np.zeros((64, 64, 3), np.uint8), photometric="rgb")
    write_zarr(tree / "z/image.ome.zarr")
    write_zarr(tree / "z/heatmap.ome.zarr", label=True)
    (tree / "m/scan").mkdir()
    (tree / "m/scan.mrxs").write_bytes(b"\xff\xd8\xff\xe0 a mirax slide begins as JPEG")
    write_slide(tree / "m/scan/inside.tif", side=128)
    return tree


def below(found: list[Path], root: str) -> list[str]:
    return sorted(str(path).removeprefix(root) for path in found)


def test_a_prefix_lists_what_the_folder_lists(tree: Path, store: ObjectStore) -> None:
    upload(tree, store)
    here, there = find_slides([tree]), find_slides([Path(BUCKET)])
    assert below(list(there.slides), "s3:/slides") == below(list(here.slides), str(tree))
    assert len(here.slides) == 6


def test_a_folder_of_a_bucket_lists_only_what_is_below_it(tree: Path, store: ObjectStore) -> None:
    upload(tree, store)
    found = find_slides([Path("s3://slides/a")])
    assert below(list(found.slides), "s3:/slides/a/") == ["b/two.tif", "broken.svs", "one.tif"]
    assert found.in_folders == set(found.slides)


def test_dicom_in_a_bucket_is_listed_and_read_by_series(
    shared_data: Path, store: ObjectStore
) -> None:
    """Opened where both open: what one refuses the other does, too."""
    upload(shared_data / "dicom", store)
    here, there = find_slides([shared_data / "dicom"]), find_slides([Path(BUCKET)])
    assert below(list(there.slides), "s3:/slides") == below(
        list(here.slides), str(shared_data / "dicom")
    )
    slide = shared_data / "dicom/highdicom/sm_image.dcm"
    at = Path("s3://slides/highdicom/sm_image.dcm")
    assert header_of(at) == header_of(slide) != {}
    with open_slide(slide) as one, open_slide(at) as other:
        assert one.info == other.info
        assert header_of_open(at, other.info.dicom) == header_of(slide)


def test_results_below_a_prefix_are_no_slides(tree: Path, store: ObjectStore) -> None:
    """A mask is an image of 8 bits, too."""
    upload(tree, store)
    write_zarr(tree / "out/s-1/m/run/segmentation.ome.zarr")
    upload(tree / "out", store)
    store.objects["slides/s-1/m/current.json"] = Stored(b"{}")
    assert len(find_slides([Path(BUCKET)]).slides) == 6


@pytest.mark.parametrize("key", ["z/a.zarr/../../../x", "z/a.zarr/\x07"])
def test_no_key_leads_out_of_the_folder_of_copies(tree: Path, store: ObjectStore, key: str) -> None:
    store.objects["slides/z/a.zarr/zarr.json"] = Stored(b"{}")
    store.objects[f"slides/{key}"] = Stored(b"out")
    with pytest.raises(SlideError):
        open_slide(Path("s3://slides/z/a.zarr"))
    assert not [path for path in tree.parent.rglob("x") if path.is_file()]


def test_a_list_whose_tags_have_no_quotes_is_of_the_same_objects(
    tree: Path, store: ObjectStore
) -> None:
    """As Azure has them."""
    upload(tree, store)
    store.faults.bare_tags_in_lists = True
    assert len(find_slides([Path(BUCKET)]).slides) == 6
    at = "z/image.ome.zarr"
    with open_slide(tree / at) as here, open_slide(Path(f"{BUCKET}/{at}")) as there:
        assert here.info == there.info


def test_a_zarr_folder_in_a_bucket_is_a_slide(tree: Path, store: ObjectStore) -> None:
    upload(tree, store)
    at = "z/image.ome.zarr"
    with open_slide(tree / at) as here, open_slide(Path(f"{BUCKET}/{at}")) as there:
        assert here.info == there.info


def test_an_object_that_is_named_is_taken_without_looking(store: ObjectStore) -> None:
    found = find_slides([Path("s3://slides/a.svs"), Path("https://h.example/b.svs")])
    assert [str(path) for path in found.slides] == ["s3:/slides/a.svs", "https:/h.example/b.svs"]
    assert store.requests == []


def test_a_list_may_name_objects(tmp_path: Path, store: ObjectStore) -> None:
    (tmp_path / "list.txt").write_text("s3://slides/a.svs\n")
    assert find_slides([tmp_path / "list.txt"]).slides == (Path("s3://slides/a.svs"),)


def test_a_prefix_with_no_slide_or_no_store_is_an_error_of_the_command(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="no slide below"):
        find_slides([Path("s3://slides/nothing")])
    monkeypatch.setenv("WSI_AI_STORE_SECONDS", "0.2")
    store.faults.always = 503
    with pytest.raises(InputError, match="run it again"):
        find_slides([Path("s3://slides/nothing")])


def test_a_case_table_names_objects_by_their_address(tmp_path: Path) -> None:
    """And one at another address, of the same name, is not meant."""
    (tmp_path / "cases.csv").write_text(
        "file,trust,accession,slide_id\ns3://slides/a/one.svs,RXX,A1,1\n"
    )
    cases = load_cases(tmp_path / "cases.csv")
    assert cases.identity_of(Path("s3://slides/a/one.svs")) is not None
    assert cases.identity_of(Path("s3://slides/b/one.svs")) is None
    assert cases.identity_of(Path("/data/one.svs")) is None
