"""What an ONNX file says of its network.  Nothing is run."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError, EncodeError
from onnx import TensorProto, helper

from wsi_ai.core.cards import Activation, Layout
from wsi_ai.errors import ModelError, first_line
from wsi_ai.models.drafts.inspected import Inspected, Shape
from wsi_ai.schemas.reading import Unreadable, from_json

Dims = list[int | str]
_TYPES = {int(TensorProto.UINT8): "uint8", int(TensorProto.FLOAT): "float32"}
_LEAVES_SCORES = {"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast", "Clip"}
_ACTIVE = {"Softmax", "Sigmoid", "HardSigmoid"}


def inspect(path: Path) -> Inspected:
    """Raises ModelError where it takes no RGB tiles, or gives nothing that a task knows."""
    model = _read(path)
    graph = model.graph
    stored = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in stored]
    if len(inputs) != 1:
        raise ModelError(f"{path.name} has {len(inputs)} inputs; one for the tiles is needed")
    layout, size = _tiles(path, _dims(inputs[0]))
    output, shape = _scores(path, model)
    opsets = ", ".join(f"{o.domain or 'onnx'} {o.version}" for o in model.opset_import)
    return Inspected(
        format="onnx",
        layout=layout,
        dtype=_dtype(path, inputs[0]),
        size_px=size,
        shape=shape,
        activation=_left_to_do(graph, output, shape),
        batch=_batch(_dims(inputs[0])),
        names=_names(model),
        output=output if len(graph.output) > 1 else "",
        notes=(f"opset: {opsets}", f"input: {inputs[0].name} {_dims(inputs[0])}", *_parts(path)),
    )


def as_one_file(path: Path, target: Path) -> None:
    """The network with the tensors that it keeps in files beside it, as one file at ``target``: so
    that one digest vouches for all.  Raises ModelError."""
    _read(path)
    try:
        whole = onnx.load(path)
        target.write_bytes(whole.SerializeToString())
    except FileNotFoundError as error:
        raise ModelError(f"{path.name} keeps tensors in another file: {error}") from None
    except (EncodeError, onnx.checker.ValidationError, OSError, ValueError) as error:
        raise ModelError(f"{path.name} cannot be saved as one file: {first_line(error)}") from None


def _read(path: Path) -> onnx.ModelProto:
    """Without the tensors of other files, which must lie beside it."""
    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, OSError, ValueError):
        raise ModelError(f"{path.name} is not an ONNX file") from None
    for name in _elsewhere(model):
        if Path(name).name != name:
            raise ModelError(f"{path.name} keeps tensors in {name}, which is not beside it")
        if not (path.parent / name).is_file():
            raise ModelError(f"{path.name} keeps tensors in {name}: put that file beside it")
    return model


def _elsewhere(model: onnx.ModelProto) -> list[str]:
    """Files that tensors of the graph are in."""
    entries = [entry for tensor in model.graph.initializer for entry in tensor.external_data]
    return sorted({entry.value for entry in entries if entry.key == "location"})


def _parts(path: Path) -> Iterator[str]:
    """What the file was put together of, for whoever has the digests of the parts."""
    names = _elsewhere(_read(path))
    for part in [path, *(path.parent / name for name in names)] if names else ():
        with part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        yield f"put together of {part.name}, SHA-256 {digest}"


def _batch(dims: Dims) -> int | None:
    return dims[0] if isinstance(dims[0], int) and dims[0] > 0 else None


def _dims(value: onnx.ValueInfoProto) -> Dims:
    dims = value.type.tensor_type.shape.dim
    return [d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in dims]


def _dtype(path: Path, value: onnx.ValueInfoProto) -> str:
    kind = int(value.type.tensor_type.elem_type)
    if kind not in _TYPES:
        name = helper.tensor_dtype_to_string(kind).rpartition(".")[2].lower()
        raise ModelError(f"{path.name} takes {name} tiles; uint8 or float32 ones are needed")
    return _TYPES[kind]


def _tiles(path: Path, dims: Dims) -> tuple[Layout, int | None]:
    """Layout and side of the tiles that a network of such an input takes."""
    if len(dims) != 4 or 3 not in (dims[1], dims[3]):
        raise ModelError(f"{path.name} takes {dims}, not RGB tiles [n, 3, h, w] or [n, h, w, 3]")
    planes = dims[1] == 3
    height, width = dims[2:] if planes else dims[1:3]
    if isinstance(height, int) and isinstance(width, int) and height != width:
        raise ModelError(f"{path.name} takes tiles of {height} x {width}; square ones are needed")
    size = height if isinstance(height, int) else width
    return Layout.NCHW if planes else Layout.NHWC, size if isinstance(size, int) else None


def _scores(path: Path, model: onnx.ModelProto) -> tuple[str, Shape]:
    """The first output of shape [n, numbers], or [n]; else the first one of [n, objects, columns]
    or [n, classes, height, width]; and its shape for one tile."""
    outputs = list(model.graph.output)
    if not all(_dims(value) for value in outputs):
        outputs = list(onnx.shape_inference.infer_shapes(model).graph.output)
    for axes in ((1, 2), (3, 4)):
        for value in outputs:
            dims = _dims(value)
            if len(dims) in axes:
                inner = dims[1:] or [1]
                return value.name, tuple(d if isinstance(d, int) else None for d in inner)
    shapes = ", ".join(str(_dims(value)) for value in outputs)
    raise ModelError(
        f"{path.name} gives {shapes}; [n, classes], [n, features], [n, objects, columns] or"
        " [n, classes, height, width] is needed"
    )


def _left_to_do(graph: onnx.GraphProto, output: str, shape: Shape) -> Activation | None:
    """Nothing where the graph ends in softmax or sigmoid; a single logit wants a sigmoid."""
    makers = {name: node for node in graph.node for name in node.output}
    node = makers.get(output)
    while node is not None and node.op_type in _LEAVES_SCORES:
        node = makers.get(node.input[0])
    if node is not None and node.op_type in _ACTIVE:
        return Activation.NONE
    return Activation.SIGMOID if shape[0] == 1 else None


def _names(model: onnx.ModelProto) -> tuple[str, ...]:
    """Of the classes, where the exporter wrote them into the metadata as a JSON list."""
    for entry in model.metadata_props:
        if entry.key in ("classes", "class_names"):
            try:
                told = from_json(entry.value)
            except Unreadable:
                continue
            if isinstance(told, list) and all(isinstance(name, str) for name in told):
                return tuple(told)
    return ()
