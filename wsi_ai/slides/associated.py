"""A slide's label and macro image, which may name a person: looked at only where that is wanted."""

from io import BytesIO
from pathlib import Path

LABEL_AND_MACRO = ("label", "macro")
_LONGEST_PX = 1600


def associated_image(path: Path, name: str) -> bytes | None:
    """As PNG, made small; ``None`` where OpenSlide finds none of that name."""
    import openslide

    try:
        with openslide.OpenSlide(path) as slide:
            image = slide.associated_images.get(name)
            if image is None:
                return None
            image.thumbnail((_LONGEST_PX, _LONGEST_PX))
            content = BytesIO()
            image.convert("RGB").save(content, "PNG")
    except (openslide.OpenSlideError, OSError):
        return None
    return content.getvalue()
