"""Train the demo's tumour classifier on synthetic slides only.

    python models/demo-tumour/train.py

Repeatable by steps and seeds, not by the clock.  Writes the weights, for ONNX and as a program of
torch.export, and their SHA-256 into the card; `calibrate.py` then chooses threshold and rule.
"""

import hashlib
import re
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import onnx
import torch
import torch.nn.functional as F
from augment import Augment
from network import CELL_PX, TumourNet
from tiles import DOWN, NEST_SHARE, SIDE_PX, Tiles, join, tiles_of_seed
from torch import Tensor

HERE = Path(__file__).parent
ONNX, PROGRAM, CARD = (HERE / n for n in ("demo-tumour.onnx", "demo-tumour.pt2", "model.toml"))
SEEDS, PER_KIND = range(100, 124), 110
BATCH, PEAK_RATE, SMOOTHING = 32, 5e-3, 0.02
CYCLES = (
    (450, 1.0),
    (1000, 0.4),
)  # steps and strength of variation: first the wide world, then its own
NEAR_UM = 16  # what lies so near to a nest counts as tumour too


def collect() -> Tiles:
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        return join(list(pool.map(partial(tiles_of_seed, per_kind=PER_KIND), SEEDS)))


def train(tiles: Tiles) -> TumourNet:
    torch.manual_seed(0)
    net = TumourNet()
    for cycle, (steps, strength) in enumerate(CYCLES):
        generator = torch.Generator().manual_seed(cycle)
        _train(net, tiles, steps, Augment(generator, strength), generator)
    return net.eval()


def _train(
    net: TumourNet, tiles: Tiles, steps: int, augment: Augment, generator: torch.Generator
) -> None:
    optimiser = torch.optim.AdamW(net.parameters(), lr=PEAK_RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, steps, pct_start=0.1)
    rgb, nest = torch.from_numpy(tiles.rgb), torch.from_numpy(tiles.nest)
    tumour = nest.float().mean((1, 2)) >= NEST_SHARE
    kinds = [torch.nonzero(tumour == k)[:, 0] for k in (False, True)]
    for step in range(steps):
        half = [k[torch.randint(len(k), (BATCH // 2,), generator=generator)] for k in kinds]
        index = torch.cat(half)
        img, where = augment(rgb[index], nest[index])
        squares, tile = net.logits(img)
        loss = _loss(squares, _near(where)) + _loss_of_tiles(tile[:, 0], where.mean((1, 2, 3)))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if step % 50 == 49:
            print(f"step {step + 1} of {steps}: loss {loss.item():.3f}", flush=True)


def _near(where: Tensor) -> Tensor:
    """The share of each square that is nest or near to one: [n, 1, 10, 10]."""
    side = 2 * round(NEAR_UM / 0.5 / DOWN) + 1
    grown = F.max_pool2d(F.avg_pool2d(where, DOWN), side, 1, side // 2)
    return F.avg_pool2d(grown, CELL_PX // DOWN)


def _loss(logits: Tensor, wanted: Tensor) -> Tensor:
    soft = SMOOTHING + (1 - 2 * SMOOTHING) * wanted
    return F.binary_cross_entropy_with_logits(logits, soft)


def _loss_of_tiles(logits: Tensor, share: Tensor) -> Tensor:
    """Of tiles that are clearly one or the other: turning may leave a nest's rim in a corner."""
    clear = (share >= NEST_SHARE) | (share == 0)
    return _loss(logits[clear], (share[clear] > 0).float())


def export(net: TumourNet) -> None:
    example = torch.zeros((2, SIDE_PX, SIDE_PX, 3), dtype=torch.uint8)
    batch = {0: torch.export.Dim("n", min=1)}
    torch.onnx.export(
        net,
        (example,),
        ONNX,
        input_names=["tiles"],
        output_names=["tumour_probability"],
        opset_version=18,
        dynamic_shapes={"tiles": batch},
        external_data=False,
    )
    _without_traces(ONNX)
    program = torch.export.export(net, (example,), dynamic_shapes=(batch,))
    blank = torch.zeros(1, dtype=torch.uint8).expand(example.shape)  # of one byte, on disk too
    program.example_inputs = ((blank,), {})
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    torch.export.save(program, PROGRAM)


def _without_traces(path: Path) -> None:
    """The exporter notes from which line of which file each node comes: this machine's paths."""
    model = onnx.load(path)
    for part in (*model.graph.node, *model.graph.value_info, model.graph, model):
        del part.metadata_props[:]
    onnx.save(model, path)


def fill_card() -> None:
    """The weights' SHA-256, and that of the variant."""
    text = CARD.read_text()
    for path in (ONNX, PROGRAM):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB, sha256 {digest}")
        field = rf'(path = "{re.escape(path.name)}"\nformat = "\w+"\nsha256 = )"\w+"'
        text = re.sub(field, rf'\g<1>"{digest}"', text)
    CARD.write_text(text)


def main() -> None:
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(2)
    began = time.monotonic()
    tiles = collect()
    drawn = time.monotonic()
    print(f"{len(tiles.nest)} tiles; {drawn - began:.0f} s")
    net = train(tiles)
    print(f"trained; {time.monotonic() - drawn:.0f} s")
    export(net)
    fill_card()


if __name__ == "__main__":
    main()
