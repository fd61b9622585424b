"""Words on a picture, in DejaVu Sans, which has the signs of units.  ``fonts/`` has its files."""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from io import BytesIO

from PIL import Image, ImageDraw, ImageFont

Point = tuple[float, float]
Font = ImageFont.FreeTypeFont


@cache
def font(size_px: int, face: str = "DejaVuSans") -> Font:
    """Or the face ``DejaVuSans-Bold``."""
    content = (files(__package__) / "fonts" / f"{face}.ttf").read_bytes()
    return ImageFont.truetype(BytesIO(content), size_px)


def wrapped(text: str, letters: Font, width_px: float) -> Iterator[str]:
    """The text in lines, none longer than the width unless a single word is."""
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and letters.getlength(longer) > width_px:
            yield line
            longer = word
        line = longer
    yield line


def write_upwards(image: Image.Image, middle: Point, text: str, letters: Font) -> None:
    """Text that runs upwards, in black, with its middle at the given place."""
    left, top, right, bottom = letters.getbbox(text)
    label = Image.new("L", (round(right), round(bottom)), 0)
    ImageDraw.Draw(label).text((0, 0), text, 255, letters)
    turned = label.rotate(90, expand=True)
    x, y = round(middle[0] - (top + bottom) / 2), round(middle[1] - (left + right) / 2)
    image.paste("black", (x, y), turned)


def cut_to(text: str, letters: Font, width_px: float) -> str:
    """The text; where it is too long, as much of it as fits, and an ellipsis."""
    if letters.getlength(text) <= width_px:
        return text
    while text and letters.getlength(f"{text}…") > width_px:
        text = text[:-1]
    return f"{text}…"
