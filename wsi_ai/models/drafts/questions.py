"""What no file of weights says, and how a person is asked for it."""

QUESTIONS: dict[str, str] = {
    "weights.architecture": "whose weights they are, as torchvision/resnet18 or timm/convnext_tiny",
    "weights.pool": "how its tokens become one vector: none, first, mean or first-and-mean",
    "input.size_px": "side of the tiles that it was trained on, pixels",
    "input.mpp": "micrometres per pixel of these tiles",
    "input.mean": "subtracted from red, green and blue in 0..1, as 0.485, 0.456, 0.406;"
    " 0, 0, 0 for nothing",
    "input.std": "then divided by, as 0.229, 0.224, 0.225; 1, 1, 1 for nothing",
    "output.classes": "their names, in the order of the output, with commas",
    "output.features": "length of the vector that it gives of a tile",
    "output.margin_px": "pixels along a tile's edges whose scores would change if more were seen:"
    " the radius of the receptive field, 0 where tiles need not overlap",
    "output.form": "how a row begins: boxes-xyxy, boxes-cxcywh or points-xy",
    "output.scored": "how a row ends: score-class, class-scores or objectness-class-scores",
    "output.objects": "rows that it gives of a tile",
    "output.activation": "what is left to do to the output: none, sigmoid or softmax",
    "operating_point.class": "the class that a slide is expedited for",
    "operating_point.threshold": "the score from which a tile of that class counts, 0 to 1",
    "operating_point.chosen_for": "what the threshold is to achieve",
    "operating_point.calibrated_on": "the slides that the threshold was chosen on",
    "scope.stain": "stains that it was made for, with commas, as H&E",
    "scope.organ": "organs that it was made for, with commas",
    "card.intended_use": "for what, and by whom",
    "card.licence": "of the weights",
    "card.training_data": "what it learned from",
    "card.evidence": "figures, on which slides, published where",
    "card.limitations": "where it is known to fail",
}
"""By field of the card, in the card's order."""


def todo(field: str) -> str:
    """What stands in a draft for an answer that is not there yet."""
    return f"TODO: {QUESTIONS[field]}"
