"""Tiny ONNX models, and cards for them."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper


def red_network(side: int = 64, layout: str = "nhwc", dtype: str = "uint8") -> onnx.ModelProto:
    """Gives, per tile, the mean of red over 255 as [n, 1]: right only if layout, channel order
    and scaling are."""
    shape = ["n", side, side, 3] if layout == "nhwc" else ["n", 3, side, side]
    axis = 3 if layout == "nhwc" else 1
    kind = T.UINT8 if dtype == "uint8" else T.FLOAT
    scale = 255.0 if dtype == "uint8" else 1.0
    constants = {
        "zero": np.array([0]),
        "one": np.array([1]),
        "axis": np.array([axis]),
        "rest": np.array([1, 2, 3]),
        "flat": np.array([-1, 1]),
    }
    nodes = [
        helper.make_node("Cast", ["tiles"], ["float"], to=T.FLOAT),
        helper.make_node("Slice", ["float", "zero", "one", "axis"], ["red"]),
        helper.make_node("ReduceMean", ["red", "rest"], ["mean"], keepdims=0),
        helper.make_node("Div", ["mean", "scale"], ["share"]),
        helper.make_node("Reshape", ["share", "flat"], ["score"]),
    ]
    initial = [numpy_helper.from_array(v.astype(np.int64), k) for k, v in constants.items()]
    initial.append(numpy_helper.from_array(np.array(scale, np.float32), "scale"))
    return _model(nodes, kind, shape, ["n", 1], initial)


def corner_network(side: int = 64) -> onnx.ModelProto:
    """The mean of red over 255 in the upper left corner (half the height, a quarter of the width),
    as a logit between -4 and 4: [n, 1].  No view of the tile but itself scores the same."""
    constants = {
        "start": np.array([0, 0, 0]),
        "end": np.array([side // 2, side // 4, 1]),
        "axes": np.array([1, 2, 3]),
        "flat": np.array([-1, 1]),
    }
    nodes = [
        helper.make_node("Cast", ["tiles"], ["float"], to=T.FLOAT),
        helper.make_node("Slice", ["float", "start", "end", "axes"], ["corner"]),
        helper.make_node("ReduceMean", ["corner", "axes"], ["mean"], keepdims=0),
        helper.make_node("Reshape", ["mean", "flat"], ["column"]),
        helper.make_node("Mul", ["column", "steep"], ["risen"]),
        helper.make_node("Sub", ["risen", "four"], ["score"]),
    ]
    initial = [numpy_helper.from_array(v.astype(np.int64), k) for k, v in constants.items()]
    initial.append(numpy_helper.from_array(np.array(8 / 255, np.float32), "steep"))
    initial.append(numpy_helper.from_array(np.array(4, np.float32), "four"))
    return _model(nodes, T.UINT8, ["n", side, side, 3], ["n", 1], initial)


def mean_network(side: int = 64, times: float = 1 / 255) -> onnx.ModelProto:
    """The means of red, green and blue, ``times``: [n, 3]."""
    initial = [
        numpy_helper.from_array(np.array([1, 2]), "rest"),
        numpy_helper.from_array(np.array(times, np.float32), "times"),
    ]
    nodes = [
        helper.make_node("Cast", ["tiles"], ["float"], to=T.FLOAT),
        helper.make_node("ReduceMean", ["float", "rest"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "times"], ["score"]),
    ]
    return _model(nodes, T.UINT8, ["n", side, side, 3], ["n", 3], initial)


def attention_head(
    features: int = 3, steep: float = 20.0, middle: float = 0.75, lead: int = 0
) -> onnx.ModelProto:
    """Looks for red, the first feature: attention is the softmax of ``steep`` times it; the logit
    is ``steep`` times its mean, so weighed, above ``middle``.  ``lead`` axes of 1 come first."""
    shape = [1] * lead + ["n", features]
    constants = {"zero": np.array([0]), "one": np.array([1]), "axis": np.array([lead + 1])}
    constants |= {"all": np.arange(lead + 2), "flat": np.array([1])}
    nodes = [
        helper.make_node("Slice", ["vectors", "zero", "one", "axis"], ["red"]),
        helper.make_node("Mul", ["red", "steep"], ["keen"]),
        helper.make_node("Softmax", ["keen"], ["attention"], axis=lead),
        helper.make_node("Mul", ["attention", "red"], ["parts"]),
        helper.make_node("ReduceSum", ["parts", "all"], ["mean"], keepdims=0),
        helper.make_node("Sub", ["mean", "middle"], ["over"]),
        helper.make_node("Mul", ["over", "steep"], ["risen"]),
        helper.make_node("Reshape", ["risen", "flat"], ["logit"]),
    ]
    initial = [numpy_helper.from_array(v.astype(np.int64), k) for k, v in constants.items()]
    initial.append(numpy_helper.from_array(np.array(steep, np.float32), "steep"))
    initial.append(numpy_helper.from_array(np.array(middle, np.float32), "middle"))
    graph = helper.make_graph(
        nodes,
        "head",
        [helper.make_tensor_value_info("vectors", T.FLOAT, shape)],
        [
            helper.make_tensor_value_info("logit", T.FLOAT, [1]),
            helper.make_tensor_value_info("attention", T.FLOAT, [1] * lead + ["n", 1]),
        ],
        initial,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def product_network(side: int = 64) -> onnx.ModelProto:
    """The mean of red over 255 by a matrix product, as a transformer computes: [n, 1]."""
    weights = np.zeros((side * side * 3, 1), np.float32)
    weights[::3] = 1 / (255 * side * side)
    initial = [
        numpy_helper.from_array(np.array([0, -1]), "flat"),
        numpy_helper.from_array(weights, "weights"),
    ]
    nodes = [
        helper.make_node("Cast", ["tiles"], ["float"], to=T.FLOAT),
        helper.make_node("Reshape", ["float", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "weights"], ["score"]),
    ]
    return _model(nodes, T.UINT8, ["n", side, side, 3], ["n", 1], initial)


def swamped_network(side: int = 64) -> onnx.ModelProto:
    """The same, beside a number a thousand times as large: in 8 bits nothing of it is left."""
    weights = np.zeros((side * side * 3, 2), np.float32)
    weights[::3] = np.array([1, 1000], np.float32) / (255 * side * side)
    initial = [
        numpy_helper.from_array(np.array([0, -1]), "flat"),
        numpy_helper.from_array(weights, "weights"),
        numpy_helper.from_array(np.array([[1], [0]], np.float32), "first"),
    ]
    nodes = [
        helper.make_node("Cast", ["tiles"], ["float"], to=T.FLOAT),
        helper.make_node("Reshape", ["float", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "weights"], ["both"]),
        helper.make_node("MatMul", ["both", "first"], ["score"]),
    ]
    return _model(nodes, T.UINT8, ["n", side, side, 3], ["n", 1], initial)


def constant_network(scores: list[float], side: int = 64) -> onnx.ModelProto:
    """The same output for every tile, whatever it shows: [n, len(scores)]."""
    nodes = [
        helper.make_node("Cast", ["tiles"], ["float"], to=T.FLOAT),
        helper.make_node("ReduceMean", ["float", "rest"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "nil"], ["none"]),
        helper.make_node("Reshape", ["none", "flat"], ["column"]),
        helper.make_node("Add", ["column", "scores"], ["score"]),
    ]
    initial = [
        numpy_helper.from_array(np.array([1, 2, 3]), "rest"),
        numpy_helper.from_array(np.array([-1, 1]), "flat"),
        numpy_helper.from_array(np.array(0, np.float32), "nil"),
        numpy_helper.from_array(np.array([scores], np.float32), "scores"),
    ]
    return _model(nodes, T.UINT8, ["n", side, side, 3], ["n", len(scores)], initial)


def _model(
    nodes: list[Any], kind: int, shape: list[Any], output: list[Any], initial: list[Any]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("tiles", kind, shape)],
        [helper.make_tensor_value_info("score", T.FLOAT, output)],
        initial,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


CARD = """
schema_version = "1"
name = "{name}"
version = "1.0.0"
task = "tile-classification"
[weights]
path = "weights.onnx"
format = "onnx"
sha256 = "{sha256}"
[input]
size_px = {side}
mpp = {mpp}
layout = "{layout}"
dtype = "{dtype}"
{input}
[output]
activation = "{activation}"
classes = {classes}
[operating_point]
class = "{label}"
threshold = {threshold}
chosen_for = "tests"
calibrated_on = "nothing"
[card]
intended_use = "Tests."
regulatory_status = "research_use_only"
licence = "Apache-2.0"
training_data = "None."
evidence = "None."
limitations = "All."
"""

FIELDS: dict[str, Any] = {
    "name": "red", "side": 64, "mpp": 0.5, "layout": "nhwc", "dtype": "uint8",
    "activation": "none", "classes": '["red"]', "label": "red", "threshold": 0.5, "input": "",
}  # fmt: skip


VECTORS = """
schema_version = "1"
name = "{name}"
version = "1.0.0"
task = "{task}"
[weights]
path = "weights.onnx"
format = "onnx"
sha256 = "{sha256}"
[input]
size_px = {side}
mpp = {mpp}
layout = "nhwc"
dtype = "uint8"
[output]
features = {features}
{output}
[card]
intended_use = "Tests."
regulatory_status = "research_use_only"
licence = "Apache-2.0"
training_data = "None."
evidence = "None."
limitations = "All."
"""


def write_encoder(folder: Path, network: onnx.ModelProto, **fields: Any) -> Path:
    """A model folder of an embedding; ``fields`` in place of those that fit ``mean_network``."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = network.SerializeToString()
    (folder / "weights.onnx").write_bytes(weights)
    plain = {"name": "mean", "task": "embedding", "side": 64, "mpp": 1.0, "features": 3}
    digest = hashlib.sha256(weights).hexdigest()
    card = VECTORS.format(**{**plain, "output": "", "sha256": digest, **fields})
    (folder / "model.toml").write_text(card, "utf-8")
    return folder


SECOND = """
[aggregator]
path = "{path}"
format = "{format}"
sha256 = "{sha256}"
[operating_point]
class = "red"
threshold = 0.5
chosen_for = "tests"
calibrated_on = "nothing"
"""


def write_slide_model(folder: Path, head: bytes, kind: str = "onnx", **fields: Any) -> Path:
    """A model folder of a slide classification: ``mean_network``, then ``head``."""
    said = 'activation = "sigmoid"\nclasses = ["red"]'
    plain = {"name": "slide", "task": "slide-classification", "output": said}
    write_encoder(folder, mean_network(), **{**plain, **fields})
    path = f"head.{kind}"
    (folder / path).write_bytes(head)
    second = SECOND.format(path=path, format=kind, sha256=hashlib.sha256(head).hexdigest())
    with (folder / "model.toml").open("a") as card:
        card.write(second)
    return folder


def write_model(folder: Path, network: onnx.ModelProto | bytes, **fields: Any) -> Path:
    """A model folder: weights and a card that fits them but for ``fields``."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = network if isinstance(network, bytes) else network.SerializeToString()
    (folder / "weights.onnx").write_bytes(weights)
    digest = hashlib.sha256(weights).hexdigest()
    card = CARD.format(**{**FIELDS, "sha256": digest, **fields})
    (folder / "model.toml").write_text(card, "utf-8")
    return folder
