"""Models that judge a slide as a whole: its score, its attention, and what is not said."""

import io
import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from tests.models_for_tests import attention_head, red_network, write_model, write_slide_model
from wsi_ai.app import Outcome, RunOptions, run_slides
from wsi_ai.core.cards import Task
from wsi_ai.core.flags import Level, Quality
from wsi_ai.core.geometry import Step
from wsi_ai.core.values import Heatmap
from wsi_ai.errors import ModelError
from wsi_ai.heatmaps.slide_classification import stretched
from wsi_ai.inference.aggregator import HostAggregator
from wsi_ai.inference.registry import open_aggregator
from wsi_ai.models.manifest import load_card
from wsi_ai.run.embed_slides import embed_slides
from wsi_ai.testing import PaintedSlide
from wsi_ai.testing.stand_ins import MEAN_CARD
from wsi_ai.triage.judge import TriagePolicy, is_met, triage

HEAD = attention_head().SerializeToString()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_slide_model(tmp_path_factory.mktemp("models") / "slide", HEAD)


def run_one(slide: Path, model: Path, out: Path, **options: Any) -> Outcome:
    (outcome,) = run_slides([slide], model, out, RunOptions(**options))
    return outcome


def load(outcome: Outcome, name: str) -> dict[str, Any]:
    assert outcome.folder is not None
    content: dict[str, Any] = json.loads((outcome.folder / name).read_text())
    return content


def expected(vectors: np.ndarray, middle: float = 0.75) -> tuple[float, np.ndarray]:
    """The head's score and attention, in numpy."""
    red = vectors[:, 0].astype(np.float64)
    weights = np.exp(20 * (red - red.max()))
    attention = weights / weights.sum()
    return 1 / (1 + np.exp(-20 * (float(attention @ red) - middle))), attention


def test_the_flag_holds_the_score_of_the_whole_and_the_heatmap_the_attention(
    cmu: Path, model: Path, tmp_path: Path
) -> None:
    outcome = run_one(cmu, model, tmp_path / "run")
    (embedded,) = embed_slides([cmu], model, tmp_path / "embed")
    assert embedded.folder is not None
    vectors = zarr.open_group(embedded.folder / "embeddings.zarr", mode="r")
    score, attention = expected(vectors["features"][:])
    flag = load(outcome, "flag.json")
    assert outcome.level is Level.EXPEDITE
    assert flag["result"]["score"] == pytest.approx(score, abs=1e-4)
    assert "the slide as a whole scores" in flag["result"]["explanation"]
    assert flag["evidence"]["regions"] == []
    assert flag["evidence"]["n_tiles_positive"] == 0
    assert outcome.folder is not None
    group = zarr.open_group(outcome.folder / "heatmap.ome.zarr", mode="r")
    assert [c["label"] for c in group.attrs["ome"]["omero"]["channels"]] == ["attention"]
    layer, step = group["0"][0], 128 / 0.998
    cells = np.rint(vectors["coords"][:] / step).astype(int)
    drawn = layer[cells[:, 1], cells[:, 0]]
    low, high = attention.min(), attention.max()
    np.testing.assert_allclose(drawn, (attention - low) / (high - low), atol=1e-3)
    assert np.isfinite(layer).sum() == len(attention)


def test_its_embeddings_and_its_flag_leave_each_other_alone(
    cmu: Path, model: Path, tmp_path: Path
) -> None:
    flagged = run_one(cmu, model, tmp_path)
    (embedded,) = embed_slides([cmu], model, tmp_path)
    assert embedded.folder is not None
    assert embedded.folder != flagged.folder
    assert load(flagged, "flag.json")["result"]["level"] == flagged.level
    assert not run_one(cmu, model, tmp_path).fresh


def test_a_slide_below_the_threshold_is_standard(cmu: Path, tmp_path: Path) -> None:
    model = write_slide_model(tmp_path / "m", attention_head(middle=1.5).SerializeToString())
    assert run_one(cmu, model, tmp_path / "out").level is Level.STANDARD


def test_with_one_tile_unread_it_is_never_standard(shared_data: Path, tmp_path: Path) -> None:
    model = write_slide_model(tmp_path / "m", attention_head(middle=1.5).SerializeToString())
    slide = shared_data / "damaged" / "bad_corrupt_tiles_12_37_60.svs"
    outcome = run_one(slide, model, tmp_path / "out")
    assert outcome.level is Level.NOT_ASSESSED
    assert "what was not seen could change the answer" in outcome.reason


def test_no_flag_is_raised_before_all_tiles_have_passed(
    cmu: Path, model: Path, tmp_path: Path
) -> None:
    timing = load(run_one(cmu, model, tmp_path), "run.json")["timing"]
    assert timing["to_flag_s"] == pytest.approx(timing["to_finish_s"], abs=0.01)


def test_a_score_that_is_no_number_is_not_assessed(cmu: Path, tmp_path: Path) -> None:
    head = attention_head(middle=float("nan")).SerializeToString()
    outcome = run_one(cmu, write_slide_model(tmp_path / "m", head), tmp_path / "out")
    assert outcome.level is Level.NOT_ASSESSED
    assert outcome.reason == "the model gave no number for this slide"


def test_it_shares_a_reading_pass_with_a_model_of_tiles(
    cmu: Path, model: Path, tmp_path: Path
) -> None:
    red = write_model(tmp_path / "red", red_network(), mpp=1.0)
    outcomes = list(run_slides([cmu], [red, model], tmp_path / "out"))
    assert [o.level for o in outcomes] == [Level.EXPEDITE, Level.EXPEDITE]


def vectors(count: int) -> np.ndarray:
    return np.random.default_rng(count).random((count, 3), np.float32)


@pytest.mark.parametrize("lead", [0, 1])
@pytest.mark.parametrize("count", [1, 2, 700])
def test_an_onnx_aggregator_takes_any_number_of_tiles_with_or_without_a_leading_axis(
    lead: int, count: int, tmp_path: Path
) -> None:
    head = attention_head(lead=lead).SerializeToString()
    aggregate = open_aggregator(load_card(write_slide_model(tmp_path / "m", head)))
    assert aggregate is not None
    said, (score, attention) = aggregate(vectors(count)), expected(vectors(count))
    assert said.scores == pytest.approx([score], abs=1e-4)
    np.testing.assert_allclose(said.attention, attention, atol=1e-5)


@pytest.mark.parametrize("lead", [0, 1])
def test_a_torchscript_aggregator_says_the_same(lead: int, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from tests.inference.torch_models import AttentionHead

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(AttentionHead(lead)), buffer)
    folder = write_slide_model(tmp_path / "m", buffer.getvalue(), "torchscript")
    aggregate = open_aggregator(load_card(folder))
    assert aggregate is not None
    said, (score, attention) = aggregate(vectors(40)), expected(vectors(40))
    assert said.scores == pytest.approx([score], abs=1e-4)
    np.testing.assert_allclose(said.attention, attention, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 7), (7, 2), (1, 2, 7), (1, 7, 2), (1, 1, 7), (7, 1), (7,)])
def test_of_attentions_by_class_that_of_the_operating_point_is_taken(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    output = 'activation = "softmax"\nclasses = ["blue", "red"]'
    card = load_card(write_slide_model(tmp_path / "m", HEAD, output=output))
    assert card.positive_class == 1
    own = np.linspace(0, 1, 7, dtype=np.float32)

    def network(features: np.ndarray) -> list[np.ndarray]:
        tiles = len(features)
        rows = np.stack([np.zeros(tiles), own[:tiles]]).astype(np.float32)
        if 2 not in shape:
            rows = rows[1:]
        turned = rows.T if shape[-1] != 7 else rows
        whole = turned if tiles != 7 else turned.reshape(shape)
        return [np.zeros((1, 2), np.float32), whole]

    said = HostAggregator(card, "head", network)(vectors(7))
    assert np.array_equal(said.attention, own)


def test_a_changed_aggregator_is_refused(model: Path, tmp_path: Path) -> None:
    folder = write_slide_model(tmp_path / "m", HEAD)
    with (folder / "head.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ModelError, match=r"head\.onnx is not the approved file: aggregator\.sha"):
        load_card(folder)


@pytest.mark.parametrize(
    ("head", "fields", "told"),
    [
        (b"no network", {}, r"head\.onnx does not load"),
        (red_network().SerializeToString(), {}, r"head\.onnx does not take"),
        (attention_head(features=4).SerializeToString(), {}, r"does not take \(3, 3\) vectors"),
        (
            HEAD,
            {"output": 'activation = "softmax"\nclasses = ["red", "blue"]'},
            r"the card asks for 2 logits and as many attentions as tiles",
        ),
        (
            attention_head(middle=-9).SerializeToString(),
            {"output": 'activation = "none"\nclasses = ["red"]'},
            r"gives scores outside 0\.\.1",
        ),
    ],
)
def test_an_aggregator_that_does_not_fit_its_card_is_refused_before_any_slide(
    head: bytes, fields: dict[str, Any], told: str, tmp_path: Path
) -> None:
    card = load_card(write_slide_model(tmp_path / "m", head, **fields))
    with pytest.raises(ModelError, match=told):
        open_aggregator(card)


def slide_map(score: float | None, lost: int) -> Heatmap:
    """Of 100 planned cells, ``lost`` not seen."""
    layer = np.full(100, 0.5, np.float32)
    layer[:lost] = np.nan
    return Heatmap(
        PaintedSlide().info,
        replace(MEAN_CARD, task=Task.SLIDE_CLASSIFICATION),
        layer.reshape(1, 10, 10),
        Step(64, 64),
        np.ones((10, 10), np.bool_),
        slide_scores=None if score is None else np.array([score], np.float32),
    )


QUALITY = Quality((), tissue_fraction=1.0)


@given(score=st.floats(0, 1), lost=st.integers(1, 100))
def test_whatever_it_scores_a_slide_that_was_not_wholly_seen_is_never_standard(
    score: float, lost: int
) -> None:
    level = triage(slide_map(score, lost), TriagePolicy(), QUALITY).level
    assert level is not Level.STANDARD
    if lost > 10:
        assert level is Level.NOT_ASSESSED


@given(low=st.floats(0, 1), high=st.floats(0, 1), lost=st.integers(0, 100))
def test_more_score_never_lowers_the_level(low: float, high: float, lost: int) -> None:
    order = [Level.NOT_ASSESSED, Level.STANDARD, Level.EXPEDITE]
    low, high = sorted((low, high))
    levels = [triage(slide_map(s, lost), TriagePolicy(), QUALITY).level for s in (low, high)]
    assert order.index(levels[0]) <= order.index(levels[1])


def test_what_is_high_before_the_end_is_not_called_met() -> None:
    assert not is_met(slide_map(1.0, 0), TriagePolicy())


def test_attention_is_stretched_from_0_to_1_and_is_level_where_all_is_alike() -> None:
    assert stretched(np.array([-3, 1, 5], np.float32)).tolist() == [0, 0.5, 1]
    assert stretched(np.array([7, 7], np.float32)).tolist() == [0.5, 0.5]
