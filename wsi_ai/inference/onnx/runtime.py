"""Models in ONNX, by ONNX Runtime on the host's processor."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from wsi_ai.core.cards import InputSpec, Layout, ModelCard, Precision, RuntimeRequest
from wsi_ai.core.environment import threads
from wsi_ai.core.memory import give_back
from wsi_ai.errors import DeviceError, ModelError, first_line
from wsi_ai.inference.host import HostRuntime, Trial, usual_batch
from wsi_ai.inference.onnx.ends import check_graph
from wsi_ai.inference.onnx.operators import NOTHING, read_graph
from wsi_ai.inference.scoring import prepare, room_for
from wsi_ai.inference.sealed import sealed_weights
from wsi_ai.inference.trial import Batches

REFUSED = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)
"""The errors that ONNX Runtime raises about a file."""
_AS_ASKED = 1
_FEW = Batches(alone=1, within=2)
"""That a network is tried on where it takes any number."""
_NOWHERE = "/proc/self/nowhere"
_WHERE = re.compile(
    r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : (Load model from \S+ failed:)?"
    r"(/onnxruntime_src/\S+:\d+ .*?\(.*?\) (?=[A-Z]))?"
)
"""The beginning of ONNX Runtime's messages: where in its sources they were raised."""
_NEWER = re.compile(r"Opset (\d+) is under development.* till opset (\d+)")


def open_runtime(card: ModelCard, request: RuntimeRequest) -> HostRuntime:
    """A session on all available cores, tried once.

    Raises ModelError where the file does not load or does not fit its card, DeviceError for fp16
    and bf16: ONNX Runtime computes in the type of the file's own weights.
    """
    if request.precision not in (Precision.FP32, Precision.INT8):
        raise DeviceError(
            f"ONNX Runtime on the processor computes in fp32, not {request.precision};"
            " give --precision fp32"
        )
    options = _frugal(session_options())
    options.intra_op_num_threads = threads()
    session = open_session(card, options, ["CPUExecutionProvider"])
    give_back()
    given, wanted = session.get_inputs()[0], [output_of(card, session)]
    name, any_count = given.name, not isinstance(given.shape[0], int)
    room = room_for(card, request.batch_size or usual_batch(card))

    def network(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            output = session.run(wanted, {name: prepare(pixels, card, room)})[0]
        except ort_errors.InvalidArgument as error:
            raise ModelError(misfit(card, error)) from None
        except (ort_errors.Fail, ort_errors.RuntimeException) as error:
            raise DeviceError(f"inference failed: {error_line(error)}") from None
        return np.asarray(output, np.float32)

    ours = f"onnxruntime {ort.__version__}/cpu/{request.precision}"
    trial = Trial(request.precision, _FEW if any_count else None)
    return HostRuntime(card, ours, network, request.batch_size, trial)


def _frugal(options: ort.SessionOptions) -> ort.SessionOptions:
    """Activations take the memory that they need at once, and no more: by default ONNX Runtime's
    arena grows by powers of two, and keeps a second plan of them besides the first batch's."""
    arena = ort.OrtArenaCfg({"arena_extend_strategy": _AS_ASKED})
    where = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    ort.create_and_register_allocator(where, arena)
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.enable_mem_pattern = False
    return options


def session_options() -> ort.SessionOptions:
    """Silent, because ONNX Runtime also raises what it logs.  Tensors in other files, which the
    model's digest does not cover, are not found."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", _NOWHERE
    )
    return options


def output_of(card: ModelCard, session: ort.InferenceSession) -> str:
    """The name of the output that holds the scores.  Raises ModelError."""
    given = session.get_outputs()
    names = [output.name for output in given]
    if card.output.name and card.output.name not in names:
        shapes = ", ".join(f"{output.name} {output.shape}" for output in given)
        raise ModelError(
            f"output.name: {card.weights.name} has no output {card.output.name!r} but {shapes}"
        )
    return card.output.name or str(names[0])


def open_session(
    card: ModelCard, options: ort.SessionOptions, providers: list[Any], outputs: int = 1
) -> ort.InferenceSession:
    """``outputs`` is the number of those that are used.  Raises ModelError where the file is not
    the card's, where it does not load, and what ``check_graph`` raises."""
    content = sealed_weights(card)
    graph = read_graph(content)
    check_graph(card, graph, outputs)
    session = _session(card.weights.name, content, options, providers)
    if graph is NOTHING:
        raise ModelError(f"{card.weights.name} does not load: its graph cannot be read")
    return session


def raw_network(
    name: str, content: bytes, taken: InputSpec, output: str
) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """A network by itself: uint8 RGB (n, side, side, 3), as shares of 255 where it takes floats, to
    what it gives.  Raises ModelError, also when it is called."""
    session = _session(name, content, session_options(), ["CPUExecutionProvider"])
    given, wanted = session.get_inputs()[0].name, [output or session.get_outputs()[0].name]

    def network(tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        shades = tiles if taken.dtype == "uint8" else tiles.astype(np.float32) / np.float32(255)
        planes = shades.transpose(0, 3, 1, 2) if taken.layout is Layout.NCHW else shades
        try:
            found = session.run(wanted, {given: np.ascontiguousarray(planes)})[0]
        except REFUSED as error:
            raise ModelError(f"{name} does not run: {error_line(error)}") from None
        return np.asarray(found, np.float32)

    return network


def _session(
    name: str, content: bytes, options: ort.SessionOptions, providers: list[Any]
) -> ort.InferenceSession:
    try:
        return ort.InferenceSession(content, sess_options=options, providers=providers)
    except REFUSED as error:
        raise ModelError(f"{name} does not load: {error_line(error)}") from None


def misfit(card: ModelCard, error: Exception) -> str:
    return f"input: {card.weights.name} does not take what its card says: {error_line(error)}"


def error_line(error: Exception) -> str:
    """ONNX Runtime's message in one line, without the place in its sources."""
    line = _WHERE.sub("", first_line(error))
    if newer := _NEWER.search(line):
        return (
            f"opset {newer[1]}: ONNX Runtime {ort.__version__} knows those up to {newer[2]};"
            " export it with one of them"
        )
    return line
