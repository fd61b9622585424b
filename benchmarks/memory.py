"""Peak memory of `wsi-ai run` on a small and on a large sample slide, and their ratio.

    python benchmarks/memory.py [--task segmentation] [--small 20000] [--large 100000]
                                [--cache FOLDER] [--json]

The demo model runs at 4 µm/px, so that the large slide takes minutes and not hours; what is held
at once does not depend on that.  A segmentation runs at 2 µm/px: what it holds while it infers is a
row of tiles, as wide as the slide; what grows with the area is said in docs/tasks.md.  Slides are
drawn once and kept in the cache folder (1 GB).
"""

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from wsi_ai.bench.processes import cost_of

ROOT = Path(__file__).resolve().parent.parent
TARGETS = {"tile-classification": 1.2, "segmentation": 1.2}
MODELS = {
    "tile-classification": ("demo-tumour", "\nmpp = 0.5\n", "\nmpp = 4.0\n"),
    "segmentation": ("demo-stains", "\nmpp = 1.0\n", "\nmpp = 2.0\n"),
}


def coarse_model(task: str, folder: Path) -> Path:
    """The demo model of the task, told to look at a coarser scale."""
    name, old, new = MODELS[task]
    shutil.copytree(ROOT / "models" / name, folder)
    card = folder / "model.toml"
    card.write_text(card.read_text().replace(old, new))
    return folder


def sample(cache: Path, size_px: int) -> Path:
    path = cache / f"sample-{size_px}.svs"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        words = ["demo-slide", str(path), "--size", str(size_px), "--seed", "8", "--tumour"]
        subprocess.run([sys.executable, "-m", "wsi_ai", *words], check=True)
    return path


def peak_mib(slide: Path, model: Path, out: Path) -> float:
    """Of one run in a process of its own, asked from the system."""
    words = ["run", str(slide), "--model", str(model), "--out", str(out)]
    cost = cost_of([sys.executable, "-m", "wsi_ai", *words])
    if cost.exit_status:
        raise SystemExit(f"wsi-ai run ended with status {cost.exit_status}")
    return cost.peak_mib


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=MODELS, default="tile-classification")
    parser.add_argument("--small", type=int, default=20_000)
    parser.add_argument("--large", type=int, default=100_000)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "wsi_ai_bench")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = coarse_model(asked.task, Path(folder) / "coarse")
        peaks = {
            size: peak_mib(sample(asked.cache, size), model, Path(folder) / "out")
            for size in (asked.small, asked.large)
        }
    ratio = peaks[asked.large] / peaks[asked.small]
    target = TARGETS[asked.task]
    if asked.json:
        row = {"name": f"memory {asked.task}", "ratio": round(ratio, 3), "target": target}
        print(json.dumps({**row, "peak_mib": round(peaks[asked.large])}))
        return
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    for size, peak in peaks.items():
        print(f"{size:>7} px   peak {peak:6.0f} MiB")
    print(f"ratio {ratio:.2f}, target at most {target}")


if __name__ == "__main__":
    main()
