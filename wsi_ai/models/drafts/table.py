"""The draft as a table, in the order of the card."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from wsi_ai import schemas
from wsi_ai.core.cards import Activation, Task
from wsi_ai.errors import ModelError
from wsi_ai.inference.ends import already_done
from wsi_ai.models.card_checks import contradiction, texts_filled_in, unfinished
from wsi_ai.models.drafts.fields import with_fields
from wsi_ai.models.drafts.inspected import Inspected
from wsi_ai.models.drafts.questions import todo

_UNNAMED = "model"


def draft_table(name: str, seen: Inspected, task: Task | None = None) -> dict[str, Any]:
    """What ``seen`` says, with TODO for the rest.  The weights' path and digest are filled in by
    whoever puts them in their place.

    Where no ``task`` is given, the output's shape says which.  Raises ModelError where the shape is
    of another one.
    """
    task = task or _TASKS[len(seen.shape)][0]
    if task is Task.SLIDE_CLASSIFICATION:
        raise ModelError(f"task: {task.value} needs a second network: see docs/embeddings.md")
    if task not in _TASKS[len(seen.shape)]:
        raise ModelError(f"task: the network gives {seen.shape_told} a tile: no {task.value}")
    table = {
        "schema_version": "1",
        "name": _name(name),
        "version": "1.0.0",
        "task": task.value,
        "weights": _weights(seen),
        "input": _input(seen, task),
        "output": _OUTPUTS[task](seen),
        "operating_point": _todos("operating_point", "class threshold chosen_for calibrated_on"),
        "scope": _todos("scope", "stain organ"),
        "card": {
            "intended_use": todo("card.intended_use"),
            "regulatory_status": "research_use_only",
            **_todos("card", "licence training_data evidence limitations"),
        },
    }
    if task is Task.EMBEDDING:
        del table["operating_point"]
    return with_fields(table, seen.fields)


def check_table(table: Mapping[str, Any], seen: Inspected) -> None:
    """Raises ModelError where the card would be refused, as far as it is finished."""
    _check_classes(table, seen)
    _check_activation(table["output"].get("activation", Activation.NONE), seen)
    whole = with_fields(table, {"weights.path": "weights", "weights.sha256": "0" * 64})
    if unfinished(whole):
        return
    whole = texts_filled_in(whole)
    if wrong := schemas.complaint("model-card-1", whole) or contradiction(whole):
        raise ModelError(f"the card would be refused: {wrong}")


def _check_classes(table: Mapping[str, Any], seen: Inspected) -> None:
    """There are as many names as scores, and that of the operating point is one of them."""
    names, label = table["output"].get("classes"), table.get("operating_point", {}).get("class")
    if not isinstance(names, list):
        return
    scores = None if len(seen.shape) == _ROWS else seen.shape[0]
    if scores is not None and len(names) != scores:
        raise ModelError(
            f"output.classes: {len(names)} names, but the network gives {scores} scores"
        )
    if label not in names and not unfinished(label):
        raise ModelError(f"operating_point.class: {label!r} is none of output.classes {names}")


def _check_activation(asked: str, seen: Inspected) -> None:
    """The network has done its own."""
    again = asked in set(Activation) - {Activation.NONE}
    if again and seen.activation is Activation.NONE:
        raise ModelError(already_done("the network", asked))


def _weights(seen: Inspected) -> dict[str, Any]:
    told = {"path": "", "format": seen.format, "sha256": ""}
    if seen.format == "state-dict":
        told["architecture"] = seen.architecture or todo("weights.architecture")
    if _gives_tokens(seen):
        told["pool"] = todo("weights.pool")
    return told


def _gives_tokens(seen: Inspected) -> bool:
    unpooled = seen.fields.get("weights.arguments", {}).get("global_pool") == ""
    return unpooled or (seen.architecture or "").startswith("transformers/")


def _input(seen: Inspected, task: Task) -> dict[str, Any]:
    image: dict[str, Any] = {"size_px": seen.size_px or todo("input.size_px")}
    if task is Task.SEGMENTATION and seen.size_px is None:
        image = {"free_size": True}
    elif seen.size_px and task in (Task.SEGMENTATION, Task.DETECTION):
        image["stride_px"] = seen.size_px - 2 * (seen.size_px // _OVERLAP)
    image |= {"mpp": todo("input.mpp"), "layout": seen.layout.value, "dtype": seen.dtype}
    if seen.batch is not None:
        image["batch"] = seen.batch
    return image if seen.dtype == "uint8" else {**image, **_todos("input", "mean std")}


def _scores(seen: Inspected) -> dict[str, Any]:
    activation = seen.activation.value if seen.activation else todo("output.activation")
    classes = list(seen.names) or todo("output.classes")
    return {**_named(seen), "activation": activation, "classes": classes}


def _dense(seen: Inspected) -> dict[str, Any]:
    side, own = seen.shape[-1], seen.size_px
    scale = {"scale": side / own} if side and own and side != own else {}
    return {**_scores(seen), **scale, "margin_px": todo("output.margin_px")}


def _objects(seen: Inspected) -> dict[str, Any]:
    rows = seen.shape[0] or todo("output.objects")
    return {**_scores(seen), **_todos("output", "form scored"), "objects": rows}


def _vector(seen: Inspected) -> dict[str, Any]:
    return {**_named(seen), "features": seen.shape[0] or todo("output.features")}


def _named(seen: Inspected) -> dict[str, Any]:
    return {"name": seen.output} if seen.output else {}


def _todos(section: str, names: str) -> dict[str, str]:
    return {name: todo(f"{section}.{name}") for name in names.split()}


def _name(told: str) -> str:
    """Fit for the card, and for paths."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", told).strip("._-")[:64] or _UNNAMED


_ROWS = 2
_OVERLAP = 8
"""So large a part of a tile lies on each side in its neighbour."""
_TASKS = {
    1: (Task.TILE_CLASSIFICATION, Task.EMBEDDING),
    _ROWS: (Task.DETECTION,),
    3: (Task.SEGMENTATION,),
}
"""By the axes of what a network gives for one tile; the first one where nothing else is said."""
_OUTPUTS: Mapping[Task, Callable[[Inspected], dict[str, Any]]] = {
    Task.TILE_CLASSIFICATION: _scores,
    Task.SEGMENTATION: _dense,
    Task.DETECTION: _objects,
    Task.EMBEDDING: _vector,
}
