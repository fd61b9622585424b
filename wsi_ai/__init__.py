"""AI on whole-slide images: tiles in, heatmaps and triage flags out.

Names below load what they need when they are first used, so that importing costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsi_ai.app import (
        Outcome,
        Result,
        RunOptions,
        embed_slides,
        find_slides,
        open_heatmap,
        open_result,
        open_slide,
        run_slides,
    )

    __version__: str

__all__ = [
    "Outcome",
    "Result",
    "RunOptions",
    "__version__",
    "embed_slides",
    "find_slides",
    "open_heatmap",
    "open_result",
    "open_slide",
    "run_slides",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("wsi-ai")
    if name in __all__:
        from wsi_ai import app

        return getattr(app, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
