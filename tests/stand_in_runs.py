"""Runs on stand-in devices: what a worker process needs lies here, where it can import it."""

import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import tifffile

from wsi_ai.app import NoWatcher
from wsi_ai.core.cards import ModelCard, Precision, RuntimeRequest
from wsi_ai.core.values import Predictions, TileBatch
from wsi_ai.errors import DeviceError, NoDevice, OutOfDeviceMemory
from wsi_ai.run.assembly import Assembly, OpenRuntime
from wsi_ai.run.flags_for import flags_for
from wsi_ai.run.no_ops import NoPost
from wsi_ai.run.options import RunOptions
from wsi_ai.run.outcome import Outcome
from wsi_ai.run.stages import through_stages
from wsi_ai.slides.identity import Cases
from wsi_ai.testing import MEAN_CARD, MeanRuntime
from wsi_ai.tissue.quality import QualityLimits
from wsi_ai.triage.policy import Policy

SLOW_S = 0.15
POLICY = Policy(quality=QualityLimits(focus_min=0, pen_max=1, cast_max=1))


def write_slide(path: Path, side: int = 512, seed: int = 0, *, glass: bool = False) -> Path:
    """A tiled TIFF, pink all over or of glass, 0.5 µm/px."""
    noise = np.random.default_rng(seed).integers(0, 40, (side, side, 3), np.uint8)
    pixels = np.array([200, 80, 140], np.uint8) + noise
    if glass:
        pixels = np.full_like(pixels, 244)
    tifffile.imwrite(
        path, pixels, tile=(64, 64), photometric="rgb", compression="deflate",
        resolution=(20_000, 20_000), resolutionunit="CENTIMETER",
    )  # fmt: skip
    return path


class Failed(MeanRuntime):
    """A mean of red that fails in its own way."""

    def __init__(self, card: ModelCard, request: RuntimeRequest, scratch: Path) -> None:
        self.card, self.request, self.scratch = card, request, scratch
        self.batch_size = request.batch_size or 16
        self.description = f"mean of red/{request.device.partition(':')[0]}"

    def predict(self, batches: Iterable[TileBatch]) -> Iterator[Predictions]:
        for turn, batch in enumerate(batches):
            self.before(turn, batch)
            with (self.scratch / f"{batch.slide_id}.ran").open("a") as file:
                file.write(f"{self.request.device} {os.getpid()} {len(batch.index)}\n")
            yield from super().predict([batch])

    def before(self, turn: int, batch: TileBatch) -> None:
        """Nothing happens."""


class Vectors(Failed):
    """An encoder that fails in its own way: the mean of each colour."""

    def predict(self, batches: Iterable[TileBatch]) -> Iterator[Predictions]:
        for turn, batch in enumerate(batches):
            self.before(turn, batch)
            with (self.scratch / f"{batch.slide_id}.ran").open("a") as file:
                file.write(f"{self.request.device} {os.getpid()} {len(batch.index)}\n")
            means = np.asarray(batch.pixels).mean(axis=(1, 2), dtype=np.float64) / 255
            yield Predictions(batch.slide_id, batch.index, means.astype(np.float32))


def open_vectors(
    kind: type[Vectors], scratch: Path, card: ModelCard, request: RuntimeRequest
) -> Vectors:
    return kind(card, request, scratch)


class Slow(Failed):
    """A device that takes its time for every batch."""

    def before(self, turn: int, batch: TileBatch) -> None:
        time.sleep(SLOW_S)


class Together(Failed):
    """Waits until ``one`` and ``two`` both have a slide, so that neither can do all of them."""

    def before(self, turn: int, batch: TileBatch) -> None:
        (self.scratch / f"{self.request.device}.here").touch()
        deadline = time.monotonic() + 120
        while len(list(self.scratch.glob("*.here"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)


class EndsOnce(Failed):
    """Its process is killed in the middle of the slide ``once``, the first time."""

    def before(self, turn: int, batch: TileBatch) -> None:
        mark = self.scratch / "killed"
        if batch.slide_id == "once" and turn == 1 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


class EndsAlways(Failed):
    """Its process is killed in the middle of the slide ``always``."""

    def before(self, turn: int, batch: TileBatch) -> None:
        if batch.slide_id == "always" and turn == 1:
            os.kill(os.getpid(), signal.SIGKILL)


class EndsAfter(Failed):
    """Its process is killed as soon as the results of the slide ``once`` are there."""

    def before(self, turn: int, batch: TileBatch) -> None:
        mark = self.scratch / "killed"
        if batch.slide_id == "once" and not mark.exists():
            mark.touch()
            threading.Thread(target=self._end, daemon=True).start()

    def _end(self) -> None:
        while not list(self.scratch.glob("once-*/mean-1/flag.json")):
            time.sleep(0.0005)
        os.kill(os.getpid(), signal.SIGKILL)


class FreezesOnce(Failed):
    """Its process is stopped, and not ended, in the middle of the slide ``once``."""

    def before(self, turn: int, batch: TileBatch) -> None:
        mark = self.scratch / "killed"
        if batch.slide_id == "once" and turn == 1 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(0.5)  # this thread may still run for a moment


class EndsAnother(Failed):
    """In the middle of the slide ``once`` the process whose number is in ``victim`` is killed."""

    def before(self, turn: int, batch: TileBatch) -> None:
        victim = self.scratch / "victim"
        if batch.slide_id == "once" and turn == 1 and victim.exists():
            number = int(victim.read_text())
            victim.rename(self.scratch / "killed")
            os.kill(number, signal.SIGKILL)
            time.sleep(0.5)


class OneIsLost(Failed):
    """The device ``one`` opens once, and is lost with its first slide's second batch."""

    def __init__(self, card: ModelCard, request: RuntimeRequest, scratch: Path) -> None:
        super().__init__(card, request, scratch)
        mark = self.scratch / "opened"
        if self.request.device == "one" and mark.exists():
            raise NoDevice("no device called one")
        if self.request.device == "one":
            mark.touch()

    def before(self, turn: int, batch: TileBatch) -> None:
        if self.request.device == "one" and turn == 1:
            raise DeviceError("inference failed: the device fell off the bus")


class Small(Failed):
    """A device whose memory holds four tiles, as it turns out with the second batch."""

    def before(self, turn: int, batch: TileBatch) -> None:
        if self.batch_size > 4 and turn == 1:
            raise OutOfDeviceMemory("inference: out of memory on the device")


class Tiny(Failed):
    """A device whose memory does not even hold one tile of the slide ``big``."""

    def before(self, turn: int, batch: TileBatch) -> None:
        if batch.slide_id == "big":
            raise OutOfDeviceMemory("inference: out of memory on the device")


class LostButHost(Failed):
    """Lost in the middle of the slide ``bad``, wherever it is but on the host."""

    def before(self, turn: int, batch: TileBatch) -> None:
        if self.request.device != "cpu" and batch.slide_id == "bad" and turn == 1:
            raise DeviceError("inference failed: the device fell off the bus")


def open_trouble(
    kind: type[Failed], scratch: Path, card: ModelCard, request: RuntimeRequest
) -> Failed:
    return kind(card, request, scratch)


def assembly(out: Path, kind: type[Failed] = Failed, device: str = "cpu") -> Assembly[Outcome]:
    """Of a card without weights; ``out`` also takes notes of what ran where."""
    out.mkdir(parents=True, exist_ok=True)
    opened: OpenRuntime = partial(open_trouble, kind, out)
    card = replace(MEAN_CARD, weights=out / "none.onnx")
    options = RunOptions(device=device, precision=Precision.FP32)
    return Assembly(flags_for(POLICY, Cases(), out), POLICY, options, (card,), opened)


def run_here(
    out: Path, kind: type[Failed], slides: list[Path], device: str = "cpu"
) -> list[Outcome]:
    """On one device, in this process."""
    work, refused = assembly(out, kind, device).work(NoWatcher(), NoPost())
    assert not refused
    stages = work.prepare, work.infer, work.publish
    line = through_stages([work.begin(slide) for slide in slides], stages, work.stop)
    return [outcome for task in line for outcome in task.outcomes]


def ran(out: Path, slide: str) -> list[tuple[str, str, int]]:
    """Device, process and tiles of each batch of the slide, as they went."""
    lines = (out / f"{slide}.ran").read_text().splitlines()
    return [(d, p, int(n)) for d, p, n in (line.split() for line in lines)]
