"""Models of the WSInfer zoo: their card, their grid, their pixels, their table."""

import csv
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.models_for_tests import red_network, write_model
from wsi_ai.app import RunOptions, run_slides
from wsi_ai.cli import app
from wsi_ai.core.cards import Activation, ReadLike, TileSpec
from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.core.values import SlideInfo
from wsi_ai.errors import ModelError, OutputError
from wsi_ai.models.drafts.wsinfer import load_zoo_model
from wsi_ai.models.manifest import load_card
from wsi_ai.slides.readers.tiff.reader import open_slide
from wsi_ai.tiles.planning import plan_tiles
from wsi_ai.tiles.reading import HostTiles
from wsi_ai.tiles.reading.resize import resized

# The example of wsinfer's own tests, tests/test_all.py.
CONFIG: dict[str, Any] = {
    "spec_version": "1.0",
    "architecture": "resnet34",
    "num_classes": 2,
    "class_names": ["Other", "Tumor"],
    "patch_size_pixels": 350,
    "spacing_um_px": 0.25,
    "transform": [
        {"name": "Resize", "arguments": {"size": 224}},
        {"name": "ToTensor"},
        {
            "name": "Normalize",
            "arguments": {"mean": [0.7238, 0.5716, 0.6779], "std": [0.112, 0.1459, 0.1089]},
        },
    ],
}
TEXTS = ["operating_point.chosen_for", "operating_point.calibrated_on", "scope.stain",
         "scope.organ", "card.intended_use", "card.licence", "card.training_data",
         "card.evidence", "card.limitations"]  # fmt: skip


def zoo_model(folder: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}))
    (folder / "torchscript_model.pt").write_bytes(b"weights")
    return folder


def test_a_zoo_model_becomes_a_card(tmp_path: Path) -> None:
    words = ["models", "import-wsinfer", str(zoo_model(tmp_path / "zoo")), "--out"]
    words += [str(tmp_path / "m"), "--positive", "Tumor", "--threshold", "0.5"]
    words += [word for field in TEXTS for word in ("--set", f"{field}=said")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.stderr
    card = load_card(tmp_path / "m")
    assert card.tile == TileSpec(224, 350 * 0.25 / 224, 224, parity=ReadLike.WSINFER)
    assert (card.format, card.classes) == ("torchscript", ("Other", "Tumor"))
    assert card.activation is Activation.SOFTMAX
    assert card.input.mean == (0.7238, 0.5716, 0.6779)
    assert card.weights.read_bytes() == b"weights"


def test_a_single_logit_is_a_sigmoid_and_its_class_is_the_positive_one(tmp_path: Path) -> None:
    model = load_zoo_model(str(zoo_model(tmp_path / "a", num_classes=1, class_names=["Tumor"])))
    assert model.seen.activation is Activation.SIGMOID
    assert model.seen.fields["operating_point.class"] == "Tumor"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"num_classes": 3}, "class_names: not as many as num_classes"),
        ({"spec_version": "2.0"}, "spec_version: '2.0' is not one of"),
        ({"patch_size_pixels": 0}, "patch_size_pixels: 0 is less than the minimum of 1"),
        ({"transform": [{"name": "ToTensor"}]}, "transform: .* are understood"),
        ({"transform": [{"name": "Crop"}]}, "transform.0.name: 'Crop' is not one of"),
        (
            {
                "transform": [
                    {"name": "Resize", "arguments": {"size": 9, "interpolation": 3}},
                    {"name": "ToTensor"},
                ]
            },
            "transform.0.arguments: a size in pixels is understood, and nothing else",
        ),
    ],
)
def test_what_wsinfer_would_do_otherwise_is_refused(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ModelError, match=rf"config\.json: {told}"):
        load_zoo_model(str(zoo_model(tmp_path / "zoo", **changes)))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such folder, and no repository"):
        load_zoo_model("nowhere")
    folder = zoo_model(tmp_path / "zoo")
    (folder / "torchscript_model.pt").unlink()
    with pytest.raises(ModelError, match=r"torchscript_model\.pt is not beside config\.json"):
        load_zoo_model(str(folder))
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"config\.json: No such file"):
        load_zoo_model(str(folder))


def test_only_a_named_repository_is_downloaded_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a stand-in for huggingface_hub, which notes what it is asked for."""
    folder, asked = zoo_model(tmp_path / "zoo"), list[tuple[str, str, str | None]]()

    def download(repo: str, name: str, revision: str | None) -> str:
        asked.append((repo, name, revision))
        if repo == "none/none":
            raise OSError("offline\nmore")
        return str(folder / name)

    hub = types.ModuleType("huggingface_hub")
    hub.__dict__["hf_hub_download"] = download
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    load_zoo_model(str(folder))
    assert asked == []
    model = load_zoo_model("kaczmarj/breast.resnet34@v2")
    assert model.name == "breast.resnet34"
    assert asked == [
        ("kaczmarj/breast.resnet34", "config.json", "v2"),
        ("kaczmarj/breast.resnet34", "torchscript_model.pt", "v2"),
    ]
    with pytest.raises(ModelError, match=r"config\.json of none/none cannot be had: offline$"):
        load_zoo_model("none/none")


@pytest.mark.parametrize(("patch", "um", "mpp", "side"), [
    (350, 0.25, 0.499, 175), (350, 0.25, 0.5, 175), (175, 0.25, 0.5, 88), (100, 0.88, 0.499, 176),
    (87, 0.5, 0.25, 174), (225, 0.3, 0.6, 112), (227, 0.3, 0.6, 114),
])  # fmt: skip
def test_patches_are_of_as_many_whole_pixels_as_wsinfers(
    patch: int, um: float, mpp: float, side: int
) -> None:
    """``round(patch_size * spacing / mpp)``; halves go to the even number."""
    slide = SlideInfo("s", Size(2000, 1000), Spacing(mpp, mpp), (1.0, 4.0), "f")
    spec = TileSpec(224, patch * um / 224, 224, parity=ReadLike.WSINFER)
    plan = plan_tiles(slide, np.ones((4, 4), bool), spec)
    assert (plan.level, plan.read_px) == (0, Size(side, side))
    x, y = plan.corners(0, len(plan))
    assert set(x.tolist()) == set(range(0, 2000, side))
    assert set(y.tolist()) == set(range(0, 1000, side))


@pytest.mark.parametrize(("read", "side"), [(175, 224), (350, 224), (501, 96), (224, 224)])
def test_pixels_are_resized_as_torchvision_resizes_a_pillow_image(read: int, side: int) -> None:
    transforms = pytest.importorskip("torchvision.transforms", reason="torchvision is missing")
    pixels = np.random.default_rng(read).integers(0, 256, (read, read, 3), dtype=np.uint8)
    expected = np.asarray(transforms.Resize(side)(Image.fromarray(pixels)))
    np.testing.assert_array_equal(resized(pixels, side), expected)


def test_tiles_are_wsinfers_to_the_pixel_also_where_they_reach_beyond_the_slide(cmu: Path) -> None:
    spec = TileSpec(96, 1.3, 96, parity=ReadLike.WSINFER)
    with open_slide(cmu, None) as slide, openslide.OpenSlide(cmu) as reference:
        plan = plan_tiles(slide.info, np.ones((4, 4), bool), spec)
        side, seen = plan.read_px.width, 0
        for batch in HostTiles(32, threads=2)(slide, plan, 0):
            for tile, pixels in zip(batch.index.tolist(), np.asarray(batch.pixels), strict=True):
                region = reference.read_region(plan.origin(tile), 0, (side, side)).convert("RGB")
                expected = region.resize((96, 96), Image.Resampling.BILINEAR)
                np.testing.assert_array_equal(pixels, np.asarray(expected))
                seen += 1
        assert seen == len(plan) == plan.grid[0] * plan.grid[1]
        assert slide.info.size.width % side
        assert slide.info.size.height % side


def test_the_table_has_wsinfers_columns_and_a_row_for_each_assessed_tile(
    cmu: Path, tmp_path: Path
) -> None:
    model = write_model(tmp_path / "m", red_network(), mpp=1.0)
    card = model / "model.toml"
    card.write_text(card.read_text().replace("mpp = 1.0", 'mpp = 1.0\nparity = "wsinfer"'))
    options = RunOptions(formats=("wsinfer",))
    (outcome,) = run_slides([cmu], model, tmp_path / "out", options)
    assert outcome.folder is not None
    with (outcome.folder / "wsinfer.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header == ["minx", "miny", "width", "height", "prob_red"]
    record = json.loads((outcome.folder / "run.json").read_text())
    assert len(rows) == record["tiles"]["inferred"] > 50
    places = [(int(row[0]), int(row[1])) for row in rows]
    assert places == sorted(places)
    with openslide.OpenSlide(cmu) as slide:
        for x, y, width, height, score in rows[::20]:
            assert (width, height) == ("128", "128")
            region = slide.read_region((int(x), int(y)), 0, (128, 128)).convert("RGB")
            expected = np.asarray(region.resize((64, 64), Image.Resampling.BILINEAR))[..., 0].mean()
            assert float(score) == pytest.approx(expected / 255, abs=1e-5)


def test_an_unknown_format_is_told_before_any_slide(cmu: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", red_network(), mpp=1.0)
    with pytest.raises(OutputError, match="no format is called tables; there are wsinfer"):
        list(run_slides([cmu], model, tmp_path / "out", RunOptions(formats=("tables",))))
