"""What blending costs beside the inference of a small U-Net on the host, and what overlap costs.

    python benchmarks/blend.py [--tiles 24] [--rounds 3] [--json]

A U-Net of 16, 32 and 64 channels with random weights, built here, two classes; its window follows
from its receptive field (see ``wsi_ai.models.windows``).  Tiles of noise lie on a slide that nobody
reads.
``blending`` is all that comes after the scores of a tile: weighting, adding up, dividing, rounding,
averaging for the rule and writing; ``of that, weighting and adding`` is the blender alone.
"""

import argparse
import hashlib
import json
import platform
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper

from wsi_ai.core.cards import RuntimeRequest
from wsi_ai.core.contracts import Runtime
from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.core.values import Predictions, SlideInfo, TileBatch, TilePlan
from wsi_ai.heatmaps import Keep
from wsi_ai.heatmaps.blend import Blender
from wsi_ai.heatmaps.by_task import open_canvas
from wsi_ai.heatmaps.dense_rows import stored
from wsi_ai.heatmaps.segmentation import dense_grid
from wsi_ai.inference.registry import open_runtime
from wsi_ai.models.manifest import load_card
from wsi_ai.tiles.planning import plan_for

TARGET_BLENDING, TARGET_OVERLAP = 0.10, 0.15
CHANNELS, CLASSES = (16, 32, 64), 2
CARD = """schema_version = "1"
name = "u-net"
version = "0"
task = "segmentation"
[weights]
path = "u-net.onnx"
format = "onnx"
sha256 = "{sha256}"
[input]
mpp = 0.5
free_size = true
multiple_of = 4
layout = "nchw"
dtype = "float32"
[output]
activation = "softmax"
classes = ["tumour", "other"]
margin_px = 22
[operating_point]
class = "tumour"
threshold = 0.5
chosen_for = "benchmarks"
calibrated_on = "nothing: the weights are random"
[card]
intended_use = "Benchmarks."
regulatory_status = "research_use_only"
licence = "Apache-2.0"
training_data = "None."
evidence = "None."
limitations = "Random weights."
"""


class UNet:
    """Two convolutions a level, halved by maxima, doubled by transposed convolutions."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._rng = np.random.default_rng(0)
        self._depth = {"tiles": 3}

    def model(self) -> onnx.ModelProto:
        at, skips = "tiles", []
        for n, channels in enumerate(CHANNELS):
            at = self._twice(at, channels)
            if n < len(CHANNELS) - 1:
                skips.append(at)
                at = self._add("MaxPool", [at], channels, kernel_shape=[2, 2], strides=[2, 2])
        for skip in reversed(skips):
            channels = self._depth[skip]
            up = self._weight((self._depth[at], channels, 2, 2))
            at = self._add("ConvTranspose", [at, up], channels, strides=[2, 2])
            at = self._add("Concat", [skip, at], 2 * channels, axis=1)
            at = self._twice(at, channels)
        last = self._weight((CLASSES, self._depth[at], 1, 1))
        at = self._add("Conv", [at, last], CLASSES)
        graph = helper.make_graph(
            self.nodes,
            "u-net",
            [helper.make_tensor_value_info("tiles", T.FLOAT, ["n", 3, "h", "w"])],
            [helper.make_tensor_value_info(at, T.FLOAT, ["n", CLASSES, "h", "w"])],
            self.weights,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)

    def _twice(self, at: str, channels: int) -> str:
        for _ in range(2):
            kernel = self._weight((channels, self._depth[at], 3, 3))
            at = self._add("Conv", [at, kernel], channels, pads=[1] * 4)
            at = self._add("Relu", [at], channels)
        return at

    def _add(self, kind: str, inputs: list[str], channels: int, **fields: object) -> str:
        name = f"{kind}-{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **fields))
        self._depth[name] = channels
        return name

    def _weight(self, shape: tuple[int, ...]) -> str:
        name = f"weight-{len(self.weights)}"
        scale = np.sqrt(2 / np.prod(shape[1:]))
        value = self._rng.normal(0, scale, shape).astype(np.float32)
        self.weights.append(numpy_helper.from_array(value, name))
        return name


def write_model(folder: Path) -> Path:
    weights = UNet().model().SerializeToString()
    (folder / "u-net.onnx").write_bytes(weights)
    (folder / "model.toml").write_text(CARD.format(sha256=hashlib.sha256(weights).hexdigest()))
    return folder


def plan_of(runtime: Runtime, tiles: int) -> TilePlan:
    """Rows of six tiles."""
    stride = runtime.card.tile.stride_px
    size = Size(6 * stride, -(-tiles // 6) * stride)
    slide = SlideInfo("bench", size, Spacing(0.5, 0.5), (1.0,), "0" * 64)
    return plan_for(runtime.card, slide, np.ones((8, 8), np.bool_))


def seconds(runtime: Runtime, plan: TilePlan, kept: Path) -> tuple[float, float, float]:
    """Of inference, of blending and all after it, and of the blender alone."""
    side, batch = runtime.card.tile.size_px, runtime.batch_size
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (batch, side, side, 3), np.uint8)
    spent = [0.0, 0.0, 0.0]
    blender = Blender(dense_grid(plan, runtime.card), CLASSES, stored)
    with closing(open_canvas(plan, runtime.card, Keep(kept, "ab" * 32, batch))) as canvas:
        for first in range(0, len(plan), batch):
            index = np.arange(first, min(first + batch, len(plan)))
            times = [time.perf_counter()]
            tiles = TileBatch("bench", index, pixels[: len(index)])
            (found,) = runtime.predict([tiles])
            times.append(time.perf_counter())
            canvas.put(found)
            times.append(time.perf_counter())
            _blend(blender, plan, found)
            times.append(time.perf_counter())
            spent = [s + float(d) for s, d in zip(spent, np.diff(times), strict=True)]
    return spent[0], spent[1], spent[2]


def _blend(blender: Blender, plan: TilePlan, found: Predictions) -> None:
    grid = blender.grid
    for (row, col), scores in zip(plan.cells[found.index].tolist(), found.scores, strict=True):
        for _ in blender.finish(grid.begin(row)):
            pass
        blender.add(row, col, scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiles", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    shares, alone, rates = [], [], []
    with tempfile.TemporaryDirectory() as scratch:
        runtime = open_runtime(load_card(write_model(Path(scratch))), RuntimeRequest("cpu"))
        plan = plan_of(runtime, asked.tiles)
        for n in range(asked.rounds):
            inference, blending, adding = seconds(runtime, plan, Path(scratch) / f"kept{n}")
            shares.append(blending / inference)
            alone.append(adding / inference)
            rates.append(len(plan) / inference)
    tile = runtime.card.tile
    overlap = (tile.size_px / tile.stride_px) ** 2 - 1
    share = statistics.median(shares)
    if asked.json:
        row = {"name": "blend", "share": round(share, 4), "target": TARGET_BLENDING}
        print(json.dumps({**row, "overlap": round(overlap, 4)}))
        return
    print(f"{platform.processor() or platform.machine()}, {runtime.description}")
    print(f"window {tile.size_px} px, stride {tile.stride_px} px, {len(plan)} tiles")
    print(f"inference {statistics.median(rates):.2f} tiles/s")
    print(f"blending {share:.1%} of inference, target at most {TARGET_BLENDING:.0%}")
    print(f"of that, weighting and adding {statistics.median(alone):.1%}")
    print(f"overlap costs {overlap:.1%} of the pixels, target under {TARGET_OVERLAP:.0%}")


if __name__ == "__main__":
    main()
