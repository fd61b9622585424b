"""What a card's task asks of its input and output tables.  Pure."""

from collections.abc import Mapping
from typing import Any

from wsi_ai.core.cards import (
    Activation,
    Colour,
    Form,
    OutputSpec,
    Precision,
    ReadLike,
    Resampling,
    Scored,
    Task,
    TileSpec,
)
from wsi_ai.models.windows import FittedWindow, FreeSize, fitted

Table = Mapping[str, Any]
_OWN_FIELDS = {
    Task.SEGMENTATION: {"scale", "margin_px"},
    Task.DETECTION: {"form", "scored", "objects", "min_score", "nms_iou", "radius_um"},
}
_WHOLE = 1e-6


def output_complaint(card: Table) -> str | None:
    """What the fields allow each, but not together or not for this task."""
    task = Task(card["task"])
    if wrong := _vector_complaint(card, task):
        return wrong
    for other, fields in _OWN_FIELDS.items():
        strange = sorted(fields & card["output"].keys())
        if strange and other is not task:
            return f"output.{strange[0]}: belongs to task {other.value!r} alone"
    if card["input"].get("free_size") and task is not Task.SEGMENTATION:
        return f"input.free_size: belongs to task {Task.SEGMENTATION.value!r} alone"
    if task is Task.SEGMENTATION:
        return _dense_complaint(card)
    return _objects_complaint(card) if task is Task.DETECTION else None


def tile_spec(card: Table) -> TileSpec:
    """Tiles of a segmentation or a detection lie around the middle of their cells, so that an edge
    of a tile lies as deep as it can in its neighbour."""
    image, colour = card["input"], Colour(card["input"].get("color", Colour.RAW))
    window = _window(card)
    centred = Task(card["task"]) in _OWN_FIELDS
    lead = (window.size_px - window.stride_px) // 2 if centred else 0
    return TileSpec(
        size_px=window.size_px,
        mpp=float(image["mpp"]),
        stride_px=window.stride_px,
        color=colour,
        lead_px=lead,
        parity=ReadLike(image.get("parity", ReadLike.NONE)),
        resampling=Resampling(image.get("resampling", Resampling.AREA)),
    )


def output_spec(card: Table) -> OutputSpec:
    given, plain = card["output"], OutputSpec()
    return OutputSpec(
        name=given.get("name", plain.name),
        scale=float(given.get("scale", plain.scale)),
        margin_px=given.get("margin_px", plain.margin_px),
        form=Form(given.get("form", plain.form)),
        scored=Scored(given.get("scored", plain.scored)),
        objects=given.get("objects", plain.objects),
        min_score=given.get("min_score", plain.min_score),
        nms_iou=given.get("nms_iou", plain.nms_iou),
        radius_um=given.get("radius_um", plain.radius_um),
        features=given.get("features", plain.features),
        storage=Precision(given.get("storage", plain.storage)),
    )


def _vector_complaint(card: Table, task: Task) -> str | None:
    vectors = task in (Task.EMBEDDING, Task.SLIDE_CLASSIFICATION)
    for field in ("features", "storage"):
        if field in card["output"] and not vectors:
            return f"output.{field}: belongs to embeddings and slide classifications"
    if task is Task.EMBEDDING and (strange := {"activation", "classes"} & card["output"].keys()):
        return f"output.{min(strange)}: an embedding has none"
    if "aggregator" in card and task is not Task.SLIDE_CLASSIFICATION:
        return f"aggregator: belongs to task {Task.SLIDE_CLASSIFICATION.value!r} alone"
    return None


def _window(card: Table) -> FittedWindow:
    image = card["input"]
    if image.get("free_size"):
        return fitted(_free(card))
    return FittedWindow(image["size_px"], image.get("stride_px", image["size_px"]))


def _free(card: Table) -> FreeSize:
    image, out = card["input"], output_spec(card)
    largest = {"largest_px": image["size_px"]} if "size_px" in image else {}
    return FreeSize(image.get("multiple_of", 32), out.margin_px, out.scale, **largest)


def _dense_complaint(card: Table) -> str | None:
    image, scale = card["input"], output_spec(card).scale
    if image.get("free_size"):
        if "stride_px" in image:
            return "input.stride_px: follows from free_size and output.margin_px; leave it out"
        try:
            _window(card)
        except ValueError as error:
            return f"input.free_size: {error}"
        return None
    spec = tile_spec(card)
    if overlap := _overlap_complaint(spec):
        return overlap
    for name, px in (("size_px", spec.size_px), ("stride_px", spec.stride_px)):
        if abs(px * scale - round(px * scale)) > _WHOLE:
            return f"input.{name}: {px} px are no whole number of the output's pixels"
    if abs(spec.lead_px * scale - round(spec.lead_px * scale)) > _WHOLE:
        return "input.stride_px: half the overlap must be a whole number of the output's pixels"
    return None


def _objects_complaint(card: Table) -> str | None:
    out = card["output"]
    for field in ("form", "objects"):
        if field not in out:
            return f"output.{field}: a detection needs it"
    if wrong := _softmax_complaint(out):
        return wrong
    points = Form(out["form"]) is Form.POINTS_XY
    if points != ("radius_um" in out):
        what = "points need it" if points else "is for points; boxes have nms_iou"
        return f"output.radius_um: {what}"
    return _overlap_complaint(tile_spec(card))


def _softmax_complaint(out: Mapping[str, Any]) -> str | None:
    """Over a row's scores, which must be those of classes that exclude each other."""
    scored = Scored(out.get("scored", Scored.SCORE_CLASS))
    if out["activation"] == Activation.SOFTMAX and scored is not Scored.CLASS_SCORES:
        return f"output.activation: there is no softmax of {scored.value}; use sigmoid or none"
    return None


def _overlap_complaint(spec: TileSpec) -> str | None:
    if spec.stride_px > spec.size_px:
        return "input.stride_px: larger than size_px, so that tissue between tiles is never seen"
    if (spec.size_px - spec.stride_px) % 2:
        return "input.stride_px: the overlap (size_px - stride_px) must be even"
    return None
