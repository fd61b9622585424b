"""Does a model of the WSInfer zoo score here as it does in WSInfer 0.6.1?

    python benchmarks/wsinfer_parity.py SLIDE --wsinfer PYTHON

PYTHON is that of an environment of its own, made by

    python3.11 -m venv ENV && ENV/bin/pip install wsinfer==0.6.1 'zarr<3' openslide-bin

Needs torch and torchvision here, to make the networks: ResNets of seeded, not of trained, weights,
whose last layer is set so that their scores spread.  WSInfer's own tissue finder chooses its
patches, ours ours; compared are the patches that both have.  Exit status 1 where a score differs
by more than 1e-4, or where a patch of WSInfer's is not on our grid.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import openslide
import torch
import torchvision

MOST = 1e-4
CASES = {
    "softmax": {"num_classes": 2, "patch_size_pixels": 350, "spacing_um_px": 0.5, "size": 224},
    "sigmoid": {"num_classes": 1, "patch_size_pixels": 100, "spacing_um_px": 0.88, "size": 96},
    "enlarging": {"num_classes": 3, "patch_size_pixels": 64, "spacing_um_px": 0.5, "size": 128},
}
NORMAL = {"mean": [0.7238, 0.5716, 0.6779], "std": [0.112, 0.1459, 0.1089]}
WSINFER = """
import json, sys
from pathlib import Path
from wsinfer.modellib.models import LocalModelTorchScript
from wsinfer.modellib.run_inference import run_inference
from wsinfer.patchlib import segment_and_patch_directory_of_slides
from wsinfer_zoo.client import ModelConfiguration
model, slides, out = sys.argv[1:]
config = ModelConfiguration.from_dict(json.loads(Path(model, "config.json").read_text()))
segment_and_patch_directory_of_slides(
    slides, out, config.patch_size_pixels, config.spacing_um_px)
failed = run_inference(
    slides, out, LocalModelTorchScript(config, str(Path(model, "torchscript_model.pt"))))
sys.exit(1 if any(failed) else 0)
"""
Rows = dict[tuple[int, ...], list[float]]
"""Scores by minx, miny, width, height."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("slide", type=Path)
    parser.add_argument("--wsinfer", required=True, help="the Python that has wsinfer==0.6.1")
    asked = parser.parse_args()
    worst, strangers = 0.0, 0
    print("| model | patches: WSInfer, wsi_ai, both | not on our grid | scores from, to | largest"
          " difference |\n|---|---|---|---|---|")  # fmt: skip
    for name, config in CASES.items():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            make_zoo_model(folder / name, config, asked.slide)
            theirs = of_wsinfer(folder, folder / name, asked.slide.absolute(), asked.wsinfer)
            ours = of_wsi_ai(folder, folder / name, asked.slide.absolute())
        both = sorted(theirs.keys() & ours.keys())
        apart = np.abs(np.array([theirs[k] for k in both]) - np.array([ours[k] for k in both]))
        seen = [theirs[k] for k in both]
        off = sum(not on_grid(patch, ours) for patch in theirs)
        worst, strangers = max(worst, float(apart.max())), strangers + off
        print(f"| {name} | {len(theirs)}, {len(ours)}, {len(both)} | {off} |"
              f" {np.min(seen):.3f}, {np.max(seen):.3f} | {apart.max():.1e} |")  # fmt: skip
    return int(worst > MOST or strangers > 0)


def make_zoo_model(folder: Path, asked: dict[str, float], slide: Path) -> None:
    folder.mkdir()
    torch.manual_seed(0)
    network = torchvision.models.resnet18(num_classes=int(asked["num_classes"])).eval()
    side = int(asked["size"])
    spread_out(network, some_tiles(slide, side))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(network, torch.zeros(1, 3, side, side)).save(
            folder / "torchscript_model.pt"
        )
    config = {
        **{k: v for k, v in asked.items() if k != "size"},
        "spec_version": "1.0",
        "architecture": "resnet18",
        "class_names": [f"class{n}" for n in range(int(asked["num_classes"]))],
        "transform": [
            {"name": "Resize", "arguments": {"size": side}},
            {"name": "ToTensor"},
            {"name": "Normalize", "arguments": NORMAL},
        ],
    }
    (folder / "config.json").write_text(json.dumps(config))


def spread_out(network: torch.nn.Module, tiles: torch.Tensor) -> None:
    """Logits of the slide's tiles around nought, so that no score saturates and hides a
    difference."""
    with torch.inference_mode():
        logits = network(tiles)
    network.fc.weight.data /= logits.std(0)[:, None]
    network.fc.bias.data = (network.fc.bias.data - logits.mean(0)) / logits.std(0)


def some_tiles(slide: Path, side: int) -> torch.Tensor:
    """Forty places all over the slide, normalised."""
    normalise = torchvision.transforms.Normalize(NORMAL["mean"], NORMAL["std"])
    with openslide.OpenSlide(slide) as opened:
        width, height = opened.dimensions
        places = [(width * i // 6, height * j // 9) for i in range(1, 6) for j in range(1, 9)]
        regions = [opened.read_region(place, 0, (side, side)) for place in places]
    pixels = np.stack([np.asarray(region.convert("RGB")) for region in regions])
    return normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255)


def of_wsinfer(folder: Path, model: Path, slide: Path, python: str) -> Rows:
    (folder / "slides").mkdir()
    (folder / "slides" / slide.name).symlink_to(slide)
    words = [python, "-c", WSINFER, str(model), str(folder / "slides"), str(folder / "theirs")]
    (folder / "theirs").mkdir()
    run(["env", f"HOME={folder}", "WSINFER_FORCE_CPU=1", *words])
    return rows(folder / "theirs" / "model-outputs-csv" / f"{slide.stem}.csv")


def of_wsi_ai(folder: Path, model: Path, slide: Path) -> Rows:
    fields = ["operating_point.chosen_for", "operating_point.calibrated_on", "scope.stain"]
    fields += ["scope.organ", "card.intended_use", "card.licence", "card.training_data"]
    fields += ["card.evidence", "card.limitations"]
    wsi_ai = [sys.executable, "-m", "wsi_ai"]
    said = [word for field in fields for word in ("--set", f"{field}=parity")]
    said += ["--set", "input.mpp_tolerance=1"]  # WSInfer enlarges what is too coarse without a word
    made = [*wsi_ai, "models", "import-wsinfer", str(model), "--out", str(folder / "ours")]
    run([*made, "--positive", "class0", "--threshold", "0.5", *said])
    out = folder / "results"
    words = ["run", str(slide), "--model", str(folder / "ours"), "--out", str(out)]
    run([*wsi_ai, *words, "--format", "wsinfer", "--device", "cpu"])
    (table,) = out.glob("*/*/wsinfer.csv")
    return rows(table)


def run(words: list[str]) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words[:4])} failed:\n{done.stdout}\n{done.stderr}")


def rows(path: Path) -> Rows:
    with path.open() as file:
        _, *lines = csv.reader(file)
    return {tuple(map(int, line[:4])): [float(score) for score in line[4:]] for line in lines}


def on_grid(patch: tuple[int, ...], ours: Rows) -> bool:
    x, y, width, height = patch
    return (width, height) == next(iter(ours))[2:] and x % width == y % height == 0


if __name__ == "__main__":
    sys.exit(main())
