"""Which ways ONNX Runtime is asked for, and under which name an engine is kept.  No device."""

import subprocess
import sys
import tomllib
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from tests.conftest import ROOT
from wsi_ai.core.cards import ModelRef, Precision
from wsi_ai.errors import DeviceError
from wsi_ai.inference.gpu.providers import CUDA, TENSORRT, engine_cache, ways
from wsi_ai.testing.stand_ins import MEAN_CARD


class Device:
    index, name = 1, "NVIDIA H200 MIG 1g.18gb"

    def stream(self, name: str) -> Any:
        return types.SimpleNamespace(raw=types.SimpleNamespace(ptr=4711))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("tensorrt", [None, "10.13.3", "11.0"])
def test_fp32_is_the_cuda_provider_alone_without_tf32(tensorrt: str | None) -> None:
    (way,) = ways(MEAN_CARD, Precision.FP32, Device(), tensorrt, 128)
    ((provider, options),) = way.providers
    assert provider == CUDA
    assert options["use_tf32"] == "0"
    assert options["user_compute_stream"] == "4711"
    assert options["device_id"] == "1"


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16, Precision.BF16])
def test_no_session_captures_a_graph_that_belongs_to_a_thread(precision: Precision) -> None:
    for way in ways(MEAN_CARD, precision, Device(), "10.13.3", 128):
        for _, options in way.providers:
            assert not [name for name in options if "graph" in name]


@pytest.mark.parametrize(("precision", "fp16"), [(Precision.FP16, "1"), (Precision.BF16, "0")])
def test_half_precision_is_tensorrts(precision: Precision, fp16: str) -> None:
    (way,) = ways(MEAN_CARD, precision, Device(), "10.13.3", 128)
    assert [provider for provider, _ in way.providers] == [TENSORRT, CUDA]
    assert way.providers[0][1]["trt_fp16_enable"] == fp16


@pytest.mark.parametrize(
    ("tensorrt", "told"),
    [(None, "without TensorRT"), ("11.0.1", r"TensorRT 11\.0\.1 runs .* in its own precision")],
)
def test_half_precision_without_a_tensorrt_that_has_it_is_refused(
    tensorrt: str | None, told: str
) -> None:
    with pytest.raises(DeviceError, match=told):
        ways(MEAN_CARD, Precision.FP16, Device(), tensorrt, 128)


def test_an_engine_is_kept_for_one_model_batch_precision_device_and_version(cache: Path) -> None:
    def kept(**changes: Any) -> Path:
        card = changes.pop("card", MEAN_CARD)
        given = {"precision": Precision.FP16, "device": "H200", "tensorrt": "10.1", "batch": 8}
        return engine_cache(card, **{**given, **changes})

    another = replace(MEAN_CARD, ref=ModelRef("another", "1", "ab" * 32))
    larger = replace(MEAN_CARD, input=replace(MEAN_CARD.input, network_px=448))
    every = [
        kept(),
        kept(batch=16),
        kept(precision=Precision.BF16),
        kept(device="H100"),
        kept(tensorrt="10.2"),
        kept(card=another),
        kept(card=larger),
    ]
    assert len(set(every)) == len(every)
    assert all(path.is_relative_to(cache) for path in every)


def test_onnx_on_a_device_asks_for_no_torch() -> None:
    blocked = "import sys; sys.modules['torch'] = None; import wsi_ai.inference.gpu.onnx"
    subprocess.run([sys.executable, "-c", blocked], check=True, cwd=ROOT)


def extras() -> dict[str, list[str]]:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    found: dict[str, list[str]] = tomllib.loads(text)["project"]["optional-dependencies"]
    return found


def test_the_extra_for_a_device_brings_its_decoders_and_cuda_and_no_torch() -> None:
    cuda = {line.partition(">")[0] for line in extras()["cuda"]}
    assert "nvidia-nvimgcodec-cu13[nvjpeg,nvjpeg2k]" in cuda
    assert "onnxruntime-gpu[cuda,cudnn]" in cuda
    assert "cupy-cuda13x" in cuda
    assert not [name for name in cuda if name.startswith("torch")]
    assert [line for line in extras()["torch"] if line.startswith("torch>")]


def test_sources_on_which_a_score_depends_are_part_of_the_package() -> None:
    """Their digest is the same wherever wsi_ai is installed."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    package = tomllib.loads(text)["tool"]["setuptools"]["package-data"]["wsi_ai"]
    assert {"inference/gpu/*.cu", "tiles/reading/*.c"} <= set(package)
