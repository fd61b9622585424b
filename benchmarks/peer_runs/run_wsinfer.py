"""Runs inside WSInfer's own environment: ``run_wsinfer.py JOB.json prepare|plain|speedup``.

``prepare`` writes the tiles as the file that WSInfer's own segmentation would have written, which
it then takes as they are.  Its list of models would come from the network when it is imported; the
one here is empty.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace


def prepare(job: dict) -> None:
    import h5py
    import numpy as np
    from PIL import Image

    out, stem = Path(job["out"]), Path(job["slide"]).stem
    for folder in ("patches", "masks"):
        (out / folder).mkdir(parents=True)
    with h5py.File(out / "patches" / f"{stem}.h5", "w") as file:
        coords = np.load(job["corners"])
        tiles = file.create_dataset("/coords", data=coords, compression="gzip")
        tiles.attrs["patch_size"] = job["patch_px"]
        tiles.attrs["patch_level"] = 0
        tiles.attrs["patch_spacing_um_px"] = job["mpp"]
    Image.new("RGB", (8, 8)).save(out / "masks" / f"{stem}.jpg")
    config = {
        "spec_version": "1.0",
        "architecture": "resnet18",
        "num_classes": 2,
        "patch_size_pixels": 224,
        "spacing_um_px": job["mpp"],
        "class_names": ["tumour", "other"],
        "transform": [
            {"name": "Resize", "arguments": {"size": 224}},
            {"name": "ToTensor"},
            {"name": "Normalize", "arguments": {"mean": job["mean"], "std": job["std"]}},
        ],
    }
    (out / "config.json").write_text(json.dumps(config))


def run(job: dict, *more: str) -> None:
    import wsinfer_zoo.client

    wsinfer_zoo.client.load_registry = lambda: SimpleNamespace(models={})
    from wsinfer.cli.cli import cli

    out = Path(job["out"])
    words = ["--backend", job["backend"], "run", "--wsi-dir", str(Path(job["slide"]).parent)]
    words += ["--results-dir", str(out), "--config", str(out / "config.json")]
    cli([*words, "--model-path", job["torchscript"], *more])


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text())
    if sys.argv[2] == "prepare":
        prepare(asked)
    else:
        run(asked, *(["--speedup"] if sys.argv[2] == "speedup" else []))
