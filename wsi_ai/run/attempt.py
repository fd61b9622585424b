"""The workers' outermost step: whatever goes wrong with a slide is that slide's own reason."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from wsi_ai.core.attempt import error_of
from wsi_ai.errors import Busy, Stopped, WsiAiError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a step did not end well."""

    reason: str
    error: Exception

    @property
    def passing(self) -> bool:
        """It says nothing of the slide: another run is at work on it, or the user ended this
        one."""
        return isinstance(self.error, Busy | Stopped)


def attempt(step: Callable[[], None]) -> Failed | None:
    """``None`` where there was none."""
    error = error_of(step)
    if error is None:
        return None
    if isinstance(error, WsiAiError):
        return Failed(str(error), error)
    log.debug("a slide failed", exc_info=error)
    kind = type(error).__name__
    return Failed(f"internal error {kind}; please report it with --verbose", error)
