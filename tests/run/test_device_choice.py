"""What a run makes of a choice that was measured: run.json says it, and a trial knows none."""

import json
from pathlib import Path

import pytest

from tests.models_for_tests import mean_network, red_network, write_encoder, write_model
from tests.run.test_run_silently import Drawer
from tests.stand_in_runs import write_slide
from wsi_ai.app import RunOptions, embed_slides, run_silently, run_slides
from wsi_ai.core.cards import RuntimeRequest
from wsi_ai.models.fastest.choice import Measured, Rate
from wsi_ai.models.fastest.kept import keep
from wsi_ai.models.fastest.question import question_of
from wsi_ai.models.manifest import load_card

pytestmark = pytest.mark.skipif(
    Path("/proc/driver/nvidia").exists(), reason="auto is CUDA here, and nothing is measured"
)
TWO = ("cpu", "openvino")
RATES = tuple(Rate(name, f"{name} 1", speed) for name, speed in zip(TWO, (20.0, 10.0), strict=True))
CHOICE = Measured("cpu", RATES, "2026-11-29T00:00:00.000Z")


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    return write_slide(tmp_path / "s.tif", 192)


@pytest.fixture(autouse=True)
def two_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something that is called openvino is installed; choices can be kept."""
    package = tmp_path / "site" / "openvino"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setenv("WSI_AI_CHOICES", str(tmp_path / "choices"))


def measured(model: Path) -> Path:
    keep(question_of(load_card(model), RuntimeRequest(), TWO), CHOICE)
    return model


def test_run_json_says_what_was_chosen_and_how_fast_each_was(slide: Path, tmp_path: Path) -> None:
    model = measured(write_model(tmp_path / "m", red_network(side=64), side=64, mpp=0.5))
    for options, said in (
        (RunOptions(), Measured("cpu", RATES, CHOICE.at, kept=True).as_record()),
        (RunOptions(device="cpu", force=True), None),
    ):
        (outcome,) = run_slides([slide], model, tmp_path / "out", options)
        assert outcome.folder is not None
        record = json.loads((outcome.folder / "run.json").read_text())
        assert record["device_choice"] == said
        assert "device_choice" not in record["asked"], "rates are no part of the question"


def test_the_same_slide_is_known_again_though_its_device_was_measured_anew(
    slide: Path, tmp_path: Path
) -> None:
    model = measured(write_model(tmp_path / "m", red_network(side=64), side=64, mpp=0.5))
    (first,) = run_slides([slide], model, tmp_path / "out")
    faster = tuple(Rate(rate.device, rate.runtime, 99.0) for rate in RATES)
    keep(question_of(load_card(model), RuntimeRequest(), TWO), Measured("cpu", faster, CHOICE.at))
    (again,) = run_slides([slide], model, tmp_path / "out")
    assert (first.fresh, again.fresh) == (True, False)


def test_embeddings_say_it_too(slide: Path, tmp_path: Path) -> None:
    model = measured(write_encoder(tmp_path / "e", mean_network()))
    (outcome,) = embed_slides([slide], model, tmp_path / "out")
    assert outcome.folder is not None
    record = json.loads((outcome.folder / "run.json").read_text())
    assert record["device_choice"]["device"] == "cpu"


def test_in_a_trial_the_device_is_the_rules_and_nothing_is_measured(
    slide: Path, tmp_path: Path
) -> None:
    """What a site measures is no part of the protocol."""
    model = write_model(tmp_path / "m", red_network(side=64), side=64, mpp=0.5)
    drawer = Drawer()
    (outcome,) = run_silently([slide], model, tmp_path / "work", drawer, RunOptions())
    assert outcome.kept
    assert drawer.held[0].run["device_choice"] is None
    assert not (tmp_path / "choices").exists()
