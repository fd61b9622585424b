"""Slides of one run that say they are the same one, and are not."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from wsi_ai.core.contracts import Slide
from wsi_ai.core.flags import Identity
from wsi_ai.errors import IdentityInDoubt, SlideError
from wsi_ai.slides.headers import header_of
from wsi_ai.slides.identity import Cases, agreed, dicom_claim

OpenSlide = Callable[[Path], Slide]


def apart(
    slides: Iterable[Path], cases: Cases, open_slide: OpenSlide
) -> tuple[Sequence[Path], Sequence[Path]]:
    """Those that may run, and those whose identity another one with other bytes has too.

    Told before the first inference, from tables and headers; only slides with one identity are
    hashed here.
    """
    by_identity: dict[tuple[str, ...], list[Path]] = {}
    slides = list(slides)
    for slide in slides:
        found = _identity(slide, cases)
        if found is not None:
            by_identity.setdefault((found.trust, found.accession, found.slide_id), []).append(slide)
    groups = [group for group in by_identity.values() if len(set(group)) > 1]
    shared = {slide for group in groups if not _same_bytes(group, open_slide) for slide in group}
    return [s for s in slides if s not in shared], [s for s in slides if s in shared]


def _identity(slide: Path, cases: Cases) -> Identity | None:
    try:
        return agreed([*cases.claims(slide), dicom_claim(header_of(slide))])
    except (IdentityInDoubt, OSError, ValueError):
        return None


def _same_bytes(group: Sequence[Path], open_slide: OpenSlide) -> bool:
    digests = set[str]()
    for slide in group:
        try:
            with open_slide(slide) as opened:
                digests.add(opened.info.fingerprint)
        except (SlideError, OSError, ValueError):
            return False
    return len(digests) == 1
