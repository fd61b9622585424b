"""The ways in which ONNX Runtime can use a CUDA device, and a session by each of them."""

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import onnxruntime as ort
import torch

from wsi_ai.core.cards import Layout, ModelCard, Precision
from wsi_ai.core.environment import cache_folder
from wsi_ai.errors import DeviceError, ModelError
from wsi_ai.inference.gpu.cuda import CudaDevice
from wsi_ai.inference.gpu.ring import RingShape
from wsi_ai.inference.onnx.runtime import open_session, session_options

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
_TENSORRT_PACKAGES = ("tensorrt", "tensorrt-cu13", "tensorrt-cu12")
Provider = tuple[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Way:
    """A name for the record, and the providers to ask for; the first must be the one that runs."""

    name: str
    providers: tuple[Provider, ...]

    def open(self, card: ModelCard, shape: RingShape) -> ort.InferenceSession:
        """A session for batches of one shape with no part on the host.  Raises ModelError where
        the file does not load or needs the host, DeviceError where the provider does not load."""
        options, providers = session_options(), list(self.providers)
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        for name, value in free_dimensions(card, shape).items():
            options.add_free_dimension_override_by_name(name, value)
        try:
            session = open_session(card, options, providers)
        except ModelError:  # also where the provider is not there: ask one that may fall back
            self._check_loaded(open_session(card, session_options(), providers))
            raise
        self._check_loaded(session)
        return session

    def _check_loaded(self, session: ort.InferenceSession) -> None:
        if (ran := session.get_providers()[0]) != self.providers[0][0]:
            raise DeviceError(
                f"onnxruntime fell back to {ran}, for the libraries of {self.name} do not load;"
                " install 'wsi-ai[cuda]' anew, or give --device cpu"
            )


def ways(
    card: ModelCard, precision: Precision, device: CudaDevice, tensorrt: str | None
) -> list[Way]:
    """The fastest first.  ``tensorrt`` is its version, where it is installed."""
    index = device.torch_device.index
    stream = str(device.stream("compute").raw.cuda_stream)
    shared = {"device_id": str(index), "user_compute_stream": stream}
    cuda = {**shared, "use_tf32": "0"}
    found = list[Way]()
    if tensorrt is not None:
        cache = _engine_cache(card, index, tensorrt)
        engine = {**shared, "has_user_compute_stream": "1", **_engine(cache, precision)}
        graph = {**engine, "trt_cuda_graph_enable": "1"}
        found.append(Way("TensorRT graph", ((TENSORRT, graph), (CUDA, cuda))))
        found.append(Way("TensorRT", ((TENSORRT, engine), (CUDA, cuda))))
    if precision is Precision.FP32:
        found.append(Way("CUDA graph", ((CUDA, {**cuda, "enable_cuda_graph": "1"}),)))
        found.append(Way("CUDA", ((CUDA, cuda),)))
    return found


def version_of_tensorrt() -> str | None:
    """Its version, and its libraries loaded; ``None`` where it is not installed."""
    for package in _TENSORRT_PACKAGES:
        try:
            found = version(package)
            import_module("tensorrt")
        except (ImportError, PackageNotFoundError):
            continue
        return found
    return None


def free_dimensions(card: ModelCard, shape: RingShape) -> dict[str, int]:
    """The names that the file gives to dimensions of its input, and what they are here."""
    plain = open_session(card, session_options(), ["CPUExecutionProvider"])
    named: list[Any] = plain.get_inputs()[0].shape
    sizes = zip(named, input_shape(card, shape), strict=False)
    return {name: size for name, size in sizes if isinstance(name, str)}


def input_shape(card: ModelCard, shape: RingShape) -> tuple[int, int, int, int]:
    """Of the network's input for one batch."""
    (batch, _, _, channels), side = shape.tiles, card.network_px
    nhwc = card.input.layout is Layout.NHWC
    return (batch, side, side, channels) if nhwc else (batch, channels, side, side)


def _engine(cache: Path, precision: Precision) -> dict[str, str]:
    cache.mkdir(parents=True, exist_ok=True)
    return {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(cache),
        "trt_fp16_enable": "1" if precision is Precision.FP16 else "0",
        "trt_bf16_enable": "1" if precision is Precision.BF16 else "0",
    }


def _engine_cache(card: ModelCard, index: int, tensorrt: str) -> Path:
    """An engine is code for one model, device and version, and takes minutes to build."""
    device = torch.cuda.get_device_name(index).replace(" ", "-")
    key = f"{card.ref.sha256[:16]}-{device}-{ort.__version__}-{tensorrt}"
    return cache_folder() / "tensorrt" / key
