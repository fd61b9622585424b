"""Build the weights of demo-stains and demo-nuclei: nothing in them is learned.

    python models/build_demo_tasks.py [FOLDER]

Both unmix the stains by colour deconvolution (Ruifrok and Johnston 2001, Anal Quant Cytol Histol
23, 291-299, their published vectors for H&E), which is a convolution with a kernel of one pixel,
and then look at the haematoxylin.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto as T
from onnx import helper, numpy_helper

HERE = Path(__file__).resolve().parent
STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
"""Optical densities in red, green and blue of haematoxylin, eosin, and what is neither."""
F32 = NDArray[np.float32]


def unmixing() -> F32:
    """(2, 3): from optical density to haematoxylin and eosin."""
    unit = STAINS / np.linalg.norm(STAINS, axis=1, keepdims=True)
    return np.linalg.inv(unit).T[:2].astype(np.float32)


def gaussian(side: int, sigma: float) -> F32:
    """(side, side), of sum 1."""
    at = np.arange(side) - side // 2
    line = np.exp(-(at**2) / (2 * sigma**2))
    kernel = np.outer(line, line)
    return (kernel / kernel.sum()).astype(np.float32)


class Graph:
    """Nodes and constants, gathered in order."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, inputs: list[str], output: str, **fields: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], **fields))
        return output

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def stains(self) -> str:
        """(n, 2, h, w): haematoxylin and eosin, blurred by a Gaussian of one pixel."""
        self.add("Cast", ["tiles"], "float", to=T.FLOAT)
        self.add("Transpose", ["float"], "planes", perm=[0, 3, 1, 2])
        self.add("Add", ["planes", self.constant("one", 1)], "shifted")
        self.add("Mul", ["shifted", self.constant("share", 1 / 256)], "light")
        self.add("Log", ["light"], "darkness")
        self.add(
            "Conv", ["darkness", self.constant("unmix", -unmixing()[:, :, None, None])], "mixed"
        )
        blur = np.stack([gaussian(5, 1.0)] * 2)[:, None]
        return self.add(
            "Conv", ["mixed", self.constant("blur", blur)], "stains", group=2, pads=[2] * 4
        )

    def model(self, output: str, shape: list[Any], side: str | int) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "demo",
            [helper.make_tensor_value_info("tiles", T.UINT8, ["n", side, side, 3])],
            [helper.make_tensor_value_info(output, T.FLOAT, shape)],
            self.constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def stains_network() -> onnx.ModelProto:
    """(n, 3, h, w): how much each pixel is background, haematoxylin or eosin, before softmax."""
    graph = Graph()
    graph.stains()
    # background: neither stain; the others against each other, at the scale of their densities
    weights = np.array([[-20.0, -20.0], [16.0, -6.0], [-6.0, 14.0]], np.float32)
    bias = graph.constant("bias", [3.0, -4.5, -1.0])
    graph.add(
        "Conv", ["stains", graph.constant("classes", weights[:, :, None, None]), bias], "score"
    )
    return graph.model("score", ["n", 3, "h", "w"], "side")


def nuclei_network(side: int = 256, most: int = 256) -> onnx.ModelProto:
    """(n, most, 4): x, y, score and class 0 of the darkest blobs of haematoxylin in a tile."""
    graph = Graph()
    graph.stains()
    graph.add("Gather", ["stains", graph.constant("first", [0], np.int64)], "dark", axis=1)
    blob = gaussian(15, 2.2) - gaussian(15, 6.0)
    graph.add("Conv", ["dark", graph.constant("blob", blob[None, None])], "blobs", pads=[7] * 4)
    graph.add("MaxPool", ["blobs"], "highest", kernel_shape=[11, 11], pads=[5] * 4)
    graph.add("Equal", ["blobs", "highest"], "peak")
    graph.add("Mul", ["blobs", graph.constant("steep", 22.0)], "steeper")
    graph.add("Add", ["steeper", graph.constant("level", -3.0)], "logit")
    graph.add("Sigmoid", ["logit"], "sure")
    graph.add("Where", ["peak", "sure", graph.constant("none", 0.0)], "score")
    graph.add("Reshape", ["score", graph.constant("flat", [0, -1], np.int64)], "row")
    graph.nodes.append(
        helper.make_node(
            "TopK", ["row", graph.constant("k", [most], np.int64)], ["best", "at"], axis=1
        )
    )
    graph.add("Mod", ["at", graph.constant("side", side, np.int64)], "col")
    graph.add("Div", ["at", "side"], "line")
    graph.add("Cast", ["col"], "x0", to=T.FLOAT)
    graph.add("Cast", ["line"], "y0", to=T.FLOAT)
    graph.add("Add", ["x0", graph.constant("half", 0.5)], "x")
    graph.add("Add", ["y0", "half"], "y")
    graph.add("Mul", ["best", "none"], "kind")
    for name in ("x", "y", "best", "kind"):
        graph.add("Unsqueeze", [name, _axis(graph, name)], f"{name}_")
    graph.add("Concat", ["x_", "y_", "best_", "kind_"], "objects", axis=2)
    return graph.model("objects", ["n", most, 4], side)


def _axis(graph: Graph, name: str) -> str:
    return graph.constant(f"{name}_axis", [2], np.int64)


def build(folder: Path) -> None:
    for name, network in (("demo-stains", stains_network()), ("demo-nuclei", nuclei_network())):
        onnx.checker.check_model(network, full_check=True)
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / f"{name}.onnx").write_bytes(network.SerializeToString(deterministic=True))


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
