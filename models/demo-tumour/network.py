"""The demo's network: 209 thousand parameters, scaling inside."""

import torch
from torch import Tensor, nn

WIDTHS = (16, 32, 64, 96)


class TumourNet(nn.Module):
    """uint8 RGB [n, 224, 224, 3] at 0.5 µm/px to the probability of tumour, float32 [n, 1].

    Sees optical density, where glass is 0; no caller has to scale or normalise anything.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for i, width in enumerate(WIDTHS):
            side = 3 if i else 5
            layers += _step(before, width, side, 2)
            if i:
                layers += _step(width, width, 3, 1)
            before = width
        self.body, self.drop = nn.Sequential(*layers), nn.Dropout(0.2)
        self.head = nn.Linear(before, 1)

    def forward(self, tiles: Tensor) -> Tensor:
        return torch.sigmoid(self.logits(tiles.permute(0, 3, 1, 2).float() / 255))

    def logits(self, light: Tensor) -> Tensor:
        """[n, 1] from RGB [n, 3, h, w] in 0..1: what training looks at."""
        density = -torch.log10(light.clamp(min=1 / 255))
        out: Tensor = self.head(self.drop(self.body(density).mean((2, 3))))
        return out


def _step(before: int, width: int, side: int, stride: int) -> list[nn.Module]:
    conv = nn.Conv2d(before, width, side, stride, side // 2, bias=False)
    return [conv, nn.BatchNorm2d(width), nn.ReLU(True)]
