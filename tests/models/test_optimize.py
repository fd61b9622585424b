"""Quantised weights: kept where no golden flag changes, else as if nothing had been."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import ModelProto

from tests.models_for_tests import product_network, red_network, swamped_network, write_model
from wsi_ai.app import RunOptions, run_slides
from wsi_ai.cli import model_checks as models
from wsi_ai.core.cards import Precision, RuntimeRequest
from wsi_ai.errors import DeviceError, ModelError, NoDevice
from wsi_ai.inference.gpu.entry import open_onnx
from wsi_ai.inference.registry import open_runtime
from wsi_ai.models.manifest import load_card, load_variants
from wsi_ai.models.optimize import quantize_model
from wsi_ai.models.parity import make_golden, verify

INT8 = RuntimeRequest("cpu", Precision.INT8)


@pytest.fixture
def slide(sample: Callable[..., Path]) -> Path:
    return sample(size_px=2048, seed=5)


@pytest.fixture
def make(tmp_path: Path, slide: Path) -> Callable[[ModelProto], Path]:
    """A model with golden tiles."""

    def made(network: ModelProto) -> Path:
        folder = write_model(tmp_path / "m", network, threshold=0.3)
        make_golden(folder, [slide], 8)
        return folder

    return made


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_int8_weights_are_kept_beside_the_others_and_run(
    make: Callable[[ModelProto], Path], slide: Path, tmp_path: Path
) -> None:
    model = make(product_network())
    before = content(model)
    done = quantize_model(model, [slide])
    after = content(model)
    assert done.kept
    assert done.beyond.largest < 0.05
    assert after.keys() == before.keys() | {"weights.int8.onnx"}
    assert after["model.toml"].startswith(before["model.toml"])
    assert after["weights.onnx"] == before["weights.onnx"]
    assert load_card(model).precision is Precision.FP32
    assert load_card(model, Precision.INT8).weights == done.weights
    assert all(row.accepted for row in verify(model) if row.differences)
    (outcome,) = run_slides([slide], model, tmp_path / "out", RunOptions(precision=Precision.INT8))
    assert outcome.folder is not None
    record = json.loads((outcome.folder / "run.json").read_text("utf-8"))
    assert record["runtime"].endswith("/cpu/int8")
    assert record["model"]["weights_sha256"] == load_variants(model)[1].ref.sha256


def test_what_changes_a_golden_flag_is_refused_and_nothing_is_left_of_it(
    make: Callable[[ModelProto], Path], slide: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = make(swamped_network())
    before = content(model)
    assert models.optimize(model, [slide]) == 1
    assert content(model) == before
    told = capsys.readouterr().out
    assert "REFUSED" in told
    assert "refused, and nothing was changed" in told


def test_the_command_tells_what_was_kept_and_how_far_other_tiles_moved(
    make: Callable[[ModelProto], Path], slide: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = make(product_network())
    assert models.optimize(model, [slide]) == 0
    told = capsys.readouterr().out
    assert "other tiles of these slides: max difference" in told
    assert "weights.int8.onnx: kept, for wsi-ai run --precision int8" in told
    assert models.optimize(model, [slide]) == 2
    assert "has int8 weights already" in capsys.readouterr().err


def test_a_model_without_golden_tiles_is_told_how_to_make_them(tmp_path: Path, slide: Path) -> None:
    with pytest.raises(ModelError, match="wsi-ai models golden MODEL SLIDE"):
        quantize_model(write_model(tmp_path / "m", product_network()), [slide])


def test_a_network_with_nothing_to_quantise_is_refused(
    make: Callable[[ModelProto], Path], slide: Path
) -> None:
    model = make(red_network())
    before = content(model)
    with pytest.raises(ModelError, match="nothing that can be quantised"):
        quantize_model(model, [slide])
    assert content(model) == before


def test_other_formats_than_onnx_are_refused(tmp_path: Path, slide: Path) -> None:
    model = write_model(tmp_path / "m", product_network())
    card = model / "model.toml"
    card.write_text(card.read_text("utf-8").replace('"onnx"', '"pt2"'), "utf-8")
    with pytest.raises(ModelError, match="only ONNX weights can be quantised"):
        quantize_model(model, [slide])


def test_a_card_that_has_its_variants_in_one_line_keeps_its_text_and_its_remarks(
    make: Callable[[ModelProto], Path], slide: Path
) -> None:
    model = make(product_network())
    card = model / "model.toml"
    text = f"variants = [] # none yet\n{card.read_text('utf-8')}"
    card.write_text(text, "utf-8")
    assert quantize_model(model, [slide]).kept
    now = card.read_text("utf-8")
    assert now.partition("\n")[0].endswith("# none yet")
    assert now.partition("\n")[2] == text.partition("\n")[2]
    assert load_card(model, Precision.INT8)


def test_without_int8_weights_a_run_in_int8_says_how_to_make_them(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", product_network())
    with pytest.raises(ModelError, match="wsi-ai models optimize MODEL --precision int8"):
        load_card(model, Precision.INT8)
    with pytest.raises(DeviceError, match="fp32 do not run in int8"):
        open_runtime(load_card(model), INT8)


def test_int8_weights_that_are_not_the_approved_ones_do_not_run_and_the_others_do(
    make: Callable[[ModelProto], Path], slide: Path
) -> None:
    model = make(product_network())
    quantize_model(model, [slide]).weights.write_bytes(b"others")
    with pytest.raises(ModelError, match="not the approved file"):
        load_card(model, Precision.INT8)
    assert load_card(model).precision is Precision.FP32


def test_int8_weights_run_neither_in_fp32_nor_on_cuda(
    make: Callable[[ModelProto], Path], slide: Path
) -> None:
    model = make(product_network())
    quantize_model(model, [slide])
    card = load_card(model, Precision.INT8)
    with pytest.raises(DeviceError, match="int8 do not run in fp32"):
        open_runtime(card, RuntimeRequest("cpu"))
    with pytest.raises(NoDevice, match="on the processor only"):
        open_onnx(card, RuntimeRequest("cuda", Precision.INT8))


def test_only_onnx_variants_may_be_int8(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", product_network())
    card = model / "model.toml"
    variant = f'[[variants]]\npath = "x"\nformat = "pt2"\nprecision = "int8"\nsha256 = "{"0" * 64}"'
    card.write_text(f"{card.read_text('utf-8')}{variant}\n", "utf-8")
    with pytest.raises(ModelError, match=r"variants\.0\.format"):
        load_card(model)


def test_without_its_library_the_command_says_what_to_install(
    make: Callable[[ModelProto], Path], slide: Path
) -> None:
    code = "import sys; sys.modules['onnx'] = None; from wsi_ai.cli import main; main()"
    words = ["models", "optimize", make(product_network()), "--calibrate", slide]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 2
    assert "onnx is not installed; install it with: pip install 'wsi-ai[optimize]'" in done.stderr
