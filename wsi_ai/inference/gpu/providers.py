"""The ways in which ONNX Runtime can use a CUDA device, and a session by each of them.

Without its own CUDA graphs: these belong to the thread that captured them, and a session is opened
in one thread and run in another; until PR 28686 each replay made the host wait, too (issue 20392).
"""

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import onnxruntime as ort

from wsi_ai.core.cards import Layout, ModelCard, Precision
from wsi_ai.core.environment import cache_folder
from wsi_ai.errors import DeviceError, ModelError
from wsi_ai.inference.gpu.ring import RingShape
from wsi_ai.inference.onnx.runtime import open_session, session_options

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
_TENSORRT_PACKAGES = ("tensorrt", "tensorrt-cu13", "tensorrt-cu12")
_TOO_NEW = 11
"""TensorRT from which on a network's types are its file's own: it has no flags for precision."""
Provider = tuple[str, dict[str, str]]


class HasStream(Protocol):
    """What of a device a session wants to know."""

    @property
    def index(self) -> int: ...
    @property
    def name(self) -> str: ...
    def stream(self, name: str) -> Any: ...


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
    card: ModelCard, precision: Precision, device: HasStream, tensorrt: str | None, batch: int
) -> list[Way]:
    """For batches of ``batch`` tiles, the fastest first; ``tensorrt`` is its version, where it is
    installed.  fp32 is the CUDA provider's alone: what TensorRT calls so is TF32 (issue 26029).
    Raises DeviceError where nothing here computes in the precision."""
    stream = str(device.stream("compute").raw.ptr)
    shared = {"device_id": str(device.index), "user_compute_stream": stream}
    cuda = {**shared, "use_tf32": "0"}
    if precision is Precision.FP32:
        return [Way("CUDA", ((CUDA, cuda),))]
    _check_tensorrt(precision, tensorrt)
    cache = engine_cache(card, precision, device.name, f"{tensorrt}", batch)
    engine = {**shared, "has_user_compute_stream": "1", **_engine(cache, precision)}
    return [Way("TensorRT", ((TENSORRT, engine), (CUDA, cuda)))]


def _check_tensorrt(precision: Precision, tensorrt: str | None) -> None:
    if tensorrt is None:
        raise DeviceError(
            f"without TensorRT an ONNX model runs in its own precision, not {precision};"
            " install 'tensorrt<11', or give --precision fp32"
        )
    if int(tensorrt.partition(".")[0]) >= _TOO_NEW:
        raise DeviceError(
            f"TensorRT {tensorrt} runs an ONNX model in its own precision only, not {precision};"
            f" install 'tensorrt<{_TOO_NEW}', or give --precision fp32"
        )


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


def engine_cache(
    card: ModelCard, precision: Precision, device: str, tensorrt: str, batch: int
) -> Path:
    """An engine is code for one model, batch, precision, device and version, and takes minutes to
    build; under its own name TensorRT's provider would take that of another batch (issue 32254)."""
    made = (card.ref.sha256[:16], precision.value, f"batch-{batch}", f"{card.network_px}px")
    ran = (device.replace(" ", "-").replace("/", "-"), ort.__version__, tensorrt)
    return cache_folder() / "tensorrt" / "-".join((*made, *ran))
