"""Why a slide is not judged: every gate, in the order in which they apply."""

import re
from collections.abc import Iterable

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.flags import Quality, Status
from wsi_ai.core.values import SlideInfo
from wsi_ai.slides.identity import Claim, merged


def scope_complaint(claims: Iterable[Claim], card: ModelCard) -> str | None:
    """Why this model cannot judge a slide with these claims, or ``None``.

    What is unknown is assumed to be what the model needs; it need not be known whose slide it is.
    The answer names what the model needs, never what the case is.  Raises IdentityInDoubt.
    """
    scope, known = card.scope, merged(claims)
    for name, allowed, complaint in (
        ("stain", scope.stains, "the slide is not stained as the model needs it"),
        ("organ", scope.organs, "the slide is not of an organ that the model is made for"),
        ("specimen", scope.specimens, "the specimen is not of a kind the model is made for"),
    ):
        told = known.get(name)
        if told and allowed and _plain(told) not in map(_plain, allowed):
            return f"{complaint} ({', '.join(allowed)})"
    return None


def _plain(word: str) -> str:
    """Makes spellings equal: H&E, HE and h & e are the same stain."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"\band\b", "", word.lower()))


def scope_gate(slide: SlideInfo, card: ModelCard) -> str | None:
    """Why this model cannot judge this slide, or ``None``.  Needs no pixel."""
    if slide.spacing is None:
        return f"{slide.scale_doubt or 'no spacing in the file'}; give --mpp"
    x, y = slide.spacing.x_um, slide.spacing.y_um
    if not max(x, y) <= 1.05 * min(x, y):
        return f"pixels are not square ({x:.4g} x {y:.4g} µm); give --mpp if that is wrong"
    if not slide.spacing.mean_um <= card.tile.mpp * (1 + card.mpp_tolerance):
        return (
            f"the slide has {slide.spacing.mean_um:.4g} µm/px;"
            f" the model needs {card.tile.mpp:.4g} µm/px or finer"
        )
    return _range_complaint(slide.spacing.mean_um, card) or _scanner_complaint(slide, card)


def _range_complaint(mpp: float, card: ModelCard) -> str | None:
    if card.scope.mpp is None or card.scope.mpp[0] <= mpp <= card.scope.mpp[1]:
        return None
    finest, coarsest = card.scope.mpp
    return (
        f"the slide has {mpp:.4g} µm/px;"
        f" the model is made for slides of {finest:.4g} to {coarsest:.4g} µm/px"
    )


def _scanner_complaint(slide: SlideInfo, card: ModelCard) -> str | None:
    """A scanner is recognised by words: all words on the card must be in what the file says."""
    told = _words(f"{slide.vendor} {slide.scanner}")
    scanners = card.scope.scanners
    if not scanners or any(_words(scanner) <= told for scanner in scanners):
        return None
    return f"the file names none of the scanners that the model is made for ({', '.join(scanners)})"


def _words(told: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", told.lower()))


def quality_gate(quality: Quality) -> str | None:
    """Why the slide is not fit to be assessed, or ``None``."""
    failed = [check for check in quality.checks if check.status is not Status.PASS]
    for check in failed:
        if check.name == "colours":
            return f"the colours are wrong ({check.meaning})"
    if not quality.tissue_fraction > 0:
        return "no tissue was found on the slide"
    told = (
        f"{check.meaning} is {check.value:.2g}, the limit {check.limit:.2g}" for check in failed
    )
    return "quality: " + "; ".join(told) if failed else None
