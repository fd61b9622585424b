"""What may differ between a drawn tile and a scanned one: place, stain, optics, light."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from wsi_ai.demo.stain import EOSIN, HAEMATOXYLIN

SIDE_PX = 160  # the network takes any size: less to compute than the 224 px of its use
_STAINS = torch.tensor([HAEMATOXYLIN, EOSIN, (0.27, 0.57, 0.78)])  # the third takes what is left
STAINS = _STAINS / _STAINS.norm(dim=1, keepdim=True)


class Augment:
    """uint8 [n, 256, 256, 3] and its nests, bool [n, 64, 64], to float [n, 3, 160, 160] and
    [n, 1, 160, 160] in 0..1, a little different every time."""

    def __init__(self, generator: torch.Generator, strength: float) -> None:
        """`strength`: 1 for what another laboratory and scanner may bring, 0 for nothing."""
        self._generator, self._strength = generator, strength

    def __call__(self, tiles: Tensor, nests: Tensor) -> tuple[Tensor, Tensor]:
        where = F.interpolate(nests[:, None].float(), tiles.shape[1:3], mode="nearest")
        both = self._place(torch.cat([tiles.permute(0, 3, 1, 2).float() / 255, where], 1))
        img, where = self._restain(both[:, :3]), both[:, 3:]
        for _ in range(2):
            self._focus(img)
        return self._expose(img), where

    def _uniform(self, lo: float, hi: float, *shape: int) -> Tensor:
        return lo + (hi - lo) * torch.rand(shape, generator=self._generator)

    def _about(self, centre: float, reach: float, *shape: int) -> Tensor:
        """The reach is that of full strength."""
        reach = reach * self._strength
        return self._uniform(centre - reach, centre + reach, *shape)

    def _place(self, img: Tensor) -> Tensor:
        """Turn, flip, scale and stretch: cells of other people, organs and scanners."""
        n, zoom = len(img), SIDE_PX / img.shape[-1]
        turn, scale = self._uniform(0, 2 * math.pi, n), torch.exp(self._about(0, 0.32, n))
        stretch = torch.exp(self._about(0, 0.12, n))
        flip = (self._uniform(0, 1, n) < 0.5).float() * 2 - 1
        c, s, none = turn.cos() * scale * zoom, turn.sin() * scale * zoom, torch.zeros(n)
        theta = torch.stack([c * stretch * flip, -s, none, s * flip * stretch, c, none], 1)
        grid = F.affine_grid(theta.view(n, 2, 3), [n, 4, SIDE_PX, SIDE_PX], align_corners=False)
        return F.grid_sample(img, grid, padding_mode="reflection", align_corners=False)

    def _restain(self, img: Tensor) -> Tensor:
        """Other amounts and tints of both stains, in optical density."""
        n = len(img)
        density = -torch.log10(img.clamp(1 / 255, 1)).permute(0, 2, 3, 1).reshape(n, -1, 3)
        gain = torch.exp(self._about(0, 0.65, n, 1, 3) + self._about(0, 0.3, n, 1, 1))
        tint = (STAINS + self._about(0, 0.14, n, 3, 3)).clamp(min=0.02)
        amounts = (density @ torch.linalg.inv(STAINS)) * gain + self._about(
            0.02 * self._strength, 0.05, n, 1, 3
        )
        light = torch.pow(10, -(amounts @ tint).clamp(min=0))
        return light.reshape(n, SIDE_PX, SIDE_PX, 3).permute(0, 3, 1, 2)

    def _focus(self, img: Tensor) -> None:
        """Blur or sharpen some of the batch in place: two fifths at full strength."""
        some = self._uniform(0, 1, len(img)) < 0.4 * self._strength
        sigma, amount, sort = self._uniform(0, 1, 3).tolist()
        k = torch.exp(-(torch.arange(-4.0, 5) ** 2) / (2 * (0.4 + 1.4 * sigma) ** 2))
        k = (k / k.sum()).view(1, 1, 1, 9).expand(3, 1, 1, 9)
        soft = F.conv2d(img[some], k, padding=(0, 4), groups=3)
        soft = F.conv2d(soft, k.transpose(2, 3), padding=(4, 0), groups=3)
        img[some] = soft if sort < 0.7 else img[some] + amount * (img[some] - soft)

    def _expose(self, img: Tensor) -> Tensor:
        n = len(img)
        light = img.clamp(0, 1) ** torch.exp(self._about(0, 0.2, n, 1, 1, 1))
        light = (
            light
            * self._about(1 - 0.05 * self._strength, 0.1, n, 1, 1, 1)
            * self._about(1, 0.05, n, 3, 1, 1)
        )
        noise = torch.randn(light.shape, generator=self._generator)
        return (light + self._strength * self._uniform(0, 0.035, n, 1, 1, 1) * noise).clamp(0, 1)
