"""What an ONNX file says of its network.  Nothing is run."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError, EncodeError
from onnx import TensorProto, helper

from wsi_ai.core.cards import Activation, InputSpec, Layout
from wsi_ai.core.regular_file import read_regular
from wsi_ai.errors import ModelError, first_line
from wsi_ai.inference.onnx.chance import by_chance
from wsi_ai.inference.onnx.ends import ends_in_scores, foreign_operator, in_training_mode
from wsi_ai.inference.onnx.operators import read_graph
from wsi_ai.inference.sealed import most_for
from wsi_ai.inference.trial import FOR_A_DRAFT, Batches, check_agreement, trial_tiles, unsteady
from wsi_ai.models.drafts.inspected import Inspected, Shape, as_numbers
from wsi_ai.models.hub_cache import within
from wsi_ai.schemas.reading import Unreadable, from_json

Dims = list[int | str]
_TYPES = {int(TensorProto.UINT8): "uint8", int(TensorProto.FLOAT): "float32"}
_TRIED_PX = 256
"""Side of the tiles that a network is tried on where it takes any."""


def inspect(path: Path, output: str = "") -> Inspected:
    """``output`` is the one that holds the scores, where there are several.  Raises ModelError
    where it takes no RGB tiles, gives nothing that a task knows, or is no function of its tile."""
    model = _read(path)
    graph = model.graph
    stored = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in stored]
    if len(inputs) != 1:
        raise ModelError(f"{path.name} has {len(inputs)} inputs; one for the tiles is needed")
    layout, size = _tiles(path, _dims(inputs[0]))
    name, shape = _scores(path, model, output)
    known = read_graph(model.SerializeToString())
    if foreign := foreign_operator(known):
        raise ModelError(f"{path.name} needs {foreign}, which is not in the file")
    if drawing := by_chance(known, [name]):
        raise ModelError(unsteady(path.name, f"{drawing} draws by chance"))
    opsets = ", ".join(f"{o.domain or 'onnx'} {o.version}" for o in model.opset_import)
    others = [value for value in graph.output if value.name != name]
    seen = Inspected(
        format="onnx",
        layout=layout,
        dtype=_dtype(path, inputs[0]),
        size_px=size,
        shape=shape,
        activation=Activation.NONE if ends_in_scores(known, name) else None,
        batch=_batch(_dims(inputs[0])),
        names=_names(model),
        output=name if others else "",
        notes=(
            f"opset: {opsets}",
            f"input: {inputs[0].name} {_dims(inputs[0])}",
            *(f"another output: {value.name} {_dims(value)}" for value in others),
            *(f"training_mode is set: {node}" for node in in_training_mode(known)),
            *_parts(path),
        ),
    )
    _hold_to_itself(path, seen, _whole(path))
    return seen


def _hold_to_itself(path: Path, seen: Inspected, content: bytes) -> None:
    """Try the network on two tiles.  Raises ModelError where it does not say the same of a tile
    each time, and names what is in training mode."""
    try:
        from wsi_ai.inference.onnx.runtime import raw_network
    except ModuleNotFoundError:  # it is tried when it is opened
        return
    side = seen.size_px or _TRIED_PX
    network = raw_network(path.name, content, InputSpec(seen.layout, seen.dtype), seen.output)
    try:
        batches = Batches(seen.batch or 1, seen.batch or 2, FOR_A_DRAFT)
        check_agreement(path.name, network, trial_tiles(side), batches)
    except ModelError as error:
        nodes = in_training_mode(read_graph(content))
        named = f"; training_mode is set in {', '.join(nodes[:3])}" if nodes else ""
        raise ModelError(f"{error}{named}") from None


def as_one_file(path: Path, target: Path) -> None:
    """The network with the tensors that it keeps in files beside it, as one file at ``target``: so
    that one digest vouches for all.  Raises ModelError."""
    target.write_bytes(_whole(path))


def _whole(path: Path) -> bytes:
    """The network with all of its tensors."""
    model = _read(path)
    try:
        if _elsewhere(model):
            _load_parts(model, path.parent)
        return bytes(model.SerializeToString())
    except FileNotFoundError as error:
        raise ModelError(f"{path.name} keeps tensors in another file: {error}") from None
    except (EncodeError, onnx.checker.ValidationError, OSError, ValueError) as error:
        raise ModelError(f"{path.name} cannot be saved as one file: {first_line(error)}") from None


def _read(path: Path) -> onnx.ModelProto:
    """Without the tensors of other files, which must lie beside it."""
    try:
        model = onnx.load_model_from_string(read_regular(path, most_for("onnx")))
    except OSError as error:
        raise ModelError(f"{path.name}: {error.strerror}") from None
    except (DecodeError, ValueError):
        raise ModelError(f"{path.name} is not an ONNX file") from None
    for name in _elsewhere(model):
        if Path(name).name != name or not name.isprintable():
            raise ModelError(f"{path.name} keeps tensors in {name!r}, which is not beside it")
        if not (path.parent / name).is_file() or not within(path.parent / name, path.parent):
            raise ModelError(f"{path.name} keeps tensors in {name}: put that file beside it")
    return model


def _load_parts(model: onnx.ModelProto, folder: Path) -> None:
    """Links of a hub's cache are followed here, which the library does not."""
    parts = {name: _part(folder / name) for name in _elsewhere(model)}
    for tensor in _tensors(model):
        if not tensor.external_data:
            continue
        said = {entry.key: entry.value for entry in tensor.external_data}
        content, start = parts[said["location"]], int(said.get("offset") or 0)
        end = start + int(said["length"]) if said.get("length") else len(content)
        if not 0 <= start <= end <= len(content):
            raise ModelError(f"{said['location']} is shorter than its tensors: get it again")
        tensor.raw_data = content[start:end]
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def _part(path: Path) -> bytes:
    try:
        return read_regular(path, most_for("onnx"))
    except OSError as error:
        raise ModelError(f"{path.name}: {error.strerror}") from None


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Those of the main graph, and of the attributes of its nodes and of what is in these."""
    waiting = [model.graph]
    while waiting:
        graph = waiting.pop()
        yield from graph.initializer
        for node in graph.node:
            for attribute in node.attribute:
                yield from (*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors)
                waiting += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def _elsewhere(model: onnx.ModelProto) -> list[str]:
    """Files that tensors of the graph are in."""
    entries = [entry for tensor in _tensors(model) for entry in tensor.external_data]
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


def _scores(path: Path, model: onnx.ModelProto, wanted: str) -> tuple[str, Shape]:
    """The output of that name; where none is wanted the first one of shape [n, numbers] or [n],
    else the first one of [n, objects, columns] or [n, classes, height, width]; and its shape for
    one tile."""
    outputs = list(model.graph.output)
    if not all(_dims(value) for value in outputs):
        outputs = list(onnx.shape_inference.infer_shapes(model).graph.output)
    shapes = ", ".join(f"{value.name} {_dims(value)}" for value in outputs)
    named = [value for value in outputs if value.name == wanted] if wanted else outputs
    if not named:
        raise ModelError(f"output.name: {path.name} has no output {wanted!r} but {shapes}")
    for axes in ((1, 2), (3, 4)):
        for value in named:
            dims = _dims(value)
            inner = as_numbers(tuple(d if isinstance(d, int) else None for d in dims[1:] or [1]))
            if dims and len(inner) + 1 in axes:
                return value.name, inner
    raise ModelError(
        f"{path.name} gives {shapes}; [n, classes], [n, features], [n, objects, columns] or"
        " [n, classes, height, width] is needed"
    )


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
