"""The demo's network: 38 thousand parameters, scaling inside."""

import torch
from torch import Tensor, nn

CELL_PX = 16  # side of the squares that it judges one by one


class TumourNet(nn.Module):
    """uint8 RGB [n, 224, 224, 3] at 0.5 µm/px to the probability of tumour, float32 [n, 1].

    Looks at squares of 8 µm, each with its surroundings of 60 µm, and says how much of the tile
    is tumour or close to it; a small share is enough.  Sees optical density, where glass is 0; no
    caller has to scale or normalise anything.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_full(3, 16, 5, 2),
            *_full(16, 24, 3, 2),
            *_full(24, 24, 3, 1),
            *_full(24, 32, 3, 2),
            *_full(32, 32, 3, 1),
            *_apart(32, 64, 2),
            *_apart(64, 64, 1),
            *_apart(64, 64, 1),
        )
        self.square = nn.Conv2d(64, 1, 1)
        self.whole = nn.Linear(1, 1)
        nn.init.constant_(self.square.bias, -2.0)
        nn.init.constant_(self.whole.weight, 1.0)
        nn.init.constant_(self.whole.bias, 2.5)

    def forward(self, tiles: Tensor) -> Tensor:
        return torch.sigmoid(self.logits(tiles.permute(0, 3, 1, 2).float() / 255)[1])

    def logits(self, light: Tensor) -> tuple[Tensor, Tensor]:
        """Of squares [n, 1, h / 16, w / 16] and of tiles [n, 1], from RGB [n, 3, h, w] in 0..1."""
        density = -torch.log10(light.clamp(min=1 / 255))
        squares: Tensor = self.square(self.body(density))
        share = torch.sigmoid(squares).mean((2, 3)).clamp(1e-4, 0.9999)
        tile: Tensor = self.whole(torch.log(share) - torch.log(1 - share))
        return squares, tile


def _full(before: int, width: int, side: int, stride: int) -> list[nn.Module]:
    conv = nn.Conv2d(before, width, side, stride, side // 2, bias=False)
    return [conv, nn.BatchNorm2d(width), nn.ReLU(True)]


def _apart(before: int, width: int, stride: int) -> list[nn.Module]:
    """A convolution of each channel, then one of all channels: a ninth of the weights."""
    each = nn.Conv2d(before, before, 3, stride, 1, groups=before, bias=False)
    return [each, nn.BatchNorm2d(before), *_full(before, width, 1, 1)]
