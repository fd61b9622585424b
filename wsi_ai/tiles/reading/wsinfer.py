"""Tiles read as WSInfer 0.6 reads them, to the pixel: see ``cards.ReadLike``.

``wsinfer/modellib/data.py``: a region of level 0, through OpenSlide, whose alpha is dropped, so
that what lies beyond the slide is black; then torchvision's Resize on a Pillow image.
"""

from wsi_ai.core.contracts import Slide
from wsi_ai.core.values import TilePlan
from wsi_ai.tiles.reading.resize import Tile, resized


def read_as_wsinfer(slide: Slide, plan: TilePlan, tile: int) -> Tile:
    """One tile, uint8 (size_px, size_px, 3).  Raises TileUnreadable."""
    x, y = plan.origin(tile)
    pixels = slide.read(0, x, y, plan.read_px.width, plan.read_px.height)
    inside_y = max(0, plan.slide.size.height - y)
    inside_x = max(0, plan.slide.size.width - x)
    if inside_y < len(pixels) or inside_x < pixels.shape[1]:
        pixels = pixels.copy()
        pixels[inside_y:] = 0
        pixels[:, inside_x:] = 0
    return resized(pixels, plan.spec.size_px)
