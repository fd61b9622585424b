"""How long until the first batch?  From the command up to the first tiles in the runtime.

    python benchmarks/startup.py [--model FOLDER] [--slide FILE] [--rounds 9] [--against CHECKOUT]
        [--peers ../peers] [--json]

Each round is a process of its own, with all files in the system's cache and every module
compiled; it ends with the first batch.  Wall time and processor time, the least and the median of
the rounds: on a busy machine read the least.  With ``--against`` the rounds of another checkout
of this program come between, with the same slide and model.  Without ``--model`` the demo model,
and ResNet-18 with random weights where PyTorch is installed.

Peers are timed to the same points, where benchmarks/install_peers.sh put them.  WSInfer is given
its tiles, so what it would spend on finding tissue is left out.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from run_many import sample
from startup_stages import STAGES

HERE = Path(__file__).resolve().parent
DEMO = HERE.parent / "models" / "demo-tumour"
COMMANDS = ("--version", "--help", "run --help", "models list", "demo-slide --help")


@dataclass
class Times:
    """Of one stage or command, in seconds."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def add(self, wall: float, processor: float) -> None:
        self.wall.append(wall)
        self.processor.append(processor)


Found = dict[tuple[str, str, str], Times]
"""By program, model or command, and stage."""


@dataclass(frozen=True)
class Bench:
    slide: Path
    scratch: Path
    found: Found = field(default_factory=dict)

    def add(self, key: tuple[str, str, str], wall: float, processor: float) -> None:
        self.found.setdefault(key, Times()).add(wall, processor)

    def run(self, program: str, checkout: Path, model: Path, *, counts: bool) -> None:
        stamps = self.scratch / "stamps.json"
        stamps.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(dir=self.scratch) as out:
            words = [sys.executable, str(HERE / "startup_stages.py"), str(stamps)]
            words += ["run", str(self.slide), "--model", str(model), "--out", out]
            begun = time.time()
            subprocess.run(words, check=True, env=environment(checkout), stdout=sys.stderr)
        if counts:
            self.add_stamps((program, model.name), stamps, begun)

    def add_stamps(self, of: tuple[str, str], stamps: Path, begun: float) -> None:
        for stage, (at, processor) in json.loads(stamps.read_text()).items():
            self.add((*of, stage), at - begun, processor)

    def command(self, program: str, checkout: Path, command: str, *, counts: bool) -> None:
        words = [sys.executable, "-m", "wsi_ai", *command.split()]
        before, begun = os.times(), time.time()
        subprocess.run(words, check=True, env=environment(checkout), stdout=subprocess.DEVNULL)
        wall, after = time.time() - begun, os.times()
        spent = sum(after[2:4]) - sum(before[2:4])
        if counts:
            self.add((program, f"wsi-ai {command}", ""), wall, spent)


def environment(checkout: Path) -> Mapping[str, str]:
    """Compiled modules are kept, wherever the checkout lies."""
    kept = Path(tempfile.gettempdir()) / "wsi-ai-compiled"
    own = {"PYTHONPATH": str(checkout), "PYTHONPYCACHEPREFIX": str(kept)}
    other = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**other, **own}


def models(asked: argparse.Namespace, scratch: Path) -> list[Path]:
    if asked.model:
        return list(asked.model)
    if find_spec("torch") is None or find_spec("onnxscript") is None:
        return [DEMO]
    import networks

    return [DEMO, networks.make_network("resnet18", scratch / "network").onnx]


def measure(asked: argparse.Namespace, bench: Bench, chosen: Sequence[Path]) -> None:
    """Programs take turns; the first round is not counted."""
    programs = {"wsi-ai": HERE.parent}
    if asked.against:
        programs["against"] = asked.against.resolve()
    for turn in range(asked.rounds + 1):
        for program, checkout in programs.items():
            for model in chosen:
                bench.run(program, checkout, model, counts=turn > 0)
            for command in COMMANDS:
                bench.command(program, checkout, command, counts=turn > 0)


def measure_peers(bench: Bench, peers: Path, rounds: int) -> None:
    """With ResNet-18, as ``run_peers`` runs them."""
    found = {name: peers / name / "bin" / "python" for name in ("wsinfer", "tiatoolbox")}
    for name in [name for name, python in found.items() if not python.exists()]:
        print(f"{name} is not in {found.pop(name).parents[2]}", file=sys.stderr)
    if not found:
        return
    import networks
    import run_peers

    work = bench.scratch / "peers"
    work.mkdir()
    network = networks.make_network("resnet18", bench.scratch / "network of peers")
    job = run_peers.make_job(bench.slide, network, None, work)
    for turn in range(rounds + 1):
        for name, python in found.items():
            run, begun = run_peers.first_batch(job, name, python, work)
            if turn:
                bench.add_stamps((name, "resnet18-onnx"), run, begun)


def rows(bench: Bench) -> Iterator[dict[str, object]]:
    for (program, of, stage), times in bench.found.items():
        yield {
            "program": program,
            "of": of,
            "stage": stage,
            "wall_s": [round(min(times.wall), 3), round(median(times.wall), 3)],
            "processor_s": [round(min(times.processor), 3), round(median(times.processor), 3)],
        }


def table(bench: Bench) -> Iterator[str]:
    """Least and median; a stage's time is that since the command."""
    yield f"{'':58} {'wall':>13} {'processor':>13}"
    for (program, of, stage), times in sorted(bench.found.items(), key=place):
        name = f"{program}, {of}: {stage}" if stage else f"{program}: {of}"
        figures = (f(part) for part in (times.wall, times.processor) for f in (min, median))
        yield "{:58} {:6.3f} {:6.3f} {:6.3f} {:6.3f}".format(name, *figures)


def place(item: tuple[tuple[str, str, str], Times]) -> tuple[str, int, str]:
    (program, of, stage), _ = item
    return of, STAGES.index(stage) if stage in STAGES else 0, program


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, action="append")
    parser.add_argument("--slide", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--peers", type=Path, default=Path("../peers"))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "wsi_ai_bench")
    parser.add_argument("--json", action="store_true", help="print one JSON line per row")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(asked.slide or sample(asked.cache, 8192, 1), Path(folder))
        measure(asked, bench, models(asked, bench.scratch))
        measure_peers(bench, asked.peers, asked.rounds)
        lines = map(json.dumps, rows(bench)) if asked.json else table(bench)
        for line in lines:
            print(line, flush=True)


if __name__ == "__main__":
    main()
