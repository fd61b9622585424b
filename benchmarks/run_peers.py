"""End to end on one slide, the same tiles and weights, start-up included: ours and the peers.

slide2vec is installed beside them and not run: it finds tissue, tiles and embeds by itself, and it
was not made to take given tiles here.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networks
import numpy as np
import run_many
import torch
from PIL import Image
from run_many import Done, Row

HERE = Path(__file__).resolve().parent
OURS, OURS_INT8 = "ours", "ours in int8"
TARGETS = {
    ("wsinfer", OURS): 1.9,
    ("wsinfer --speedup", OURS): 1.35,
    ("tiatoolbox", OURS): 2.2,
    ("lazyslide", OURS): None,
    ("wsinfer", OURS_INT8): 3.3,
}
"""Of the first's time over the second's; ``None`` where nothing was aimed at."""
_MASK_PX = 4
"""Of the mask, along a tile."""


@dataclass(frozen=True)
class Job:
    """What every program is given."""

    slide: Path
    model: Path
    """Ours."""
    in_int8: Path | None
    """Ours, too; ``None`` where there are no such weights."""
    said: Mapping[str, Any]
    """Theirs: see ``peer_runs``."""
    tiles: int


def make_job(slide: Path, network: networks.Network, in_int8: Path | None, scratch: Path) -> Job:
    """Our plan as WSInfer's corners and as TIAToolbox's mask; the weights as TorchScript and as a
    state dict.  The slide lies alone in its folder, as WSInfer wants it."""
    from wsi_ai.models.manifest import load_card
    from wsi_ai.slides.registry import open_slide

    card = load_card(network.onnx)
    alone = scratch / "slide" / slide.name
    alone.parent.mkdir()
    os.link(slide, alone) if _same_disk(slide, scratch) else shutil.copy(slide, alone)
    with open_slide(alone) as opened:
        plan = run_many.plan_of(opened, card)
        info = opened.info
    x, y = plan.corners(0, len(plan))
    np.save(scratch / "corners.npy", np.stack([x, y], axis=1))
    Image.fromarray(_mask(plan, info)).save(scratch / "mask.png")
    torch.jit.script(network.module).save(str(scratch / "torchscript.pt"))
    torch.save(network.module.state_dict(), scratch / "state.pt")
    said = {
        "slide": str(alone),
        "corners": str(scratch / "corners.npy"),
        "mask": str(scratch / "mask.png"),
        "torchscript": str(scratch / "torchscript.pt"),
        "state": str(scratch / "state.pt"),
        "mpp": card.tile.mpp,
        "patch_px": round(card.tile.size_px * card.tile.mpp / info.spacing.x_um),
        "mean": networks.MEAN,
        "std": networks.STD,
        "backend": "tiffslide",
    }
    return Job(alone, network.onnx, in_int8, said, len(plan))


def _same_disk(a: Path, b: Path) -> bool:
    return a.stat().st_dev == b.stat().st_dev


def _mask(plan: Any, info: Any) -> np.ndarray:
    """As the slide is shaped, with a spot in the middle of every planned tile."""
    step = plan.step.x / _MASK_PX
    mask = np.zeros((round(info.size.height / step), round(info.size.width / step)), np.uint8)
    for row, col in plan.cells:
        y, x = int((row + 0.5) * _MASK_PX), int((col + 0.5) * _MASK_PX)
        mask[min(y, len(mask) - 1), min(x, mask.shape[1] - 1)] = 255
    return mask


Program = Callable[[], tuple[Done, int]]
"""Runs once in a new folder, and gives how many tiles it scored."""


def quantised(model: Path, slide: Path, folder: Path) -> Path | None:
    """A copy of the model with int8 weights, calibrated on the slide; ``None`` where they were
    refused."""
    shutil.copytree(model, folder)
    for words in (
        ["golden", str(folder), str(slide)],
        ["optimize", str(folder), "--precision", "int8", "--calibrate", str(slide)],
    ):
        done = subprocess.run([sys.executable, "-m", "wsi_ai", "models", *words], stdout=sys.stderr)
        if done.returncode:
            return None
    return folder


def programs(job: Job, peers: Path, scratch: Path) -> dict[str, Program]:
    found: dict[str, Program] = {OURS: lambda: _ours(job, job.model, scratch, "fp32")}
    if (model := job.in_int8) is not None:
        found[OURS_INT8] = lambda: _ours(job, model, scratch, "int8")
    wsinfer, tiatoolbox, lazyslide = (
        peers / name / "bin" / "python" for name in ("wsinfer", "tiatoolbox", "lazyslide")
    )
    if wsinfer.exists():
        found["wsinfer"] = lambda: _wsinfer(job, wsinfer, scratch, "plain")
        found["wsinfer --speedup"] = lambda: _wsinfer(job, wsinfer, scratch, "speedup")
    if tiatoolbox.exists():
        found["tiatoolbox"] = lambda: _tiatoolbox(job, tiatoolbox, scratch)
    if lazyslide.exists():
        found["lazyslide"] = lambda: _lazyslide(job, lazyslide, scratch)
    return found


def _ours(job: Job, model: Path, scratch: Path, precision: str) -> tuple[Done, int]:
    out = _new(scratch / "ours")
    done = run_many.run_slides([job.slide], model, out, "auto", precision)
    (path,) = out.glob("*/*/run.json")
    return done, json.loads(path.read_text())["tiles"]["inferred"]


def _wsinfer(job: Job, python: Path, scratch: Path, how: str) -> tuple[Done, int]:
    out = _new(scratch / "wsinfer")
    words = [str(python), str(HERE / "peer_runs" / "run_wsinfer.py"), _told(job, out)]
    subprocess.run([*words, "prepare"], check=True, env=_home(python))
    done = run_many.timed([*words, how], env=_home(python))
    (table,) = (out / "model-outputs-csv").glob("*.csv")
    return done, len(table.read_text().splitlines()) - 1


def _tiatoolbox(job: Job, python: Path, scratch: Path) -> tuple[Done, int]:
    import zarr

    out = _new(scratch / "tiatoolbox")
    words = [str(python), str(HERE / "peer_runs" / "run_tiatoolbox.py"), _told(job, out)]
    done = run_many.timed(words, env=_home(python))
    (found,) = (out / "tiatoolbox").glob("*.zarr")
    return done, int(zarr.open_group(found, mode="r")["predictions"].shape[0])


def first_batch(job: Job, name: str, python: Path, scratch: Path) -> tuple[Path, float]:
    """A peer up to its first batch: where it wrote its stamps, and when it was begun."""
    out, stamps = _new(scratch / name), scratch / "stamps.json"
    own, words = str(HERE / "peer_runs" / f"run_{name}.py"), [_told(job, out)]
    if name == "wsinfer":
        subprocess.run([str(python), own, *words, "prepare"], check=True, env=_home(python))
        words.append("plain")
    script = [str(python), str(HERE / "peer_runs" / "first_batch.py"), str(stamps), own]
    begun = time.time()
    subprocess.run([*script, *words], check=True, env=_home(python), stdout=sys.stderr)
    return stamps, begun


def _lazyslide(job: Job, python: Path, scratch: Path) -> tuple[Done, int]:
    out = _new(scratch / "lazyslide")
    words = [str(python), str(HERE / "peer_runs" / "run_lazyslide.py"), _told(job, out)]
    done = run_many.timed(words, env=_home(python))
    return done, int(json.loads((out / "lazyslide.json").read_text())["tiles"])


def _home(python: Path) -> dict[str, str]:
    """A home of the peers' own, which keeps their caches; and no network."""
    home = python.parents[2] / "home"
    home.mkdir(exist_ok=True)
    return {**os.environ, "HOME": str(home), "HF_HUB_OFFLINE": "1"}


def warm_up(found: Mapping[str, Program]) -> None:
    """Once unmeasured, so that no one's first import or empty cache is timed."""
    for name in found:
        if name != "wsinfer --speedup":
            found[name]()


def _new(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _told(job: Job, out: Path) -> str:
    path = out.parent / "job.json"
    path.write_text(json.dumps({**job.said, "out": str(out)}))
    return str(path)


def peer_rows(job: Job, peers: Path, scratch: Path, rounds: int) -> Iterator[Row]:
    """Each a median over rounds of the ratio within the round."""
    found = programs(job, peers, scratch)
    warm_up(found)
    walls: dict[str, list[float]] = {name: [] for name in found}
    peaks: dict[str, float] = {}
    for turn in range(rounds):
        for name in found if turn % 2 else reversed(found):
            done, tiles = found[name]()
            if tiles != job.tiles:
                raise SystemExit(f"{name} scored {tiles} tiles, not the {job.tiles} of the plan")
            walls[name].append(done.wall_s)
            peaks[name] = max(done.peak_mib, peaks.get(name, 0.0))
            print(f"{name}: {done.wall_s:.1f} s, {done.peak_mib:.0f} MiB", file=sys.stderr)
    for (theirs, ours), target in TARGETS.items():
        label = f"end to end: {theirs} / {ours}"
        if theirs not in walls:
            yield Row(label, None, target, "higher", "not installed: benchmarks/install_peers.sh")
            continue
        if ours not in walls:
            yield Row(label, None, target, "higher", "its weights were refused")
            continue
        ratios = [them / us for them, us in zip(walls[theirs], walls[ours], strict=True)]
        told = (
            f"{statistics.median(walls[theirs]):.1f} and {statistics.median(walls[ours]):.1f} s,"
            f" {peaks[theirs]:.0f} and {peaks[ours]:.0f} MiB, {job.tiles} tiles"
        )
        yield Row(label, statistics.median(ratios), target, "higher", told)
