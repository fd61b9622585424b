"""Which image, where a file holds several: by its number, or by its name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from wsi_ai.core.geometry import Size
from wsi_ai.errors import SlideError

_PLAIN = re.compile(
    "area|barcode|blue|colours|focal|green|grey|image|label|level|macro|monochrome2|optical"
    "|overview|path|plane|red|region|rgb|roi|scan|section|series|slide|thumbnail|tissue|z"
)
_PARTS = re.compile(r"[^\w.+-]+|_+")
_SHORT_NUMBER = re.compile(r"\d{1,2}|[+-]?\d*\.\d{1,6}")


@dataclass(frozen=True, slots=True)
class Listed:
    """One of several images."""

    number: int
    """From 0, in the order of the file."""
    name: str
    """In the file's own words; empty where it has none."""
    size: Size

    @property
    def words(self) -> str:
        """For people.  A name of other than plain words may be that of a slide or of a case, and
        is left out."""
        parts = [part for part in _PARTS.split(self.name.lower()) if part]
        plain = all(_PLAIN.fullmatch(part) or _SHORT_NUMBER.fullmatch(part) for part in parts)
        name = f" ({self.name})" if parts and plain else ""
        return f"{self.number}{name}: {self.size.width} x {self.size.height} px"


def chosen(images: Sequence[Listed], wanted: str) -> int:
    """The number of the one image that is meant.  Raises SlideError, which names what there is."""
    if wanted in (numbers := [str(image.number) for image in images]):
        return numbers.index(wanted)
    same = [i.number for i in images if i.name and i.name.casefold() == wanted.casefold()]
    if len(same) == 1:
        return same[0]
    which = f"{len(same)} images are called like that" if same else "there is no such image"
    raise SlideError(f"{which}; --image takes one of {listed(images)}")


def listed(images: Sequence[Listed]) -> str:
    return "; ".join(image.words for image in images)


def several(kind: str, images: Sequence[Listed]) -> SlideError:
    """That one has to be chosen."""
    return SlideError(f"{len(images)} {kind} ({listed(images)}); choose one with --image")


def only_one(wanted: str) -> None:
    """For a file of one image.  Raises SlideError where another is wanted."""
    if wanted not in ("", "0"):
        raise SlideError("there is no such image: the slide has a single one, 0")
