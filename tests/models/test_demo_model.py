"""The demo model is the one its card describes, and finds the tumour it was made to find."""

import hashlib
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from tests.conftest import atlases_of
from tests.depth import nightly
from wsi_ai.demo import SampleSpec
from wsi_ai.demo.drawing import SampleDrawing
from wsi_ai.demo.frame import BLOCK_PX, BlockAt
from wsi_ai.models.golden import load_golden
from wsi_ai.models.manifest import load_card
from wsi_ai.triage.policy import load_policy, policy_for

HERE = Path(__file__).parents[2] / "models" / "demo-tumour"
CARD = tomllib.loads((HERE / "model.toml").read_text())
WEIGHTS = HERE / CARD["weights"]["path"]
SIDE = CARD["input"]["size_px"]


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(WEIGHTS, providers=["CPUExecutionProvider"])


def scores(session: onnxruntime.InferenceSession, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(session.run(None, {"tiles": tiles})[0])


def auc(score: NDArray[np.float32], positive: NDArray[np.bool_]) -> float:
    return float((score[positive][:, None] > score[~positive]).mean())


def drawn_tiles(folder: Path, seed: int) -> Iterator[tuple[NDArray[np.uint8], float]]:
    """Tiles of a small tumour slide, and the share of nests in each."""
    spec = SampleSpec(size_px=3584, seed=seed, tumour=True)
    drawing = SampleDrawing(spec, atlases=atlases_of(folder, spec))
    corners = [(y, x) for y in (0, BLOCK_PX - SIDE) for x in (0, BLOCK_PX - SIDE)]
    for at in (BlockAt(bx, by) for bx in range(7) for by in range(7)):
        block, nest = drawing.block(at), drawing.nests(at)
        for y, x in corners:
            own = np.s_[y : y + SIDE, x : x + SIDE]
            yield block[own], float(nest[own].mean())


def test_the_weights_are_the_ones_on_the_card():
    assert hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() == CARD["weights"]["sha256"]


def test_the_weights_are_one_file_of_less_than_200_kb():
    assert WEIGHTS.stat().st_size < 200_000
    assert not list(HERE.glob("*.data"))


def test_it_takes_uint8_tiles_and_gives_one_probability_each(
    session: onnxruntime.InferenceSession,
):
    (into,), (out,) = session.get_inputs(), session.get_outputs()
    assert (into.name, into.type, into.shape[1:]) == ("tiles", "tensor(uint8)", [SIDE, SIDE, 3])
    assert (out.name, out.type, out.shape[1:]) == ("tumour_probability", "tensor(float)", [1])
    assert isinstance(into.shape[0], str)


@pytest.mark.parametrize("n", [1, 3, 64])
def test_any_number_of_tiles_makes_a_batch(session: onnxruntime.InferenceSession, n: int):
    out = scores(session, np.full((n, SIDE, SIDE, 3), 240, np.uint8))
    assert out.shape == (n, 1)
    assert np.ptp(out) < 1e-6


def test_the_operating_point_is_a_probability_between_the_two_answers():
    assert 0.05 < CARD["operating_point"]["threshold"] < 0.95
    assert CARD["operating_point"]["class"] in CARD["output"]["classes"]


def test_it_reproduces_the_scores_kept_with_its_golden_tiles(
    session: onnxruntime.InferenceSession,
):
    golden = load_golden(load_card(HERE))
    assert golden is not None
    assert len(golden.tiles) >= 16
    assert scores(session, golden.tiles) == pytest.approx(golden.scores, abs=1e-4)


def test_its_own_rule_is_used_where_no_other_is_asked_for():
    policy = policy_for(load_card(HERE), None)
    assert policy == load_policy(HERE / "policy.toml")
    assert policy.triage.name != load_policy(None).triage.name
    assert policy.quality == load_policy(None).quality


def test_the_kept_figures_are_of_these_weights_and_meet_what_the_demo_promises():
    kept = json.loads((HERE / "results.json").read_text())
    assert kept["weights_sha256"] == CARD["weights"]["sha256"]
    assert kept["threshold"] == CARD["operating_point"]["threshold"]
    assert kept["policy"] == policy_for(load_card(HERE), None).as_dict()
    assert set(kept["slides_by_size_px"]) == {"2048", "4096", "8192", "16384"}
    for figures in kept["slides_by_size_px"].values():
        assert figures["expedited"] >= 0.95 * figures["with_tumour"]
        assert figures["not_expedited"] >= 0.95 * figures["without_tumour"]
        assert figures["planted_area_found"] >= 0.6


def test_bare_glass_is_far_below_the_operating_point(session: onnxruntime.InferenceSession):
    glass = np.full((1, SIDE, SIDE, 3), 243, np.uint8)
    assert scores(session, glass)[0, 0] < CARD["operating_point"]["threshold"] / 2


@pytest.mark.parametrize("seed", [31, nightly(930)])
def test_tumour_ranks_above_the_rest_of_a_slide_it_has_not_seen(
    session: onnxruntime.InferenceSession, samples_folder: Path, seed: int
):
    tiles, shares = zip(*drawn_tiles(samples_folder, seed), strict=True)
    share, score = np.array(shares), scores(session, np.stack(tiles))[:, 0]
    clear = (share >= 0.3) | (share == 0)
    assert (share >= 0.3).sum() >= 10
    assert auc(score[clear], share[clear] >= 0.3) > 0.95


def opsets(model: bytes) -> list[bytes]:
    """The raw opset_import entries (field 8) of an ONNX file, a protocol buffer."""

    def varint(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            byte = model[at]
            value |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                return value, at

    found, at = [], 0
    while at < len(model):
        key, at = varint(at)
        size, at = varint(at)
        if key & 7 == 2:
            if key >> 3 == 8:
                found.append(model[at : at + size])
            at += size
    return found


def test_it_needs_opset_18_and_no_other():
    version_18 = b"\x10\x12"
    assert [entry.removeprefix(b"\n\x00") for entry in opsets(WEIGHTS.read_bytes())] == [version_18]
