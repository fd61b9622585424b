"""What one device needs to run slides, put together."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from wsi_ai.contracts import Post, Runtime, Slide, Watcher
from wsi_ai.engine import Engine
from wsi_ai.geometry import Spacing
from wsi_ai.identity import Cases, load_cases
from wsi_ai.parity import hold_to_golden
from wsi_ai.pipeline import Pipeline
from wsi_ai.reading import HostTiles
from wsi_ai.registry import open_runtime, open_slide
from wsi_ai.settings import Policy, load_policy
from wsi_ai.values import ModelCard, Precision, RuntimeRequest
from wsi_ai.work import SlideWork

OpenRuntime = Callable[[ModelCard, RuntimeRequest], Runtime]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What may be asked beside slides and model."""

    mpp: float | None = None
    """Micrometres per pixel, in place of what the files say."""
    device: str = "auto"
    """Or several, with commas between; ``cuda`` is every CUDA device."""
    policy: Path | None = None
    force: bool = False
    """Run anew even where the same question was answered before."""
    reader: str | None = None
    """``None``: by the slide's content."""
    precision: Precision = Precision.FP32
    cases: Path | None = None
    """Whose slides they are: .csv, .json or .toml."""
    mpp_of: Mapping[Path, float] = field(default_factory=dict)
    """Of single slides, before ``mpp``: see ``inputs.find_slides``."""

    def spacing(self, slide: Path) -> Spacing | None:
        mpp = self.mpp_of.get(slide, self.mpp)
        return None if mpp is None else Spacing(mpp, mpp)

    def request(self) -> RuntimeRequest:
        return RuntimeRequest(self.device, self.precision)


@dataclass(frozen=True, slots=True)
class Assembly:
    """All that a run's devices share.  It can be sent to another process."""

    card: ModelCard
    policy: Policy
    cases: Cases
    out: Path
    options: RunOptions
    open_runtime: OpenRuntime = open_runtime

    def work(self, watch: Watcher, post: Post, devices: int = 1) -> SlideWork:
        """With the runtime opened and held to the golden tiles; the host's processors are shared
        by so many ``devices``.  Raises ModelError or DeviceError."""

        def opened(request: RuntimeRequest) -> Runtime:
            runtime = self.open_runtime(self.card, request)
            hold_to_golden(runtime)
            return runtime

        threads = max(1, len(os.sched_getaffinity(0)) // devices)
        return SlideWork(
            engine=Engine(opened, self.options.request(), partial(_around, self.policy, threads)),
            policy=self.policy,
            out=self.out,
            open_slide=self.open_slide,
            force=self.options.force,
            watch=watch,
            cases=self.cases,
            post=post,
        )

    def open_slide(self, path: Path) -> Slide:
        return open_slide(path, self.options.spacing(path), self.options.reader)

    def on(self, device: str) -> "Assembly":
        return replace(self, options=replace(self.options, device=device))


def assemble(card: ModelCard, out: Path, options: RunOptions) -> Assembly:
    """Raises PolicyError."""
    policy, cases = load_policy(options.policy), load_cases(options.cases)
    return Assembly(card, policy, cases, out, options)


def _around(policy: Policy, threads: int, runtime: Runtime) -> Pipeline:
    source = HostTiles(runtime.batch_size, threads)
    return Pipeline(source, runtime, policy.triage, policy.quality)
