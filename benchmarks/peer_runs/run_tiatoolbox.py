"""Runs inside TIAToolbox's own environment: ``run_tiatoolbox.py JOB.json``.

A mask with a spot in the middle of each tile makes it take exactly these.  Everything else is as
it comes, but for the batch, which is everyone's.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import torchvision
from tiatoolbox.models.architecture.vanilla import CNNModel
from tiatoolbox.models.engine.io_config import IOPatchPredictorConfig
from tiatoolbox.models.engine.patch_predictor import PatchPredictor


def model(job: dict) -> CNNModel:
    """TIAToolbox's ResNet-18 with the same weights as everyone's."""
    network = torchvision.models.resnet18(weights=None, num_classes=2)
    network.load_state_dict(torch.load(job["state"], weights_only=True))
    made = CNNModel("resnet18", num_classes=2)
    made.feat_extract = torch.nn.Sequential(*list(network.children())[:-2])
    made.classifier = network.fc
    mean, std = (np.asarray(job[name], np.float32) for name in ("mean", "std"))
    made.preproc_func = lambda image: (image / np.float32(255) - mean) / std
    return made.eval()


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    resolution = [{"units": "mpp", "resolution": job["mpp"]}]
    config = IOPatchPredictorConfig(
        input_resolutions=resolution,
        output_resolutions=resolution,
        patch_input_shape=(224, 224),
        stride_shape=(224, 224),
    )
    predictor = PatchPredictor(model(job), batch_size=32, num_workers=0, device="cpu")
    done = predictor.run(
        [Path(job["slide"])],
        masks=[Path(job["mask"])],
        ioconfig=config,
        patch_mode=False,
        save_dir=Path(job["out"]) / "tiatoolbox",
        output_type="zarr",
        return_probabilities=True,
    )
    print(done)


if __name__ == "__main__":
    main()
