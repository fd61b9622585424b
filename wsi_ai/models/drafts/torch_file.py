"""What a file of PyTorch says of its network, by running a tile through it where it can."""

from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from wsi_ai.core.cards import Activation, Layout
from wsi_ai.errors import ModelError
from wsi_ai.inference.torch.forward import TORCH_ERRORS
from wsi_ai.inference.torch.pickles import load_pickled, load_state
from wsi_ai.inference.torch.weights import load_whole
from wsi_ai.models.drafts.architectures import Shapes, class_count, recognise
from wsi_ai.models.drafts.hub import find_place
from wsi_ai.models.drafts.hub_config import HubConfig, read_config
from wsi_ai.models.drafts.inspected import Inspected, Shape

_SIDES = (224, 256, 512, 64, 96, 128, 299, 384, 448)
_WAYS = (
    (Layout.NCHW, torch.float32),
    (Layout.NHWC, torch.uint8),
    (Layout.NCHW, torch.uint8),
    (Layout.NHWC, torch.float32),
)
_ACTIVE = ("softmax", "sigmoid")


def inspect(path: Path, kind: str, *, trusted: bool) -> Inspected:
    """``kind`` is a format of the card.  Raises ModelError."""
    if kind == "state-dict":
        return _of_tensors(_shapes(path, trusted=trusted), _beside(path))
    return _of_network(path, kind, load_whole(path, kind, trusted=trusted))


def kind_of_pickle(path: Path, *, trusted: bool) -> str:
    """``state-dict``, or ``pickle`` for a whole network.  Raises ModelError where that cannot be
    told without running its author's code."""
    try:
        load_state(path)
    except ModelError:
        if not trusted:
            raise
        try:
            load_pickled(path, trusted=True)
        except ModelError:
            return "state-dict"
        return "pickle"
    return "state-dict"


def _shapes(path: Path, *, trusted: bool) -> Shapes:
    if path.suffix != ".safetensors":
        state = load_state(path, trusted=trusted)
        return {name: tuple(tensor.shape) for name, tensor in state.items()}
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ModelError(f"{path.name} does not load: {error}") from None


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
        activation=Activation.SIGMOID if classes == 1 else None,
        architecture=told.architecture or recognise(shapes),
        fields=told.fields,
        notes=(f"{len(shapes)} tensors", *told.notes),
    )


def _of_network(path: Path, kind: str, module: torch.nn.Module) -> Inspected:
    made = _made_with(module)
    batch = made[0] if made else None
    for layout, dtype in _WAYS:
        shape_of = partial(_shape, module, layout, dtype, batch or 2)
        taken = list(islice((side for side in _sides(made) if shape_of(side)), 2))
        if not taken:
            continue
        shape = shape_of(taken[0]) or ()
        if not 2 <= len(shape) <= 4:
            raise ModelError(
                f"{path.name} gives {list(shape)}; [n, classes], [n, features], [n, objects,"
                " columns] or [n, classes, height, width] is needed"
            )
        return Inspected(
            format=kind,
            layout=layout,
            dtype=str(dtype).removeprefix("torch."),
            size_px=taken[0] if len(taken) == 1 else None,
            shape=shape[1:],
            activation=_left_to_do(module, shape[1]),
            batch=batch,
            notes=(f"tried with black tiles of {' and '.join(map(str, taken))} px",),
        )
    tried = ", ".join(map(str, _sides(made)))
    raise ModelError(f"{path.name} takes no RGB tiles of {tried} px")


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
    module: torch.nn.Module, layout: Layout, dtype: torch.dtype, count: int, side: int
) -> tuple[int, ...] | None:
    """Of what it gives for black tiles; ``None`` where it does not take them."""
    tile = (3, side, side) if layout is Layout.NCHW else (side, side, 3)
    try:
        with torch.inference_mode():
            output = module(torch.zeros(count, *tile, dtype=dtype))
    except (*TORCH_ERRORS, NotImplementedError):
        return None
    if not isinstance(output, torch.Tensor):
        raise ModelError(f"the network gives a {type(output).__name__}, not one tensor of scores")
    shape = tuple(output.shape)
    return (*shape, 1) if len(shape) == 1 else shape


def _left_to_do(module: torch.nn.Module, classes: int) -> Activation | None:
    """Nothing where the last step is a softmax or a sigmoid; a single logit wants a sigmoid."""
    if any(word in _last_step(module) for word in _ACTIVE):
        return Activation.NONE
    return Activation.SIGMOID if classes == 1 else None


def _last_step(module: Any) -> str:
    """What the program's graph calls it; empty where there is none to look into."""
    if isinstance(module, torch.jit.ScriptModule):
        graph = module.inlined_graph  # to be held while its nodes are looked at
        return str(next(graph.outputs()).node().kind())
    if isinstance(module, torch.fx.GraphModule):
        (output,) = module.graph.find_nodes(op="output")
        return str(output.all_input_nodes[0].target) if output.all_input_nodes else ""
    return ""
