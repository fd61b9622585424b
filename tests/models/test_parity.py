"""Golden tiles: stored, held to, and what it takes to be refused."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import DEMO_MODEL
from tests.models_for_tests import (
    constant_network,
    mean_network,
    red_network,
    write_encoder,
    write_model,
)
from wsi_ai.cli import model_checks as models
from wsi_ai.core.cards import ModelCard, Precision, RuntimeRequest
from wsi_ai.core.values import Predictions, TileBatch
from wsi_ai.errors import DeviceError, ModelError
from wsi_ai.inference.registry import open_runtime
from wsi_ai.models.golden import (
    Differences,
    Golden,
    compare,
    load_golden,
    write_scores,
    write_sheet,
)
from wsi_ai.models.manifest import load_card, load_variants
from wsi_ai.models.parity import (
    GoldenResult,
    hold_to_golden,
    make_golden,
    scores,
    tissue_tiles,
    verify,
)
from wsi_ai.slides.registry import open_slide
from wsi_ai.testing.stand_ins import MEAN_CARD
from wsi_ai.tiles.planning import plan_for
from wsi_ai.tiles.reading.sample import recolour_for
from wsi_ai.tissue.mask import find_tissue
from wsi_ai.tissue.thumbnail import take_thumbnail

CPU = RuntimeRequest("cpu")


def with_golden(folder: Path) -> Path:
    """A model of red tiles, from black to red, with their scores."""
    card = load_card(write_model(folder, red_network()))
    tiles = np.zeros((9, 64, 64, 3), np.uint8)
    tiles[..., 0] = np.linspace(0, 255, 9).astype(np.uint8)[:, None, None]
    runtime = open_runtime(card, CPU)
    stored = write_sheet(card, tiles)
    write_scores(card, Golden(stored, scores(runtime, stored), runtime.description))
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return with_golden(tmp_path / "m")


def add_variant(model: Path, network: bytes, name: str) -> None:
    """The same model in another file, whatever is in it."""
    other = write_model(model.parent / name, network)
    (other / "weights.onnx").rename(model / name)
    digest = load_digest(other / "model.toml")
    variant = f'[[variants]]\npath = "{name}"\nformat = "onnx"\nsha256 = "{digest}"\n'
    card = (model / "model.toml").read_text("utf-8")
    (model / "model.toml").write_text(card + variant, "utf-8")


def load_digest(card: Path) -> str:
    return card.read_text("utf-8").partition('sha256 = "')[2][:64]


def test_golden_tiles_read_back_as_they_were_stored(model: Path) -> None:
    golden = load_golden(load_card(model))
    assert golden is not None
    assert golden.tiles.shape == (9, 64, 64, 3)
    red = golden.tiles[..., 0].mean(axis=(1, 2)) / 255
    np.testing.assert_allclose(golden.scores[:, 0], red, atol=1e-6)
    assert golden.made_by.startswith("onnxruntime")


def test_a_model_without_golden_tiles_has_none(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", red_network())
    assert load_golden(load_card(folder)) is None
    with pytest.raises(ModelError, match="wsi-ai models golden"):
        list(verify(folder))


def test_other_pixels_than_were_stored_are_refused(model: Path) -> None:
    sheet = model / "golden.jpg"
    write_sheet(load_card(model), np.full((9, 64, 64, 3), 90, np.uint8))
    assert sheet.exists()
    with pytest.raises(ModelError, match="golden tile 0 does not have the pixels it had"):
        load_golden(load_card(model))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"weights_sha256": "', '"weights_sha256": "0', "weights_sha256"),
        ('"sheet": "golden.jpg"', '"sheet": "../golden.jpg"', "sheet"),
        ('"sheet": "golden.jpg"', '"sheet": "other.jpg"', "No such file"),
        ("{", "", "is not valid JSON"),
    ],
)
def test_a_damaged_golden_file_is_refused_with_its_reason(
    model: Path, old: str, new: str, told: str
) -> None:
    path = model / "golden.json"
    path.write_text(path.read_text("utf-8").replace(old, new, 1), "utf-8")
    with pytest.raises(ModelError, match=told):
        load_golden(load_card(model))


def test_golden_scores_of_other_weights_are_refused(model: Path, tmp_path: Path) -> None:
    write_model(model, constant_network([0.5]))
    with pytest.raises(ModelError, match="other weights"):
        load_golden(load_card(model))


def test_every_runtime_here_is_held_to_the_golden_scores(model: Path) -> None:
    rows = list(verify(model))
    ran = [row for row in rows if row.differences is not None]
    assert ran[0].runtime.startswith("onnxruntime")
    assert all(row.accepted for row in ran)
    assert all(row.reason for row in rows if row.differences is None)


def test_a_variant_that_changes_a_flag_is_refused(model: Path) -> None:
    add_variant(model, red_network().SerializeToString(), "same.onnx")
    add_variant(model, constant_network([0.25]).SerializeToString(), "other.onnx")
    own, same, other = verify(model, [CPU])
    assert own.accepted
    assert same.accepted
    assert not other.accepted
    assert other.differences is not None
    assert other.differences.flag_changes == 4  # of nine shades, those over one half


def test_torch_gives_what_onnx_gives(model: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from tests.inference.torch_models import Nets, Red

    network = Nets(Red("nhwc", "uint8"), torch.zeros(2, 64, 64, 3, dtype=torch.uint8))
    add_variant(model, network.pt2(), "weights.pt2")
    card = model / "model.toml"
    before, _, after = card.read_text("utf-8").rpartition('format = "onnx"')
    card.write_text(f'{before}format = "pt2"{after}', "utf-8")
    assert [c.format for c in load_variants(model)] == ["onnx", "pt2"]
    assert [row.accepted for row in verify(model, [CPU])] == [True, True]


class Shifted:
    """A runtime that adds something to every score."""

    batch_size = 4

    def __init__(self, card: ModelCard, shift: float, description: str = "shifted/host") -> None:
        self.card, self.shift, self.description = card, shift, description

    def predict(self, batches: Iterable[TileBatch]) -> Iterator[Predictions]:
        for batch in batches:
            red = np.asarray(np.from_dlpack(batch.pixels))[..., 0].mean(axis=(1, 2)) / 255
            shifted = np.clip(red + self.shift, 0, 1).astype(np.float32)[:, None]
            yield Predictions(batch.slide_id, batch.index, shifted)


def test_a_runtime_that_changes_a_flag_is_refused_for_the_model(model: Path) -> None:
    card = load_card(model)
    hold_to_golden(Shifted(card, 0.0), Precision.FP32)
    with pytest.raises(DeviceError, match="changes the flag of 1 of 9 golden tiles"):
        hold_to_golden(Shifted(card, 0.1), Precision.FP32)


def test_the_runtime_that_made_the_golden_scores_is_not_run_again(model: Path) -> None:
    golden = load_golden(load_card(model))
    assert golden is not None
    hold_to_golden(Shifted(load_card(model), 0.4, golden.made_by), Precision.FP32)


class Stretched(Shifted):
    """Its vectors are too long by a share."""

    def predict(self, batches: Iterable[TileBatch]) -> Iterator[Predictions]:
        for batch in batches:
            mean = np.asarray(np.from_dlpack(batch.pixels)).mean(axis=(1, 2)) / 255
            yield Predictions(batch.slide_id, batch.index, np.float32((1 + self.shift) * mean))


def test_vectors_are_held_to_the_golden_ones_by_their_lengths(cmu: Path, tmp_path: Path) -> None:
    model = write_encoder(tmp_path / "m", mean_network())
    make_golden(model, [cmu], 6)
    card = load_card(model)
    golden = load_golden(card)
    assert golden is not None
    assert golden.scores.shape == (6, 3)
    assert len(np.unique(golden.scores, axis=0)) == 6
    assert all(row.accepted for row in verify(model, [CPU]))
    hold_to_golden(Stretched(card, 0.00005), Precision.FP32)
    with pytest.raises(DeviceError, match=r"gives vectors 1\.0e-02 away from the golden ones"):
        hold_to_golden(Stretched(card, 0.01), Precision.FP32)
    hold_to_golden(Stretched(card, 0.0099), Precision.FP16)
    assert compare(golden, np.full((6, 3), np.nan, np.float32), card).flag_changes == 6


def test_golden_vectors_of_another_length_are_refused(cmu: Path, tmp_path: Path) -> None:
    model = write_encoder(tmp_path / "m", mean_network())
    make_golden(model, [cmu], 2)
    path = model / "golden.json"
    table = json.loads(path.read_text())
    table["tiles"][1]["scores"] = [0.5]
    path.write_text(json.dumps(table))
    with pytest.raises(ModelError, match=r"golden\.json: not 3 numbers for each tile"):
        load_golden(load_card(model))


def test_golden_tiles_have_the_colours_that_the_network_sees(cmu: Path, tmp_path: Path) -> None:
    plain = write_model(tmp_path / "plain", red_network(), mpp=1.0)
    said = 'stain_normalisation = "macenko"'
    model = write_model(tmp_path / "m", red_network(), mpp=1.0, input=said)
    seen, raw = (tissue_tiles(cmu, load_card(folder)) for folder in (model, plain))
    with open_slide(cmu) as slide:
        card = load_card(model)
        plan = plan_for(card, slide.info, find_tissue(slide.info, take_thumbnail(slide)))
        recolour = recolour_for(slide, plan, card)
    assert recolour is not None
    assert np.array_equal(seen, recolour(raw, np))
    assert not np.array_equal(seen, raw)


SCORES = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=8)


@given(before=SCORES, data=st.data())
def test_a_flag_changes_exactly_where_a_score_crosses_the_threshold(
    before: list[float], data: st.DataObject
) -> None:
    lost = st.just(float("nan"))
    now = data.draw(
        st.lists(st.floats(0, 1, width=32) | lost, min_size=len(before), max_size=len(before))
    )
    golden = Golden(
        np.empty((len(before), 1, 1, 3), np.uint8), np.array([before], np.float32).T, "x"
    )
    found = compare(golden, np.array([now], np.float32).T, MEAN_CARD)
    crossed = [np.isnan(b) or (a >= 0.5) != (b >= 0.5) for a, b in zip(before, now, strict=True)]
    assert found.flag_changes == sum(crossed)
    assert (found.largest == 0) == (before == now)


@given(before=SCORES)
def test_scores_against_themselves_show_no_difference(before: list[float]) -> None:
    golden = Golden(
        np.empty((len(before), 1, 1, 3), np.uint8), np.array([before], np.float32).T, "x"
    )
    found = compare(golden, golden.scores, MEAN_CARD)
    assert (found.largest, found.rank_changes, found.flag_changes) == (0, 0, 0)


def test_a_pair_that_changes_places_is_one_rank_change() -> None:
    before = np.array([[0.1], [0.2], [0.9]], np.float32)
    golden = Golden(np.empty((3, 1, 1, 3), np.uint8), before, "x")
    now = np.array([[0.2], [0.1], [0.9]], np.float32)
    assert compare(golden, now, MEAN_CARD).rank_changes == 1


def test_golden_tiles_are_made_of_a_slides_tissue(
    tmp_path: Path, sample: Callable[..., Path]
) -> None:
    folder = write_model(tmp_path / "m", red_network())
    make_golden(folder, [sample(size_px=4096, seed=31, tumour=True)], 8)
    golden = load_golden(load_card(folder))
    assert golden is not None
    assert golden.tiles.shape == (8, 64, 64, 3)
    assert golden.scores.max() - golden.scores.min() > 0.05
    assert [row.accepted for row in verify(folder, [CPU])] == [True]


def test_the_command_tells_what_ran_and_exits_by_it(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert models.check(model) == 0
    told = capsys.readouterr().out
    assert "onnxruntime" in told
    assert "not here: no CUDA" in told or "/cuda:0" in told
    add_variant(model, constant_network([0.25]).SerializeToString(), "other.onnx")
    assert models.check(model) == 1
    assert "REFUSED" in capsys.readouterr().out
    assert models.check(model.parent) == 2
    assert "no model card" in capsys.readouterr().err


def test_the_demo_model_says_the_same_in_onnx_and_in_torch() -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    rows = list(verify(DEMO_MODEL, [CPU]))
    assert [(row.format, row.accepted) for row in rows] == [("onnx", True), ("pt2", True)]


@pytest.mark.parametrize(
    ("found", "accepted"),
    [
        (Differences(0.01, 3, 0), True),
        (Differences(0.02, 0, 0), False),
        (Differences(0.0, 0, 1), False),
        (Differences(float("nan"), 0, 0), False),
        (None, False),
    ],
)
def test_a_runtime_is_accepted_within_the_tolerance_and_with_no_flag_changed(
    found: Differences | None, *, accepted: bool
) -> None:
    assert GoldenResult("onnx", "x/y", 0.01, found).accepted is accepted


def test_the_tolerance_is_the_cards(model: Path) -> None:
    card = model / "model.toml"
    text = card.read_text("utf-8")
    card.write_text(text + "[tolerance]\nfp16 = 0.25\n", "utf-8")
    assert load_card(model).tolerance.of(Precision.FP16) == 0.25
    assert load_card(model).tolerance.of(Precision.FP32) == 1e-4
