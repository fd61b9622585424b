"""`wsi-ai run` as a whole: many small slides in one command, and one slide beside the peers.

    python benchmarks/run.py [--only many|peers] [--rounds 3] [--json]

ResNet-18 with random weights at 224 px and 0.5 µm/px, on the host.  Slides are drawn once and kept
in the cache folder.  Peers are installed by benchmarks/install_peers.sh; where they are not, their
rows are null.  With --rounds 1 and the default sizes: about 15 minutes on two quiet cores, most of
it for drawing and the peers.
"""

import argparse
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import networks
import run_many
import run_peers
from run_many import Row


def coarser(model: Path, folder: Path) -> Path:
    """The same network, told to look at 4 µm/px."""
    shutil.copytree(model, folder)
    card = folder / "model.toml"
    card.write_text(card.read_text().replace("\nmpp = 0.5\n", "\nmpp = 4.0\n"))
    return folder


def rows(asked: argparse.Namespace, scratch: Path) -> Iterator[Row]:
    network = networks.make_network("resnet18", scratch / "network")
    if asked.only != "peers":
        slides = [run_many.sample(asked.cache, asked.small, seed) for seed in range(1, 9)]
        large = run_many.sample(asked.cache, asked.large, 8)
        models = network.onnx, coarser(network.onnx, scratch / "coarse")
        yield from run_many.many_rows(slides, large, models, scratch, asked.device)
    if asked.only != "many":
        slide = asked.slide or run_many.sample(asked.cache, asked.one, 9)
        calibration = run_many.sample(asked.cache, asked.small, 1)
        in_int8 = run_peers.quantised(network.onnx, calibration, scratch / "int8")
        work = scratch / "peers"
        work.mkdir()
        job = run_peers.make_job(slide, network, in_int8, work)
        yield from run_peers.peer_rows(job, asked.peers, work, asked.rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("many", "peers"))
    parser.add_argument("--small", type=int, default=8192, help="pixels, of the eight slides")
    parser.add_argument("--large", type=int, default=40_000, help="pixels, for peak memory")
    parser.add_argument("--one", type=int, default=12_288, help="pixels, of the slide for peers")
    parser.add_argument("--slide", type=Path, help="this slide for peers instead")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--peers", type=Path, default=Path("../peers"))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "wsi_ai_bench")
    parser.add_argument("--json", action="store_true", help="print one JSON line per row")
    asked = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        for row in rows(asked, Path(folder)):
            if asked.json:
                print(row.as_json(), flush=True)
            else:
                ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
                print(f"{row.name:<44} {ratio:>6} (target {row.target})  {row.told}", flush=True)


if __name__ == "__main__":
    main()
