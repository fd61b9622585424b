"""What a file of weights says of itself."""

from dataclasses import dataclass

from wsi_ai.cards import Activation, Layout


@dataclass(frozen=True, slots=True)
class Inspected:
    """``None`` where the file does not say."""

    format: str
    layout: Layout
    dtype: str
    size_px: int | None
    """``None`` where the network takes tiles of any size."""
    classes: int | None
    activation: Activation | None
    """What is left to do to the output."""
    names: tuple[str, ...] = ()
    """Of the classes."""
    architecture: str | None = None
    output: str = ""
    """The name of the output that holds the scores, where there are several."""
    notes: tuple[str, ...] = ()
    """For a person to read."""
