"""Around a network's kernel: the slide's own colours made the model's, and each of the card's views
shown to the network."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.values import Recolour
from wsi_ai.inference.views import Orientation, views_of

Inner = Callable[[torch.Tensor, torch.Tensor], None]
"""(tiles, outputs): reads uint8 RGB, writes what the network gives."""


@dataclass(frozen=True, slots=True)
class RecolouredViews:
    """A kernel of the ring.  ``outputs`` has an axis of views after that of tiles, unless there is
    but one."""

    inner: Inner
    views: tuple[Orientation, ...]

    def __call__(
        self, pixels: torch.Tensor, outputs: torch.Tensor, recolour: Recolour | None = None
    ) -> None:
        tiles = pixels if recolour is None else recolour(pixels, torch)
        if len(self.views) == 1:
            self.inner(tiles, outputs)
            return
        for number, view in enumerate(self.views):
            self.inner(view.of(tiles, torch), outputs[:, number])


def recoloured_views(inner: Inner, card: ModelCard) -> RecolouredViews:
    """What the card asks for beside the network itself."""
    return RecolouredViews(inner, views_of(card.input.tta))
