"""A slide opened at the scale that holds: the file's own, or the one that was given for it."""

from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from wsi_ai.core.contracts import EncodedSlide, Slide, VouchedSlide
from wsi_ai.core.geometry import Spacing
from wsi_ai.errors import NoSpacing, ScaleContradicted
from wsi_ai.run.options import RunOptions
from wsi_ai.slides.registry import open_slide
from wsi_ai.slides.scale import LEAST_UM, MOST_UM

_MOST_APART = 0.02


def open_scaled(path: Path, options: RunOptions) -> Slide:
    """The slide, with what was given as µm/px where its file says nothing that can be.

    Raises ScaleContradicted where the two are more than 2 % apart, unless the given one is to
    replace the file's.
    """
    given = options.spacing(path)
    if given is None:
        return open_slide(path, None, options.reader, options.image, options.reader_io)
    try:
        slide = open_slide(path, None, options.reader, options.image, options.reader_io)
    except NoSpacing:
        return open_slide(path, given, options.reader, options.image, options.reader_io)
    stated = slide.info.spacing
    if stated is None or not _is_plausible(stated) or options.override_mpp:
        return scaled(slide, given)
    if not _differ(stated, given):
        return slide
    slide.__exit__(None, None, None)
    raise ScaleContradicted(
        f"the file says {_words(stated)} µm/px, and {_words(given)} was given; leave --mpp away,"
        " or take it in spite of the file: --override-mpp"
    )


def scaled(slide: Slide, spacing: Spacing) -> Slide:
    """The same slide with another µm/px; its ``info`` keeps what the file says."""
    if isinstance(slide, EncodedSlide):
        return _ScaledTiles(slide, spacing)
    return _Scaled(slide, spacing)


class _Scaled:
    def __init__(self, slide: Slide, spacing: Spacing) -> None:
        self._slide = slide
        self.info = replace(slide.info, spacing=spacing, stated=slide.info.spacing)
        self.read = slide.read

    def unchanged(self) -> bool:
        """See ``contracts.VouchedSlide``."""
        return not isinstance(self._slide, VouchedSlide) or self._slide.unchanged()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._slide.__exit__(t, e, tb)


class _ScaledTiles(_Scaled):
    def __init__(self, slide: EncodedSlide, spacing: Spacing) -> None:
        super().__init__(slide, spacing)
        self.encoded_level = slide.encoded_level


def _is_plausible(spacing: Spacing) -> bool:
    return all(LEAST_UM <= um <= MOST_UM for um in (spacing.x_um, spacing.y_um))


def _differ(one: Spacing, other: Spacing) -> bool:
    pairs = ((one.x_um, other.x_um), (one.y_um, other.y_um))
    return any(abs(a - b) > _MOST_APART * a for a, b in pairs)


def _words(spacing: Spacing) -> str:
    x, y = f"{spacing.x_um:.4g}", f"{spacing.y_um:.4g}"
    return x if x == y else f"{x} x {y}"
