"""The properties of a sample slide."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SampleSpec:
    """A square slide, `size_px` on a side, of `mpp` µm per level-0 pixel.

    The same spec gives the same file on one machine and one set of library versions.
    """

    size_px: int = 8192
    seed: int = 1
    mpp: float = 0.5
    tumour: bool = False
    pen: bool = False
    blur: bool = False

    def __post_init__(self) -> None:
        if not 1024 <= self.size_px <= 200_000:
            raise ValueError(f"a sample slide is 1024 to 200000 px wide, got {self.size_px}")
        if not 0.2 <= self.mpp <= 1.0:
            raise ValueError(f"a sample slide has 0.2 to 1.0 um/px, got {self.mpp}")
        if self.seed < 0:
            raise ValueError(f"a seed is 0 or more, got {self.seed}")

    @property
    def px_per_um(self) -> float:
        return 1 / self.mpp
