"""Cards of the tasks: what they ask for is taken, what contradicts itself is refused."""

from pathlib import Path

import pytest

from tests.models_for_tests import red_network, write_model
from wsi_ai.core.cards import Activation, Form, Task
from wsi_ai.errors import ModelError
from wsi_ai.models.manifest import load_card


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "red", red_network())


def changed(folder: Path, task: str, image: str = "", output: str = "", size: str = "64") -> Path:
    card = folder / "model.toml"
    text = card.read_text().replace('"tile-classification"', f'"{task}"')
    text = text.replace("size_px = 64", f"size_px = {size}" if size else "")
    text = text.replace("[output]", f"[output]\n{output}").replace("[input]", f"[input]\n{image}")
    card.write_text(text)
    return folder


def test_a_window_of_free_size_is_chosen(folder: Path) -> None:
    image = "free_size = true\nmultiple_of = 16"
    card = load_card(changed(folder, "segmentation", image, "margin_px = 24", size=""))
    assert card.task is Task.SEGMENTATION
    assert (card.tile.size_px, card.tile.stride_px, card.tile.lead_px) == (960, 896, 32)
    assert card.output.margin_px == 24


def test_tiles_of_a_segmentation_lie_around_their_cells(folder: Path) -> None:
    card = load_card(changed(folder, "segmentation", "stride_px = 48", "scale = 0.25"))
    assert (card.tile.size_px, card.tile.stride_px, card.tile.lead_px) == (64, 48, 8)
    assert card.output.scale == 0.25


def test_a_detection_says_what_its_rows_are(folder: Path) -> None:
    output = 'form = "points-xy"\nobjects = 300\nradius_um = 5\nmin_score = 0.1'
    card = load_card(changed(folder, "detection", "stride_px = 48", output))
    assert card.output.form is Form.POINTS_XY
    assert (card.output.objects, card.output.radius_um, card.output.min_score) == (300, 5, 0.1)
    assert card.tile.lead_px == 8


@pytest.mark.parametrize("scored", ["score-class", "objectness-class-scores", "class-scores"])
def test_a_softmax_is_of_a_score_for_each_class(folder: Path, scored: str) -> None:
    output = f'form = "points-xy"\nobjects = 9\nradius_um = 2\nscored = "{scored}"'
    card = changed(folder, "detection", "", output) / "model.toml"
    text = card.read_text().replace('classes = ["red"]', 'classes = ["red", "blue"]')
    card.write_text(text.replace('activation = "none"', 'activation = "softmax"'))
    if scored == "class-scores":
        assert load_card(folder).activation is Activation.SOFTMAX
        return
    with pytest.raises(ModelError, match=f"activation: there is no softmax of {scored}; use sigm"):
        load_card(folder)


POINTS = 'form = "points-xy"\nobjects = 9\n'


@pytest.mark.parametrize(
    ("task", "image", "output", "told"),
    [
        ("segmentation", "stride_px = 65", "", "input.stride_px: larger than size_px"),
        ("segmentation", "stride_px = 49", "", "input.stride_px: the overlap"),
        ("segmentation", "", "scale = 0.3", "input.size_px: 64 px are no whole number"),
        ("segmentation", "stride_px = 60", "scale = 0.25", "input.stride_px: half the overlap"),
        ("segmentation", "free_size = true\nstride_px = 8", "", "input.stride_px: follows from"),
        ("segmentation", "free_size = true", "margin_px = 99", "input.free_size: a window of 64"),
        ("segmentation", "", 'form = "points-xy"', "output.form: belongs to task 'detection'"),
        ("tile-classification", "", "margin_px = 3", "output.margin_px: belongs to task 'segm"),
        ("tile-classification", "free_size = true", "", "input.free_size: belongs to task"),
        ("detection", "", "objects = 9", "output.form: a detection needs it"),
        ("detection", "", 'form = "boxes-xyxy"', "output.objects: a detection needs it"),
        ("detection", "", POINTS, "output.radius_um: points need it"),
        ("detection", "", 'form = "boxes-xyxy"\nobjects = 9\nradius_um = 2', "is for points"),
        ("detection", "stride_px = 65", POINTS + "radius_um = 2", "larger than size_px"),
        ("segmentations", "", "", "task: 'segmentations' is not one of"),
    ],
)
def test_a_card_that_contradicts_its_task_is_refused_naming_the_field(
    folder: Path, task: str, image: str, output: str, told: str
) -> None:
    with pytest.raises(ModelError) as refused:
        load_card(changed(folder, task, image, output))
    assert "red/model.toml" in str(refused.value)
    assert told in str(refused.value)
