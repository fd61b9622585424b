"""What a file of PyTorch says of its network, by running a tile through it where it can."""

from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from wsi_ai.core.cards import Activation, Layout
from wsi_ai.core.regular_file import read_regular
from wsi_ai.core.wording import counted
from wsi_ai.errors import ModelError
from wsi_ai.inference.sealed import most_for
from wsi_ai.inference.torch.ends import ends_in_scores
from wsi_ai.inference.torch.forward import TORCH_ERRORS, error_line
from wsi_ai.inference.torch.pickles import WeightsFile, load_pickled, load_state
from wsi_ai.inference.torch.weights import load_whole, safe_tensors
from wsi_ai.inference.trial import FOR_A_DRAFT, Batches, check_agreement, trial_tiles
from wsi_ai.models.drafts.architectures import Shapes, class_count, recognise
from wsi_ai.models.drafts.hub import find_place
from wsi_ai.models.drafts.hub_config import HubConfig, read_config
from wsi_ai.models.drafts.inspected import Inspected, Shape, as_numbers

_SIDES = (224, 256, 512, 64, 96, 128, 299, 384, 448)
_WAYS = (
    (Layout.NCHW, torch.float32),
    (Layout.NHWC, torch.uint8),
    (Layout.NCHW, torch.uint8),
    (Layout.NHWC, torch.float32),
)


@dataclass(frozen=True, slots=True)
class Way:
    """In which a network may take its tiles."""

    layout: Layout
    dtype: torch.dtype
    count: int

    def input_of(self, tiles: torch.Tensor) -> torch.Tensor:
        """Of uint8 RGB (n, side, side, 3)."""
        shades = tiles if self.dtype is torch.uint8 else tiles.to(self.dtype) / 255
        return shades.permute(0, 3, 1, 2).contiguous() if self.layout is Layout.NCHW else shades


def inspect(path: Path, kind: str, *, trusted: bool) -> Inspected:
    """``kind`` is a format of the card.  Raises ModelError."""
    file = _read(path)
    if kind == "state-dict":
        return _of_tensors(_shapes(file, trusted=trusted), _beside(path))
    return _of_network(file.name, kind, load_whole(file, kind, trusted=trusted))


def _read(path: Path) -> WeightsFile:
    try:
        return WeightsFile(path.name, read_regular(path, most_for("torch")))
    except OSError as error:
        raise ModelError(f"{path.name}: {error.strerror}") from None


def kind_of_pickle(path: Path, *, trusted: bool) -> str:
    """``state-dict``, or ``pickle`` for a whole network.  Raises ModelError where that cannot be
    told without running its author's code."""
    file = _read(path)
    try:
        load_state(file)
    except ModelError:
        if not trusted:
            raise
        try:
            load_pickled(file, trusted=True)
        except ModelError:
            return "state-dict"
        return "pickle"
    return "state-dict"


def _shapes(file: WeightsFile, *, trusted: bool) -> Shapes:
    safe = file.name.endswith(".safetensors")
    state = safe_tensors(file) if safe else load_state(file, trusted=trusted)
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _beside(path: Path) -> HubConfig:
    """What the file's folder says, where it is one of Hugging Face's."""
    nothing = HubConfig(None, None, None, {}, ())
    try:
        return read_config(find_place(str(path.parent))) or nothing
    except ModelError:
        return nothing


def _of_tensors(shapes: Shapes, told: HubConfig) -> Inspected:
    """The networks of torchvision and timm give logits, or the features before them."""
    classes = class_count(shapes)
    return Inspected(
        format="state-dict",
        layout=Layout.NCHW,
        dtype="float32",
        size_px=told.size_px,
        shape=(classes or told.features,),
        activation=None,
        architecture=told.architecture or recognise(shapes),
        fields=told.fields,
        notes=(f"inferred: {_by_names(shapes, told)}", *told.notes),
    )


def _by_names(shapes: Shapes, told: HubConfig) -> str:
    """How it was found out whose tensors they are."""
    known = told.architecture or recognise(shapes)
    by = "config.json beside it" if told.architecture else "the names and shapes of its tensors"
    whose = f"{known}, by {by}" if known else "no architecture that is known by its tensors"
    return f"{counted(len(shapes), 'tensor')}: {whose}; layout and type as torchvision's and timm's"


def _of_network(name: str, kind: str, module: torch.nn.Module) -> Inspected:
    made = _made_with(module)
    batch, refused = made[0] if made else None, list[str]()
    for layout, dtype in _WAYS:
        shape_of = partial(_shape, module, Way(layout, dtype, batch or 2), refused)
        taken = list(islice((side for side in _sides(made) if shape_of(side)), 2))
        if not taken:
            continue
        given = shape_of(taken[0]) or ()
        shape = (*given[:1], *as_numbers(given[1:]))
        if not 2 <= len(shape) <= 4:
            raise ModelError(
                f"{name} gives {list(shape)}; [n, classes], [n, features], [n, objects,"
                " columns] or [n, classes, height, width] is needed"
            )
        _hold_to_itself(name, module, Way(layout, dtype, batch or 2), taken[0])
        return Inspected(
            format=kind,
            layout=layout,
            dtype=str(dtype).removeprefix("torch."),
            size_px=taken[0] if len(taken) == 1 else None,
            shape=shape[1:],
            activation=Activation.NONE if ends_in_scores(module) else None,
            batch=batch,
            notes=(f"inferred by running black tiles: {_taken(layout, dtype, taken)}",),
        )
    tried = ", ".join(map(str, _sides(made)))
    raise ModelError(f"{name} takes no RGB tiles of {tried} px: {refused[0]}")


def _taken(layout: Layout, dtype: torch.dtype, sides: list[int]) -> str:
    kind = str(dtype).removeprefix("torch.")
    if len(sides) == 1:
        return f"takes {layout.value} {kind}, {sides[0]} px and no other size that was tried"
    return f"takes {layout.value} {kind}, {sides[0]} and {sides[1]} px: size_px is for you to say"


def _hold_to_itself(name: str, module: torch.nn.Module, way: Way, side: int) -> None:
    """Raises ModelError where it does not say the same of a tile each time."""

    def network(tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            output: torch.Tensor = module(way.input_of(torch.from_numpy(tiles)))
        return output.float().numpy()

    batches = Batches(way.count, way.count, FOR_A_DRAFT)
    check_agreement(name, network, trial_tiles(side), batches)


def _made_with(module: torch.nn.Module) -> Shape:
    """The tiles that an exported program takes: (tiles, ...), ``None`` for a free axis."""
    if not isinstance(module, torch.fx.GraphModule):
        return ()
    values = (node.meta.get("val") for node in module.graph.find_nodes(op="placeholder"))
    shapes = [tuple(value.shape) for value in values if isinstance(value, torch.Tensor)]
    sides: list[object] = list(shapes[-1]) if shapes else []
    return tuple(n if isinstance(n, int) else None for n in sides)


def _sides(made: Shape) -> list[int]:
    """To be tried: first that of the tiles which an exported program was made with."""
    own = [n for n in made[1:] if n is not None and n > 3]
    return list(dict.fromkeys([*own[-1:], *_SIDES]))


def _shape(
    module: torch.nn.Module, way: Way, refused: list[str], side: int
) -> tuple[int, ...] | None:
    """Of what it gives for black tiles; ``None`` where it does not take them, and why is added to
    ``refused``."""
    try:
        with torch.inference_mode():
            output = module(way.input_of(torch.zeros(way.count, side, side, 3, dtype=torch.uint8)))
    except (*TORCH_ERRORS, NotImplementedError) as error:
        refused.append(error_line(error))
        return None
    if not isinstance(output, torch.Tensor):
        raise ModelError(f"the network gives a {type(output).__name__}, not one tensor of scores")
    shape = tuple(output.shape)
    return (*shape, 1) if len(shape) == 1 else shape
