"""Runs ``wsi-ai run`` up to its first batch, and notes when each stage is through.

    python benchmarks/startup_stages.py STAMPS.json run SLIDE --model MODEL --out OUT

A module of ours is changed when it is loaded, and not before, so that what is loaded late stays
late.  The process ends with the first batch's scores; what it began to write is of no use.
"""

import importlib.abc
import importlib.machinery
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

stamps: dict[str, tuple[float, float]] = {}
"""For each stage, seconds since the epoch and processor seconds."""

BEFORE = {("wsi_ai.cli.run", "run"): "command read, modules loaded"}
AFTER = {
    ("wsi_ai.models.approval", "approved_card"): "model approved",
    ("wsi_ai.inference.registry", "open_runtime"): "session open",
    ("wsi_ai.models.parity", "hold_to_golden"): "golden tiles",
    ("wsi_ai.run.opening", "open_scaled"): "slide open",
    ("wsi_ai.tissue.thumbnail", "take_thumbnail"): "thumbnail",
    ("wsi_ai.tissue.mask", "find_tissue"): "tissue",
    ("wsi_ai.tissue.quality", "check_quality"): "quality",
    ("wsi_ai.tiles.planning", "plan_for"): "plan",
}
COLLECTING = "wsi_ai.run.pipeline"
HANDED, DONE = "first batch handed over", "first batch done"
STAGES = ("python", *BEFORE.values(), *AFTER.values(), HANDED, DONE)


def stamp(stage: str) -> None:
    stamps.setdefault(stage, (time.time(), time.process_time()))


def stamping(call: Callable[..., Any], stage: str, *, before: bool) -> Callable[..., Any]:
    def stamped(*args: Any, **kwargs: Any) -> Any:
        if before:
            stamp(stage)
        found = call(*args, **kwargs)
        stamp(stage)
        return found

    return stamped


def change(module: ModuleType) -> None:
    for stages, before in ((BEFORE, True), (AFTER, False)):
        for (name, function), stage in stages.items():
            if name == module.__name__:
                call = getattr(module, function)
                setattr(module, function, stamping(call, stage, before=before))
    if module.__name__ == COLLECTING:
        module.Pipeline.collecting = first_batch_only(module.Pipeline.collecting)


def first_batch_only(collecting: Callable[..., Iterator[None]]) -> Callable[..., Iterator[None]]:
    def first(*args: Any) -> Iterator[None]:
        stamp(HANDED)
        for _ in collecting(*args):
            stamp(DONE)
            Path(sys.argv[0]).write_text(json.dumps(stamps))
            os._exit(0)
        yield

    return first


class Changing(importlib.abc.MetaPathFinder):
    """Finds what is to be changed, as Python would."""

    names = {name for name, _ in (*BEFORE, *AFTER)} | {COLLECTING}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self.names:
            return None
        spec = PathFinder.find_spec(name, path, target)
        loader = spec.loader if spec else None
        if isinstance(loader, importlib.machinery.SourceFileLoader):
            load = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                load(module)
                change(module)

            loader.exec_module = exec_module
        return spec


if __name__ == "__main__":
    stamp("python")
    sys.meta_path.insert(0, Changing())
    sys.argv = sys.argv[1:]

    from wsi_ai.cli import main

    main()
