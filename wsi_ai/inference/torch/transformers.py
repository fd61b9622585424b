"""Encoders from transformers, by their configuration: built and filled without a download."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
import transformers

from wsi_ai.errors import ModelError


class Tokens(torch.nn.Module):
    """(tiles, 3, side, side) to (tiles, tokens, features): the class token, registers, patches."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder
        self.num_prefix_tokens = 1 + getattr(encoder.config, "num_register_tokens", 0)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        tokens: torch.Tensor = self.encoder(pixel_values=tiles).last_hidden_state
        return tokens


def build(family: str, arguments: Mapping[str, Any]) -> Tokens:
    """Untrained.  Raises ValueError or TypeError for a family or arguments that are not known."""
    config = transformers.AutoConfig.for_model(family, **arguments)
    return Tokens(transformers.AutoModel.from_config(config, **_unpooled(config)))


def filled(network: Tokens, state: Mapping[str, torch.Tensor]) -> Tokens:
    """With the weights, whichever version of transformers named them.  Raises ModelError where one
    is missing, left over, or of another shape: transformers itself would invent it."""
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    config = network.encoder.config
    encoder, told = type(network.encoder).from_pretrained(
        None,
        config=config,
        state_dict=dict(state),
        dtype=torch.float32,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # told of below
        **_unpooled(config),
    )
    left = {name for name in told["unexpected_keys"] if not name.startswith("pooler.")}
    for what, names in (("missing", told["missing_keys"]), ("not known", left),
                        ("of another shape", told["mismatched_keys"])):  # fmt: skip
        if names:
            first = sorted(map(str, names))[0]
            raise ModelError(f"the weights do not fit the architecture: {what}: {first}")
    return Tokens(encoder)


def _unpooled(config: Any) -> dict[str, bool]:
    """Without the layer behind the tokens, where that can be chosen."""
    kind: Any = transformers.AutoModel._model_mapping[type(config)]
    choice = "add_pooling_layer" in inspect.signature(kind).parameters
    return {"add_pooling_layer": False} if choice else {}
