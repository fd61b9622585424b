"""Encoders from timm: built as their card says, with their tokens combined to one vector a tile."""

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from typing import Any

import torch

from wsi_ai.core.cards import Pool
from wsi_ai.errors import ModelError

_LAYERS = ("mlp_layer", "act_layer", "norm_layer")
"""Arguments that are classes; a card gives their names."""


def arguments_for(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as timm wants them.  Raises ModelError for a layer that neither timm nor torch
    has."""
    return {name: _layer(name, v) if name in _LAYERS else v for name, v in given.items()}


def _layer(argument: str, name: Any) -> Any:
    for library in ("timm.layers", "torch.nn"):
        found = getattr(import_module(library), str(name), None)
        kind = found.func if isinstance(found, partial) else found
        if isinstance(kind, type) and issubclass(kind, torch.nn.Module):
            return found
    raise ModelError(f"weights.arguments.{argument}: neither timm.layers nor torch.nn has {name!r}")


class Pooled(torch.nn.Module):
    """(tiles, tokens, features) of an encoder to (tiles, features), or twice as many."""

    def __init__(self, encoder: torch.nn.Module, pool: Pool) -> None:
        super().__init__()
        self.encoder, self.pool = encoder, pool
        self.prefix = int(getattr(encoder, "num_prefix_tokens", 1))
        """The number of tokens that belong to no patch: the class token and the registers."""

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        tokens: torch.Tensor = self.encoder(tiles)
        if tokens.dim() != 3:
            raise ValueError(
                f"weights.pool is {self.pool.value}, but the encoder gives {tuple(tokens.shape)};"
                ' set arguments.global_pool = ""'
            )
        first, mean = tokens[:, 0], tokens[:, self.prefix :].mean(1)
        if self.pool is Pool.FIRST:
            return first
        return mean if self.pool is Pool.MEAN else torch.cat([first, mean], dim=1)
