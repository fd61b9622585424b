"""Slides of one run that say they are the same one, and are not."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wsi_ai.core.contracts import Slide
from wsi_ai.core.flags import Identity
from wsi_ai.errors import IdentityInDoubt, SlideError
from wsi_ai.slides.headers import header_of
from wsi_ai.slides.identity import Cases, agreed, dicom_claim
from wsi_ai.slides.readers.fingerprint import fingerprint

OpenSlide = Callable[[Path], Slide]


@dataclass(frozen=True, slots=True)
class Apart:
    """The slides of a run, in their order."""

    alone: Sequence[Path]
    """Those that may run."""
    shared: Sequence[Path]
    """Another one with other bytes has the same identity."""
    unread: Sequence[Path]
    """Whether another one with the same identity has other bytes cannot be known now: one of them
    cannot be read.  That is the share's fault, and says nothing of a slide."""


def apart(slides: Iterable[Path], cases: Cases, open_slide: OpenSlide) -> Apart:
    """Found before the first inference, from tables and headers; only slides with one identity are
    hashed here."""
    by_identity: dict[tuple[str, ...], list[Path]] = {}
    slides = list(slides)
    for slide in slides:
        found = _identity(slide, cases)
        if found is not None:
            by_identity.setdefault((found.trust, found.accession, found.slide_id), []).append(slide)
    shared, unread = set[Path](), set[Path]()
    for group in by_identity.values():
        if len(set(group)) == 1:
            continue
        digests = {_digest(slide, open_slide) for slide in group}
        if len(digests - {None}) > 1:
            shared |= set(group)
        elif None in digests:
            unread |= set(group)
    return Apart(
        [slide for slide in slides if slide not in shared | unread],
        [slide for slide in slides if slide in shared],
        [slide for slide in slides if slide in unread],
    )


def _identity(slide: Path, cases: Cases) -> Identity | None:
    try:
        return agreed([*cases.claims(slide), dicom_claim(header_of(slide))])
    except (IdentityInDoubt, OSError, ValueError):
        return None


def _digest(slide: Path, open_slide: OpenSlide) -> str | None:
    """``None`` where its bytes cannot be read; a damaged slide has some, too."""
    try:
        with open_slide(slide) as opened:
            return opened.info.fingerprint
    except (SlideError, OSError, ValueError):
        pass
    try:
        return fingerprint(slide)
    except (SlideError, OSError, ValueError):
        return None
