"""Runs inside LazySlide's own environment: ``run_lazyslide.py JOB.json``.

Tiles are those that are given, as its own tiling would have added them; the network is run as a
user's own model is, by ``feature_extraction`` of a module, and its scores are kept in the
store.  Workers and batch are what is fastest here: two processes read, 32 tiles go at once.
"""

import json
import sys
from pathlib import Path

import lazyslide as zs
import numpy as np
import torch
from wsidata import TileSpec, open_wsi
from wsidata.io import add_tiles


def prepared(mean: list[float], std: list[float]):
    """A tile as the network takes it."""
    shift, scale = (torch.tensor(values)[:, None, None] for values in (mean, std))

    def prepare(tile: np.ndarray) -> torch.Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(tile)).permute(2, 0, 1)
        return (pixels.float() / 255 - shift) / scale

    return prepare


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    store = Path(job["out"]) / "lazyslide.zarr"
    wsi = open_wsi(job["slide"], store=str(store))
    corners = np.load(job["corners"])
    spec = TileSpec.from_wsidata(wsi, tile_px=224, mpp=job["mpp"])
    add_tiles(wsi, "tiles", corners, spec, np.zeros(len(corners), int))
    zs.tl.feature_extraction(
        wsi,
        model=torch.jit.load(job["torchscript"]),  # 0.13.0 itself cannot load one
        model_name="scores",
        transform=prepared(job["mean"], job["std"]),
        batch_size=32,
        num_workers=2,
        device="cpu",
        amp=False,
    )
    wsi.write(str(store))
    found = wsi.fetch.features_anndata("scores").X
    Path(job["out"], "lazyslide.json").write_text(json.dumps({"tiles": len(found)}))


if __name__ == "__main__":
    main()
