"""A PyTorch network behind one call, the same on the host and on a CUDA device.

uint8 RGB in, float32 out, normalised where the pixels are.
"""

import re
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from wsi_ai.core.cards import Layout, ModelCard, Precision
from wsi_ai.errors import first_line
from wsi_ai.inference.scoring import scale_and_shift

TORCH_ERRORS = (AssertionError, RuntimeError, TypeError, ValueError, torch.jit.Error)
"""The errors that a module raises on tiles that it was not made for; errors of a device are
RuntimeErrors."""
_AUTOCAST = {Precision.FP16: torch.float16, Precision.BF16: torch.bfloat16}


def error_line(error: Exception) -> str:
    """In one line.  TorchScript tells where in its program it failed first, and why in the end."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines and "TorchScript interpreter" in lines[0]:
        causes = [line for line in lines if re.match(r"[A-Za-z.]*Error: ", line)]
        return causes[-1].partition(": ")[2] if causes else lines[-1]
    return first_line(error)


@dataclass(frozen=True, slots=True)
class Prepare:
    """Turns pixels into a network's input, on the device where they are.  Use ``open_prepare``."""

    card: ModelCard
    scale: torch.Tensor
    shift: torch.Tensor

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Planes first is a view of the pixels' order, and so stays channels-last in memory."""
        tiles = resized(pixels, self.card.network_px)
        if self.card.input.dtype != "uint8":
            tiles = torch.addcmul(self.shift, tiles.to(self.shift.dtype), self.scale)
        return tiles.permute(0, 3, 1, 2) if self.card.input.layout is Layout.NCHW else tiles


def open_prepare(card: ModelCard, device: torch.device) -> Prepare:
    scale, shift = (torch.from_numpy(v).to(device) for v in scale_and_shift(card))
    return Prepare(card, scale, shift)


def resized(pixels: torch.Tensor, side: int) -> torch.Tensor:
    """uint8 RGB (tiles, side, side, 3): ``tiles.reading.resize`` on the pixels' device.

    The two differ by one grey level at most, because that one rounds twice."""
    if pixels.shape[1:3] == (side, side):
        return pixels
    planes = pixels.permute(0, 3, 1, 2).float()
    shrunk = torch.nn.functional.interpolate(planes, (side, side), mode="bilinear", antialias=True)
    tiles = shrunk.round_().to(torch.uint8)
    return tiles.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)


@dataclass(frozen=True, slots=True)
class Forward:
    """Use ``open_forward``."""

    card: ModelCard
    module: torch.nn.Module
    precision: Precision
    prepare: Prepare

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 RGB (batch, height, width, 3) to float32 (batch, ...), on the pixels' device."""
        with torch.inference_mode():
            return self.infer(self.prepare(pixels))

    def infer(self, tiles: torch.Tensor) -> torch.Tensor:
        """The same of tiles that are as the network wants them."""
        with torch.inference_mode(), self._autocast(tiles.device.type):
            output: torch.Tensor = self.module(tiles)
            return output.float()

    def _autocast(self, kind: str) -> AbstractContextManager[Any]:
        if self.precision is Precision.FP32:
            return nullcontext()
        cast: AbstractContextManager[Any] = torch.autocast(
            kind, _AUTOCAST[self.precision], cache_enabled=False
        )
        return cast


def open_forward(
    module: torch.nn.Module, card: ModelCard, precision: Precision, device: torch.device
) -> Forward:
    """The network on a device, in channels-last memory."""
    placed = module.to(device).to(memory_format=torch.channels_last)
    return Forward(card, placed, precision, open_prepare(card, device))
