"""Models in ONNX, by ONNX Runtime on the host's processor."""

import re
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from wsi_ai.core.cards import ModelCard, Precision, RuntimeRequest
from wsi_ai.core.environment import threads
from wsi_ai.core.memory import give_back
from wsi_ai.errors import DeviceError, ModelError, first_line
from wsi_ai.inference.host import HostRuntime, usual_batch
from wsi_ai.inference.scoring import prepare, room_for

REFUSED = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)
"""What ONNX Runtime raises about a file."""
_AS_ASKED = 1
_NOWHERE = "/proc/self/nowhere"
_WHERE = re.compile(
    r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : (Load model from \S+ failed:)?"
    r"(/onnxruntime_src/\S+:\d+ .*?\(.*?\) (?=[A-Z]))?"
)
"""What ONNX Runtime's messages begin with: where in its sources they were raised."""
_NEWER = re.compile(r"Opset (\d+) is under development.* till opset (\d+)")


def open_runtime(card: ModelCard, request: RuntimeRequest) -> HostRuntime:
    """A session on all cores at hand, tried once.

    Raises ModelError where the file does not load or does not fit its card, DeviceError for fp16
    and bf16: ONNX Runtime computes in the type that the file's own weights have.
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
    return HostRuntime(card, ours, network, request.batch_size, trial=1 if any_count else None)


def _frugal(options: ort.SessionOptions) -> ort.SessionOptions:
    """Activations take what they need at once, and no more: by default ONNX Runtime's arena grows
    by powers of two, and keeps a second plan of them beside the first batch's."""
    arena = ort.OrtArenaCfg({"arena_extend_strategy": _AS_ASKED})
    where = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    ort.create_and_register_allocator(where, arena)
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.enable_mem_pattern = False
    return options


def session_options() -> ort.SessionOptions:
    """NoWatcher: what ONNX Runtime has to say it raises as well.  Tensors in other files, which the
    model's digest does not vouch for, are not found."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", _NOWHERE
    )
    return options


def output_of(card: ModelCard, session: ort.InferenceSession) -> str:
    """The name of the output that holds the scores.  Raises ModelError."""
    names = [output.name for output in session.get_outputs()]
    if card.output.name and card.output.name not in names:
        raise ModelError(
            f"output.name: {card.weights.name} has no output {card.output.name!r} but {names}"
        )
    return card.output.name or str(names[0])


def open_session(
    card: ModelCard, options: ort.SessionOptions, providers: list[Any]
) -> ort.InferenceSession:
    """Raises ModelError where the file does not load."""
    try:
        return ort.InferenceSession(card.weights, sess_options=options, providers=providers)
    except REFUSED as error:
        raise ModelError(f"{card.weights.name} does not load: {error_line(error)}") from None


def misfit(card: ModelCard, error: Exception) -> str:
    return f"input: {card.weights.name} does not take what its card says: {error_line(error)}"


def error_line(error: Exception) -> str:
    """What ONNX Runtime has to say, without its sources, in one line."""
    line = _WHERE.sub("", first_line(error))
    if newer := _NEWER.search(line):
        return (
            f"opset {newer[1]}: ONNX Runtime {ort.__version__} knows those up to {newer[2]};"
            " export it with one of them"
        )
    return line
