"""The one place that catches whatever goes wrong."""

from collections.abc import Callable


def error_of(step: Callable[[], None]) -> Exception | None:
    """What ``step`` raised.  For the outermost step of what has to go on without it, where another
    slide or another sink waits; and for nothing else."""
    try:
        step()
    except Exception as error:  # noqa: BLE001
        return error
    return None
