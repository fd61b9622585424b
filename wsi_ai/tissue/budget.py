"""How much looking at a slide may cost, before any tile is read.

What a file promises may not be what it holds: a few bytes can ask for hours.
"""

import time
from dataclasses import dataclass, field
from typing import Self

from wsi_ai.core.environment import positive
from wsi_ai.errors import SlideError

_SECONDS, _MIB = "WSI_AI_LOOK_SECONDS", "WSI_AI_LOOK_MIB"


@dataclass(frozen=True, slots=True)
class LookBudget:
    """Of the thread that makes it: waiting for the disk or a share costs nothing."""

    processor_s: float = 60.0
    memory_mib: float = 1024.0
    started_s: float = field(default_factory=time.thread_time)

    def __post_init__(self) -> None:
        if not (self.processor_s > 0 and self.memory_mib > 0):
            raise ValueError("a budget must be more than nothing")

    @classmethod
    def from_settings(cls) -> Self:
        """Raises InputError where a setting is no number above zero."""
        return cls(positive(_SECONDS, 60.0), positive(_MIB, 1024.0))

    def check(self, memory_bytes: int = 0) -> None:
        """Raises SlideError where it is spent, or what is asked for next would be too much."""
        if time.thread_time() - self.started_s > self.processor_s:
            raise SlideError(
                f"looking at the slide takes more than {self.processor_s:.4g} s of processor time"
                f" (setting {_SECONDS})"
            )
        if memory_bytes > self.memory_mib * (1 << 20):
            raise SlideError(
                f"looking at the slide takes {memory_bytes >> 20} MiB at once, of"
                f" {self.memory_mib:.4g} (setting {_MIB})"
            )
