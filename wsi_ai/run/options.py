"""What a person can choose about a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wsi_ai.core.cards import Precision, RuntimeRequest
from wsi_ai.core.geometry import Spacing
from wsi_ai.results.pages.wanted import Pages
from wsi_ai.results.published import OnDisk, Published
from wsi_ai.slides.places import ReaderIo
from wsi_ai.tiles.extent import Extent

MOST = 4096
"""Tiles in a batch, or threads."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What may be asked beside slides and model."""

    mpp: float | None = None
    """Micrometres per pixel, where the file does not say."""
    device: str = "auto"
    """Or several, with commas between; ``cuda`` is every CUDA device."""
    cluster: str = ""
    """Where slides run, if not on this machine's devices: ``tls://host:8786``, ``local:N`` or
    ``module:factory``; see ``docs/scaling.md``.  Then ``device`` is each worker's."""
    policy: Path | None = None
    force: bool = False
    """Run anew even where the same question was answered before."""
    reader: str | None = None
    """``None``: by the slide's content."""
    reader_io: ReaderIo = ReaderIo.STAGING
    """How slides in an object store are read."""
    precision: Precision = Precision.FP32
    cases: Path | None = None
    """Whose slides they are: .csv, .json or .toml."""
    trust_pickle: bool = False
    """Run the code that a pickled model brings with it."""
    trusted_keys: Path | None = None
    """A public key, or a folder of them, one of which must have signed the model."""
    formats: tuple[str, ...] = ()
    """What to write beside the usual: ``wsinfer``, ``dicom``."""
    amend: bool = False
    """Send also a level that is lower than the one that was sent of the same bytes."""
    rescan: bool = False
    """Slides that come under a known identity are new scans of the same glass."""
    override_mpp: bool = False
    """Take ``mpp`` though the file says another one."""
    image: str = ""
    """Number or name of the image that is meant, where a file holds several."""
    published: Published = field(default_factory=OnDisk)
    """Where results count; see ``results.published``."""
    growing: tuple[Path, ...] = ()
    """Slides that are still being written: they are listed, and not judged."""
    pages: Pages = Pages.REPORT
    """For people: a report of each slide, also as PDF, or none."""
    mpp_of: Mapping[Path, float] = field(default_factory=dict)
    """Of single slides, before ``mpp``: see ``inputs.find_slides``."""

    extent: Extent | None = None
    """Looking at something else than all tissue: such a run is a question of its own, is never
    ``standard`` where tissue is left out, and never sent."""
    batch_size: int | None = None
    """The most tiles in a batch; ``None``: what suits the device."""
    threads: int | None = None
    """That read and decode tiles; ``None``: as many as there are processors."""

    def __post_init__(self) -> None:
        """A path may be given as text.  Raises ValueError."""
        for number in (self.batch_size, self.threads):
            if number is not None and not 1 <= number <= MOST:
                raise ValueError(f"a number of tiles or threads is 1 to {MOST}, got {number}")
        for name in ("policy", "cases", "trusted_keys"):
            if isinstance(given := getattr(self, name), str):
                object.__setattr__(self, name, Path(given))

    def spacing(self, slide: Path) -> Spacing | None:
        mpp = self.mpp_of.get(slide, self.mpp)
        return None if mpp is None else Spacing(mpp, mpp)

    def request(self) -> RuntimeRequest:
        return RuntimeRequest(
            self.device, self.precision, self.batch_size, trust_pickle=self.trust_pickle
        )
