"""Make models/demo-slide: an encoder of 16 colour and edge statistics, and a gated attention head.

python models/build_demo_slide.py TUMOUR.svs... -- TUMOUR_FREE.svs...

The slides are of ``wsi-ai demo-slide``, with their truth beside them.  The encoder is written by
hand.  The head's one direction is a logistic regression of "is this tile tumour" over the
encoder's features; its form is that of Ilse et al., ICML 2018: attention is the softmax of
tanh(v) * sigmoid(u), here with v and u along that one direction.
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import shapely
import zarr
from numpy.typing import NDArray
from onnx import TensorProto as T
from onnx import helper, numpy_helper

from wsi_ai.run.embed_slides import embed_slides

HERE = Path(__file__).resolve().parent / "demo-slide"
SIDE, FEATURES, STEEP = 224, 16, 4.0
WIDE = 2.0
Rows = NDArray[np.float64]


def main() -> None:
    split = sys.argv.index("--")
    with_tumour, without = (
        [Path(word) for word in words] for words in (sys.argv[1:split], sys.argv[split + 1 :])
    )
    encoder = encoder_network().SerializeToString()
    bags = {path: features_of(path, encoder) for path in (*with_tumour, *without)}
    tiles = np.concatenate([rows for rows, _ in bags.values()])
    labels = np.concatenate([inside for _, inside in bags.values()])
    direction, offset = logistic(tiles, labels)
    scores = {path: pooled(rows @ direction + offset) for path, (rows, _) in bags.items()}
    low, high = max(scores[p] for p in without), min(scores[p] for p in with_tumour)
    print(f"{labels.mean():.1%} of {len(tiles)} tiles are tumour; slides: {low:.2f} < {high:.2f}")
    head = head_network(direction, offset, middle=(low + high) / 2).SerializeToString()
    for name, content in (("encoder.onnx", encoder), ("head.onnx", head)):
        (HERE / name).write_bytes(content)
        print(name, hashlib.sha256(content).hexdigest())


def features_of(path: Path, encoder: bytes) -> tuple[Rows, NDArray[np.bool_]]:
    """Vectors of a slide's tiles, and whether more than half of each is tumour."""
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch) / "encoder"
        model.mkdir()
        (model / "encoder.onnx").write_bytes(encoder)
        digest = hashlib.sha256(encoder).hexdigest()
        (model / "model.toml").write_text(CARD.format(sha256=digest))
        (outcome,) = embed_slides([path], model, Path(scratch) / "out")
        if outcome.folder is None or outcome.tiles is None:
            raise SystemExit(f"not embedded: {outcome.reason}")
        group = zarr.open_group(outcome.folder / "embeddings.zarr", mode="r")
        rows, corners = np.asarray(group["features"]), np.asarray(group["coords"])
    truth = json.loads(path.with_suffix(".geojson").read_text())["features"]
    tumour = shapely.union_all(
        [
            shapely.geometry.shape(f["geometry"])
            for f in truth
            if f["properties"]["classification"]["name"] == "Tumor"
        ]
    )
    squares = shapely.box(corners[:, 0], corners[:, 1], corners[:, 0] + SIDE, corners[:, 1] + SIDE)
    share = shapely.area(shapely.intersection(squares, tumour)) / SIDE**2
    return rows.astype(np.float64), share > 0.5


def logistic(rows: Rows, labels: NDArray[np.bool_]) -> tuple[Rows, float]:
    """Ridge-penalised, by Newton's method; returned for features as they are."""
    mean, std = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    x = np.concatenate([(rows - mean) / std, np.ones((len(rows), 1))], axis=1)
    w, ridge = np.zeros(x.shape[1]), np.diag([1.0] * rows.shape[1] + [1e-6])
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ w))
        slope = x.T @ (p - labels) + ridge @ w
        w -= np.linalg.solve((x.T * (p * (1 - p))) @ x + ridge, slope)
    return w[:-1] / std, float(w[-1] - (w[:-1] * mean / std).sum())


def pooled(z: Rows) -> float:
    """What the head sums before it is held to the middle."""
    gated = STEEP * np.tanh(z / WIDE) / (1 + np.exp(-z))
    weights = np.exp(gated - gated.max())
    return float(weights @ z / weights.sum())


def encoder_network() -> onnx.ModelProto:
    """uint8 (n, 224, 224, 3) to (n, 16): means, deviations, and mean slopes along both axes of
    optical density; its deviations after blurring by 8; and how much of the tile is dark in red."""
    make, nodes = helper.make_node, []
    put = {
        "one": np.float32(1), "glass": np.float32(240), "dark": np.float32(0.45),
        "steep": np.float32(12), "hw": np.array([1, 2]), "rest": np.array([1, 2, 3]),
        "zero": np.array([0]), "first": np.array([1]), "minus": np.array([-1]),
        "end": np.array([1 << 30]), "y": np.array([1]), "x": np.array([2]), "c": np.array([3]),
        "column": np.array([-1, 1]), "row": np.array([-1, 3]),
    }  # fmt: skip
    nodes += [
        make("Cast", ["tiles"], ["float"], to=T.FLOAT),
        make("Add", ["float", "one"], ["lit"]),
        make("Div", ["lit", "glass"], ["share"]),
        make("Log", ["share"], ["log"]),
        make("Neg", ["log"], ["density"]),
        make("ReduceMean", ["density", "hw"], ["mean"], keepdims=0),
    ]
    nodes += _spread("density", "deviation")
    for axis in ("y", "x"):
        nodes += [
            make("Slice", ["density", "first", "end", axis], [f"after_{axis}"]),
            make("Slice", ["density", "zero", "minus", axis], [f"before_{axis}"]),
            make("Sub", [f"after_{axis}", f"before_{axis}"], [f"step_{axis}"]),
            make("Abs", [f"step_{axis}"], [f"size_{axis}"]),
            make("ReduceMean", [f"size_{axis}", "hw"], [f"slope_{axis}"], keepdims=0),
        ]
    nodes += [
        make("Transpose", ["density"], ["planes"], perm=[0, 3, 1, 2]),
        make("AveragePool", ["planes"], ["small"], kernel_shape=[8, 8], strides=[8, 8]),
        make("Transpose", ["small"], ["blurred"], perm=[0, 2, 3, 1]),
    ]
    nodes += _spread("blurred", "coarse")
    nodes += [
        make("Slice", ["density", "zero", "first", "c"], ["red"]),
        make("Sub", ["red", "dark"], ["over"]),
        make("Mul", ["over", "steep"], ["risen"]),
        make("Sigmoid", ["risen"], ["inked"]),
        make("ReduceMean", ["inked", "rest"], ["part"], keepdims=0),
        make("Reshape", ["part", "column"], ["darkness"]),
        make(
            "Concat",
            ["mean", "deviation", "slope_y", "slope_x", "coarse", "darkness"],
            ["features"],
            axis=1,
        ),
    ]
    tiles = helper.make_tensor_value_info("tiles", T.UINT8, ["n", SIDE, SIDE, 3])
    given = helper.make_tensor_value_info("features", T.FLOAT, ["n", FEATURES])
    return _model(nodes, [tiles], [given], put)


def _spread(name: str, to: str) -> list[onnx.NodeProto]:
    """The deviation over height and width."""
    make = helper.make_node
    return [
        make("ReduceMean", [name, "hw"], [f"{name}_middle"], keepdims=1),
        make("Sub", [name, f"{name}_middle"], [f"{name}_off"]),
        make("Mul", [f"{name}_off", f"{name}_off"], [f"{name}_square"]),
        make("ReduceMean", [f"{name}_square", "hw"], [f"{name}_variance"], keepdims=0),
        make("Sqrt", [f"{name}_variance"], [to]),
    ]


def head_network(direction: Rows, offset: float, middle: float) -> onnx.ModelProto:
    """float32 (1, n, 16) to the slide's logit (1, 1) and the attention (n,)."""
    make = helper.make_node
    put = {
        "direction": direction[:, None].astype(np.float32), "offset": np.float32(offset),
        "slope": np.float32(1 / WIDE), "strength": np.float32(STEEP), "middle": np.float32(middle),
        "flat": np.array([-1]), "square": np.array([1, 1]),
    }  # fmt: skip
    nodes = [
        make("MatMul", ["vectors", "direction"], ["along"]),
        make("Add", ["along", "offset"], ["column"]),
        make("Reshape", ["column", "flat"], ["z"]),
        make("Mul", ["z", "slope"], ["soft"]),
        make("Tanh", ["soft"], ["v"]),
        make("Sigmoid", ["z"], ["u"]),
        make("Mul", ["v", "u"], ["gated"]),
        make("Mul", ["gated", "strength"], ["keen"]),
        make("Softmax", ["keen"], ["attention"], axis=0),
        make("Mul", ["attention", "z"], ["parts"]),
        make("ReduceSum", ["parts"], ["sum"], keepdims=0),
        make("Sub", ["sum", "middle"], ["over"]),
        make("Reshape", ["over", "square"], ["logit"]),
    ]
    vectors = helper.make_tensor_value_info("vectors", T.FLOAT, [1, "n", FEATURES])
    outputs = [
        helper.make_tensor_value_info("logit", T.FLOAT, [1, 1]),
        helper.make_tensor_value_info("attention", T.FLOAT, ["n"]),
    ]
    return _model(nodes, [vectors], outputs, put)


def _model(
    nodes: list[onnx.NodeProto],
    takes: list[onnx.ValueInfoProto],
    gives: list[onnx.ValueInfoProto],
    constants: dict[str, NDArray[np.generic]],
) -> onnx.ModelProto:
    initial = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, "demo-slide", takes, gives, initial)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


CARD = """
schema_version = "1"
name = "encoder"
version = "1"
task = "embedding"
[weights]
path = "encoder.onnx"
format = "onnx"
sha256 = "{sha256}"
[input]
size_px = 224
mpp = 0.5
layout = "nhwc"
dtype = "uint8"
[output]
features = 16
[card]
intended_use = "To train the head of demo-slide."
regulatory_status = "research_use_only"
licence = "Apache-2.0"
training_data = "None."
evidence = "None."
limitations = "All."
"""


if __name__ == "__main__":
    main()
