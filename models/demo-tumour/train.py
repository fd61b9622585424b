"""Train the demo's tumour classifier on synthetic slides only.

    python models/demo-tumour/train.py && python models/demo-tumour/measure.py

Repeatable by steps and seeds, not by the clock.  Writes the ONNX file and the same weights
for torch; `measure.py` then chooses the threshold and fills in the card.
"""

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
import torch.nn.functional as F
from augment import Augment
from network import TumourNet
from tiles import SIDE_PX, Tiles, join, training_tiles

from wsi_ai.demo import SampleSpec

HERE = Path(__file__).parent
NAME = "demo-tumour"
STEPS, BATCH, PEAK_RATE, SMOOTHING = 520, 32, 3e-3, 0.03
TUMOUR_SLIDES = [SampleSpec(seed=s, tumour=True) for s in range(100, 108)]
FREE_SLIDES = [SampleSpec(seed=s, pen=s % 2 == 0, blur=s % 3 == 0) for s in range(200, 205)]


def collect(specs: list[SampleSpec], per_kind: int) -> Tiles:
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        return join(list(pool.map(training_tiles, specs, [per_kind] * len(specs))))


def train(tiles: Tiles) -> TumourNet:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    net, augment = TumourNet(), Augment(generator)
    optimiser = torch.optim.AdamW(net.parameters(), lr=PEAK_RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, STEPS, pct_start=0.1)
    rgb, tumour = torch.from_numpy(tiles.rgb), torch.from_numpy(tiles.tumour)
    kinds = [torch.nonzero(tumour == k)[:, 0] for k in (0, 1)]
    for step in range(STEPS):
        half = [k[torch.randint(len(k), (BATCH // 2,), generator=generator)] for k in kinds]
        index = torch.cat(half)
        wanted = SMOOTHING + (1 - 2 * SMOOTHING) * tumour[index].float()[:, None]
        loss = F.binary_cross_entropy_with_logits(net.logits(augment(rgb[index])), wanted)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if step % 40 == 39:
            print(f"step {step + 1} of {STEPS}: loss {loss.item():.3f}", flush=True)
    return net.eval()


def export(net: TumourNet, path: Path) -> None:
    example = torch.zeros((2, SIDE_PX, SIDE_PX, 3), dtype=torch.uint8)
    torch.onnx.export(
        net,
        (example,),
        path,
        input_names=["tiles"],
        output_names=["tumour_probability"],
        opset_version=18,
        dynamic_shapes={"tiles": {0: torch.export.Dim("n", min=1)}},
        external_data=False,
    )


def main() -> None:
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(2)
    began = time.monotonic()
    tiles = collect(TUMOUR_SLIDES + FREE_SLIDES, 450)
    drawn = time.monotonic()
    print(f"{len(tiles.tumour)} tiles, {tiles.tumour.sum()} tumour; {drawn - began:.0f} s")
    net = train(tiles)
    print(f"trained; {time.monotonic() - drawn:.0f} s")
    torch.save(net.state_dict(), HERE / f"{NAME}.pt")
    export(net, HERE / f"{NAME}.onnx")


if __name__ == "__main__":
    main()
