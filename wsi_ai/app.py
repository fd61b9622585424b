"""The public door: slides in, results out.

>>> from wsi_ai.app import run_slides
>>> for outcome in run_slides([slide], model, out):        # doctest: +SKIP
...     print(outcome.slide, outcome.level, outcome.folder)
"""

from wsi_ai.results.folder import make_folder
from wsi_ai.run.compare_readers import compare_readers
from wsi_ai.run.embed_slides import embed_slides
from wsi_ai.run.no_ops import NoWatcher
from wsi_ai.run.options import RunOptions
from wsi_ai.run.outcome import Embedded, Outcome
from wsi_ai.run.run_slides import give_up, run_slides
from wsi_ai.slides.inputs import Inputs, find_slides

__all__ = [
    "Embedded",
    "Inputs",
    "NoWatcher",
    "Outcome",
    "RunOptions",
    "compare_readers",
    "embed_slides",
    "find_slides",
    "give_up",
    "make_folder",
    "run_slides",
]
