"""A settled file or folder: which slides it holds, whose they are, and what is known of them."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wsi_ai.errors import PolicyError
from wsi_ai.service.routing.facts import gathered, of_dicom, of_file
from wsi_ai.service.routing.rules import Facts
from wsi_ai.service.watching.folder_look import Kind, Unit
from wsi_ai.slides.headers import header_of
from wsi_ai.slides.identity import Cases, agreed, dicom_claim, load_cases, merged
from wsi_ai.slides.readers.dicom.is_dicom import is_dicom
from wsi_ai.slides.readers.sniff import dicom_slides, is_slide_file, is_slide_zarr
from wsi_ai.slides.registry import open_slide

log = logging.getLogger(__name__)

_NEEDED = "trust", "accession", "slide_id"


@dataclass(frozen=True, slots=True)
class Whose:
    """What a site says of the slides in its folders."""

    trust: str
    cases: Cases
    network: str | None = None
    tells: bool = False
    """The site has a table or pattern: a slide that it does not know may still come into it."""

    def case_of(self, path: Path) -> dict[str, str]:
        """All that is known, as a row of ``--cases``; the header's own claims are checked against
        it when it is run.  Raises IdentityInDoubt."""
        site = {"trust": self.trust, "network": self.network or ""}
        own = {name: value for name, value in site.items() if value}
        claims = [own, *self.cases.claims(path)]
        agreed([*claims, dicom_claim(_header(path))])
        return merged(claims)

    def lacks(self, path: Path, case: dict[str, str]) -> bool:
        """Whether its table may still come to say whose it is."""
        known = {**dicom_claim(_header(path)), **case}
        return self.tells and any(name not in known for name in _NEEDED)


def _header(path: Path) -> dict[str, str]:
    try:
        return header_of(path)
    except (OSError, ValueError):
        return {}


def slides_in(unit: Unit) -> Sequence[Path]:
    """None where it is something else.  Raises OSError where it cannot be read now."""
    match unit.kind:
        case Kind.FILE:
            return [unit.path] if is_slide_file(unit.path) else []
        case Kind.ZARR:
            return [unit.path] if is_slide_zarr(unit.path) else []
        case Kind.DICOM:
            series = dicom_slides(_instances(unit.path))
            return [unit.path] if len(series) == 1 and _alone(unit.path) else series
        case Kind.LINK:
            return []


def _instances(folder: Path) -> list[Path]:
    with os.scandir(folder) as found:
        names = sorted(e.name for e in found if e.is_file(follow_symlinks=False))
    return [folder / name for name in names if is_dicom(folder / name)]


def _alone(folder: Path) -> bool:
    """No slide of another format lies beside the series."""
    with os.scandir(folder) as found:
        others = [Path(e.path) for e in found if e.is_file() and not is_dicom(Path(e.path))]
    return not any(is_slide_file(path) for path in others)


def facts_of(path: Path) -> Facts:
    """What is known of a slide once it opens.  Raises SlideError where it does not."""
    with open_slide(path) as slide:
        return gathered(of_dicom(path), of_file(slide.info))


@dataclass(slots=True)
class SiteTable:
    """What a site says of its slides, read again whenever its file is another one."""

    trust: str
    network: str | None = None
    path: Path | None = None
    turn: int = 0
    """How often the table was read."""
    _whose: Whose | None = None
    _state: tuple[int, int] | None = None

    def __call__(self) -> Whose:
        """Raises PolicyError where the table cannot be read, at the start; later, what it said last
        holds on."""
        state = self._now()
        if self._whose is None or (state is not None and state != self._state):
            try:
                cases = load_cases(self.path)
            except PolicyError as error:
                if self._whose is None:
                    raise
                log.error("the table is left as it was: %s", error)  # noqa: TRY400
            else:
                self._whose = Whose(self.trust, cases, self.network, tells=self.path is not None)
                self.turn += 1
            self._state = state
        return self._whose

    def _now(self) -> tuple[int, int] | None:
        try:
            stat = self.path.stat() if self.path else None
        except OSError:
            return None
        return (stat.st_size, stat.st_mtime_ns) if stat else None
